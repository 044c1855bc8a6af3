"""Pretraining: batches, the loop, its state on disk, the finding head, checkpoint folders."""
