"""SS-ACL companion library.

Letters in shapes: B images, N patches, K kept patches, M = 25 leaves, P = 7 parents, Q = 32 queries, D width, S image side.
Research and teaching software, not a medical device.
"""

from .model import SSACLConfig, SSACLModel, SSACLProcessor

__version__ = "0.3.0"
__all__ = ["SSACLConfig", "SSACLModel", "SSACLProcessor"]
