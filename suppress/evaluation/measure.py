"""One cell of the comparison: a row (method) on a case (prompt), over the seeds."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from minisd import StableDiffusion, UNet
from minisd.attention import Attention
from minisd.picture import from_pil

from ..engine import Fast
from ..job import run
from ..methods import Method, Rewrite, parse_method
from ..metrics import ClipScore, Detector, ssim
from ..prompt import eot_rows, find_rows
from .cases import Case


class CountedLayer(nn.Module):
    """A layer that counts the samples which pass through it: a batch of four is four passes.

    with_gradient: the passes whose gradient was taken. Each of them costs more, by its backward pass.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer
        self.passes = self.with_gradient = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += len(x)
        self.with_gradient += len(x) if torch.is_grad_enabled() else 0
        return self.layer(x)


def counting(unet: UNet) -> tuple[UNet, CountedLayer]:
    """A copy of the UNet that shares all its layers, and the one of them that counts the passes.

    That is the first one behind which the text is read: every pass runs it once for each context, short passes too.
    """
    layers = {id(module): module for module in unet.modules() if not list(module.children())}
    own = copy.deepcopy(unet, layers)
    first = next(m for m in own.modules() if isinstance(m, Attention) and m.site.kind == "cross")
    counted = CountedLayer(first.to_q)
    first.add_module("to_q", counted)
    return own, counted


def method_of(sd: StableDiffusion, spec: str, case: Case, steps: int, start: int | float) -> Method:
    """A row's method with the protocol's steps and R. What depends on the case:

    "deleted" is the case's own control; "bottom-k" leaves the 3 largest singular values of each prompt, as the paper's
    70 does of 73.
    """
    if spec == "deleted":
        return Rewrite(text=case.deleted, steps=steps, start=start)
    if spec == "bottom-k":
        count = len(find_rows(sd, case.prompt, case.target)) + len(eot_rows(sd, case.prompt))
        return parse_method(spec, steps=steps, start=start, value=count - 3)
    return parse_method(spec, steps=steps, start=start)


def measure(
    sd: StableDiffusion, detector: Detector, clip: ClipScore, case: Case, method: Method, seeds: list[int]
) -> dict[str, Any]:
    """Scores of the original and the suppressed pictures, one a seed, and what the pictures cost.

    passes: samples that went through the UNet for a picture, the original's included and ITO's shortened ones counted
    whole; gradient passes: those of them that were differentiated. seconds: wall time for a picture, sampling alone.
    """
    engine = Fast(sd)
    engine.unet, counted = counting(engine.unet)
    result = run(sd, case.prompt, case.target, seed=seeds, settings=method, engine=engine)
    originals, pictures = result.original, result.image
    assert isinstance(originals, list) and isinstance(pictures, list)
    pairs = zip(originals, pictures, strict=True)
    return {
        "before": {k: _rounded(v) for k, v in detector.scores(originals).items()},
        "after": {k: _rounded(v) for k, v in detector.scores(pictures).items()},
        "clip before": _rounded(clip(originals, case.target)),
        "clip after": _rounded(clip(pictures, case.target)),
        "ssim": _rounded(torch.cat([ssim(from_pil(a), from_pil(b)) for a, b in pairs])),
        "passes": counted.passes / len(seeds),
        "gradient passes": counted.with_gradient / len(seeds),
        "seconds": result.timings["sample"] / len(seeds),
    }


def _rounded(values: Tensor) -> list[float]:
    return [round(v, 5) for v in values.tolist()]
