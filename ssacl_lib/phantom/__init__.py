"""The phantom: radiographs of random patients made from a real chest CT, with everything that is true of them."""

from .ct import get_ct
from .findings import draw_signs
from .organs import OrganMaps, organ_maps
from .truth import Sign
from .xray import RenderedBatch, render

__all__ = ["OrganMaps", "RenderedBatch", "Sign", "draw_signs", "get_ct", "organ_maps", "render"]
