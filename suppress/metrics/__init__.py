"""Scores of pictures. `import suppress` imports nothing of this."""

from .clip_score import ClipScore
from .detector import Detector
from .judge import Judge
from .similarity import psnr, ssim
from .unavailable import Unavailable

__all__ = ["ClipScore", "Detector", "Judge", "Unavailable", "psnr", "ssim"]
