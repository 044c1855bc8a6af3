"""Data sets behind one contract: studies for training, and, as another type, studies for evaluation."""
