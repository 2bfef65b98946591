"""Scores of pictures. `import suppress` imports nothing of this."""

from .clip_score import ClipScore
from .detector import Detector
from .frechet import ClipFeatures, InceptionFeatures, fid, ifid, pictures_needed
from .judge import Judge
from .lpips import Lpips
from .similarity import psnr, ssim
from .unavailable import Unavailable

__all__ = [
    "ClipFeatures",
    "ClipScore",
    "Detector",
    "InceptionFeatures",
    "Judge",
    "Lpips",
    "Unavailable",
    "fid",
    "ifid",
    "pictures_needed",
    "psnr",
    "ssim",
]
