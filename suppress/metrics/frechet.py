"""FID and IFID: how far two sets of pictures are from each other, as sets.

FID (Heusel et al. 2017) describes each set by the mean μ and the covariance Σ of its features, and takes the distance
of the two Gaussians:

    |μ_a - μ_b|² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½)

IFID (Li et al. 2024, appendix A) is the FID of the pictures before and after suppression, for the same prompts. There a
high value is good: something changed. A method that also changes everything else gets a high value too, so the paper
uses it beside DetScore and CLIP score only.

How many pictures it needs. N pictures give a covariance of rank N - 1 at most, so with D features each set needs D + 1
pictures. With fewer, the value is refused. With as many, it is still too large: two sets of the same kind are not at 0,
but at a distance that falls as 1/N (Chong and Forsyth 2020). Measured on the drawn world with the features of the
embedded CLIP (D = 192):

    pictures in each set        193     250     400     800
    two halves of one set        38      30      18       9
    plain against van Gogh      135     126     113     107

So compare only values of equal N, and give the value of two halves of one set beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from PIL import Image
from torch import Tensor, nn

from minisd import UserError
from minisd.picture import from_pil

from .clip_score import ClipScore
from .unavailable import Unavailable

BATCH = 64  # pictures in one pass


class Features(nn.Module):
    """What turns x (B,3,H,W) in [-1,1] into (B,num_features). One of your own needs no more than that."""

    num_features: int


class ClipFeatures(Features):
    """CLIP's vectors of pictures (Kynkäänniemi et al. 2023 argue for CLIP instead of Inception)."""

    def __init__(self, clip: ClipScore):
        super().__init__()
        self.score = clip
        self.num_features = clip.clip.visual_projection.out_features

    def forward(self, x: Tensor) -> Tensor:
        """x (B,3,H,W) in [-1,1] -> (B,num_features) float64 on the CPU"""
        return self.score.picture(x.to(self.score.mean.device)).cpu().double()


class InceptionFeatures(Features):
    """The features of the published FID: pool3 of Inception v3, 2048 numbers. `InceptionFeatures.load()` has them."""

    num_features = 2048

    def __init__(self, network: nn.Module):
        """network: levels (B,3,H,W) uint8 -> (B,2048)"""
        super().__init__()
        self.network = network

    @classmethod
    def load(cls) -> InceptionFeatures:
        """The network of torch-fidelity, whose weights are downloaded once. Unavailable without either."""
        from torchmetrics.image.fid import FrechetInceptionDistance

        try:
            return cls(FrechetInceptionDistance(feature=cls.num_features).inception)
        except ModuleNotFoundError as error:
            raise Unavailable('Inception needs the package torch-fidelity (`pip install "minisd[eval]"`)') from error
        except (OSError, RuntimeError, ValueError) as error:  # no network, or a file that is cut off
            raise Unavailable(f"the weights of Inception cannot be had: {error}") from error

    def forward(self, x: Tensor) -> Tensor:
        """x (B,3,H,W) in [-1,1] -> (B,2048) float64"""
        return self.network(((x.clamp(-1, 1) + 1) * 127.5).round().byte()).double()


def fid(a: Sequence[Image.Image], b: Sequence[Image.Image], features: Features) -> float:
    """FID of two sets of pictures. features: ClipFeatures, InceptionFeatures or other Features.

    UserError if a set has fewer pictures than `pictures_needed`.
    """
    for pictures in (a, b):
        _check_number(len(pictures), features.num_features)  # before anything is computed
    return frechet_distance(features_of(a, features), features_of(b, features))


def ifid(original: Sequence[Image.Image], edited: Sequence[Image.Image], features: Features) -> float:
    """IFID of pictures before and after suppression: picture k of both has the same prompt and seed. Else as `fid`."""
    if len(original) != len(edited):
        raise UserError(f"originals: {len(original)}, edited pictures: {len(edited)}; expected one edited of each")
    return fid(original, edited, features)


def pictures_needed(features: Features) -> int:
    """The fewest pictures in each set for which these features have a covariance of full rank."""
    return features.num_features + 1


@torch.no_grad()
def features_of(pictures: Sequence[Image.Image], features: Features) -> Tensor:
    """(N,D) float64. Compute those of the originals once, and compare many methods with them."""
    return torch.cat([features(x).double() for x in _batches(pictures)])


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The distance of two sets of features, (N,D) and (M,D), in float64. UserError with fewer than D + 1 in a set."""
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[1]:
        raise UserError(f"features of shapes {tuple(a.shape)} and {tuple(b.shape)}; expected (N,D) and (M,D)")
    for rows in (a, b):
        _check_number(len(rows), rows.shape[1])
    from torchmetrics.image.fid import FrechetInceptionDistance

    distance = FrechetInceptionDistance(feature=_Given(a.shape[1]))
    distance.update(a.double(), real=True)
    distance.update(b.double(), real=False)
    return max(float(distance.compute()), 0.0)  # rounding can make the distance of equal sets a little negative


class _Given(nn.Module):
    """Hands over features that were computed before."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _check_number(pictures: int, num_features: int) -> None:
    if pictures <= num_features:
        raise UserError(
            f"FID with {num_features} features needs {num_features + 1} pictures or more in each set, not {pictures}: "
            "add pictures, or take features of fewer dimensions"
        )


def _batches(pictures: Sequence[Image.Image]) -> Iterator[Tensor]:
    """x (B,3,H,W) in [-1,1]: neighbours of one size together, at most BATCH."""
    for _, group in groupby(pictures, key=lambda picture: picture.size):
        same = list(group)
        for start in range(0, len(same), BATCH):
            yield torch.cat([from_pil(picture) for picture in same[start : start + BATCH]])
