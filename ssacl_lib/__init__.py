"""SS-ACL companion library.

Letters in shapes: B images, N patches, K kept patches, M = 25 leaves, P = 7 parents, Q = 32 queries, D width, S image side.
Research and teaching software, not a medical device.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import SSACLConfig, SSACLModel, SSACLProcessor

__version__ = "0.3.0"
__all__ = ["SSACLConfig", "SSACLModel", "SSACLProcessor"]


def __getattr__(name: str):
    """The model when it is asked for: PyTorch loads for seconds, and `ssacl --help` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import model

    return getattr(model, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
