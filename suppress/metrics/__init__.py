"""Scores of pictures, each usable by itself. `import suppress` imports nothing of this.

Is the target gone?
    Detector               DetScore on the drawn world: 37 attributes (Li et al. 2024, section 4)
    OpenDetector           DetScore for any word: Grounding DINO (Liu et al. 2024), OWLv2 (Minderer et al. 2023)
    ClipScore              CLIP score of a phrase: the target, or the prompt without it (Hessel et al. 2021)
    clip_accuracy          top 1 and top 5: CLIP no longer names the original's class (Yildirim et al. 2023)
    object_removal_rate    ORR: CLIP names another class of CIFAR-10 (Chen et al. 2025, GIE); _rates: also of the others
    NsfwRate               NRR: pictures that lose all exposed parts, by NudeNet (Chen et al. 2025, GIE)

Did the rest stay?
    psnr                   of the whole picture, or of the pixels outside the region
    ssim                   Wang et al. 2004
    Lpips                  Zhang et al. 2018
    structure_distance     PIE-Bench (Ju et al. 2024), after Tumanyan et al. 2022; Dino has its keys (Caron et al. 2021)

Sets of pictures
    fid                    Heusel et al. 2017; ClipFeatures (Kynkäänniemi et al. 2023) or InceptionFeatures
    ifid                   before against after, for the same prompts (Li et al. 2024, appendix A)
    pictures_needed        how many pictures each set must have

The error to the ideal edit, which only a drawn world has, is in suppress/evaluation/truth.py, and UNet passes and
seconds are counted in suppress/evaluation/measure.py. SSIM, LPIPS and FID come from torchmetrics. What is not at hand,
such as a package or weights, raises Unavailable with the reason.
"""

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
