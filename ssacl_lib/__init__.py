"""SS-ACL companion library.

Letters in shapes: B images, N patches, K kept patches, M = 25 leaves, P = 7 parents, Q = 32 queries, D width, S image side.
Research and teaching software, not a medical device.
"""

__version__ = "0.1.0"
__all__ = ["SSACLConfig", "SSACLModel", "SSACLProcessor"]


def __getattr__(name: str):
    """Load the model classes on first use, so that `ssacl --help` need not import torch."""
    if name in __all__:
        from . import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
