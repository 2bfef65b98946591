"""Scores of pictures. `import suppress` imports nothing of this."""

from .clip_score import ClipScore
from .detector import Detector
from .frechet import ClipFeatures, InceptionFeatures, fid, ifid, pictures_needed
from .judge import Judge
from .lpips import Lpips
from .nsfw import NsfwRate
from .open_detector import OpenDetector
from .similarity import psnr, ssim
from .structure import Dino, structure_distance
from .unavailable import Unavailable
from .zero_shot import CIFAR10, ZeroShot, clip_accuracy, object_removal_rate, object_removal_rates

__all__ = [
    "CIFAR10",
    "ClipFeatures",
    "ClipScore",
    "Detector",
    "Dino",
    "InceptionFeatures",
    "Judge",
    "Lpips",
    "NsfwRate",
    "OpenDetector",
    "Unavailable",
    "ZeroShot",
    "clip_accuracy",
    "fid",
    "ifid",
    "object_removal_rate",
    "object_removal_rates",
    "pictures_needed",
    "psnr",
    "ssim",
    "structure_distance",
]
