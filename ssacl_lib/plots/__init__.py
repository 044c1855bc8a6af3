"""Figures: arrays or data frames in, a matplotlib Figure out; one module per notebook, one function per figure."""
