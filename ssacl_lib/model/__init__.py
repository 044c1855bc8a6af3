"""The model: encoder with prompt queries, visual decoder, text encoder, language decoder."""

from .batch import Batch
from .config import SSACLConfig
from .processor import SSACLProcessor
from .ssacl import SSACLModel

__all__ = ["Batch", "SSACLConfig", "SSACLModel", "SSACLProcessor"]
