"""File formats: which are opened, how deep their values are, what a file says beside its pixels. `images.py` is the door to it."""
