"""Upscale anything: tensors of any size, images, videos, folders."""

from .files import upscale_files
from .pictures import Upscaler, upscale
from .tiles import enlarge, fold_batch_norm
from .video import upscale_video

__all__ = ["Upscaler", "enlarge", "fold_batch_norm", "upscale", "upscale_files", "upscale_video"]
