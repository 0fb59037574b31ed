"""Data: named sets from the Hub, the bank of decoded images, patches, degradation."""

from .bank import ImageBank, open_bank, patches, photometric
from .degradation import DEGRADATIONS, photographed, shrink
from .hub import DATASETS, images

__all__ = ["DATASETS", "DEGRADATIONS", "ImageBank", "images", "open_bank", "patches", "photographed", "photometric", "shrink"]
