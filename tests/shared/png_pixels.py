"""What a picture's file shows."""

import numpy as np
from PIL import Image


def pixels(path):
    """(H,W,3), as whole numbers that may be subtracted."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=int)
