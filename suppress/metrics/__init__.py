"""Scores of pictures. Nothing here is imported by `import suppress`."""

from .clip_score import ClipScore
from .detector import Detector
from .similarity import psnr, ssim
from .unavailable import Unavailable

__all__ = ["ClipScore", "Detector", "Unavailable", "psnr", "ssim"]
