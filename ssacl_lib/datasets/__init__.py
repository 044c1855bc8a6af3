"""Data sets behind one contract: studies for training, and, as another type, studies for evaluation."""

__all__ = ["TrainingStudies", "load_evaluation", "load_training"]


def __getattr__(name: str):
    """Load the readers on first use: the labeler below them reads the codes of `study.py` from this package."""
    if name in __all__:
        from . import prepare

        return getattr(prepare, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
