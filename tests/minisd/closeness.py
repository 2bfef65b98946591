"""How close two tensors or two pictures are."""

import math

import numpy as np


def relative_error(a, b):
    return float((a - b).norm() / b.norm())


def levels_apart(a, b):
    """The largest difference between two pictures, in levels of 255."""
    return abs(_pixels(a) - _pixels(b)).max()


def psnr(a, b):
    """The PSNR of two pictures, in dB."""
    return 10 * math.log10(255**2 / np.square(_pixels(a) - _pixels(b)).mean())


def _pixels(picture):
    return np.asarray(picture, dtype=int)
