"""Data: named sets from the Hub, the bank of decoded images, patches, degradation."""

from .bank import ImageBank, patches
from .colours import photometric
from .degradation import DEGRADATIONS, photographed, shrink
from .hub import DATASETS, images
from .opening import open_bank

__all__ = ["DATASETS", "DEGRADATIONS", "ImageBank", "images", "open_bank", "patches", "photographed", "photometric", "shrink"]
