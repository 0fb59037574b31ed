"""The name under which `srgan_lib.upscaling` was published first: model cards on the Hub import `upscale` from here."""

from .upscaling import enlarge, upscale, upscale_files

__all__ = ["enlarge", "upscale", "upscale_files"]
