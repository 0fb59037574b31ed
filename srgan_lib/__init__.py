"""The library under the SRGAN course: pixels, data, models, losses, training, metrics, inference, figures.

Names are imported on first use, so that `import srgan_lib` costs nothing.
"""

__version__ = "0.1.0"
