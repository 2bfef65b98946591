"""One cell of the comparison: a row (method) on a case (prompt), with all seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from minisd import StableDiffusion, UserError
from minisd.base.picture_files import open_picture
from minisd.picture import from_pil

from ..engine import Fast
from ..job import run
from ..methods import Rewrite, parse_method
from ..methods.catalogue.entry import Entry
from ..methods.fixed import WordsByPadding
from ..methods.names import read_settings
from ..metrics import Judge, ssim
from ..metrics.judge import both
from ..metrics.structure import structure_distance
from ..prompt import eot_rows, find_rows
from ..protocol import Method
from .cases import Case
from .extras import rounded
from .own_prompts import OwnCase
from .targets import phrase_of, targets_of

WORDS_BY_PADDING = "words-by-padding"  # a row of the paper's Table 5


def method_of(sd: StableDiffusion, spec: str, case: Case | OwnCase, steps: int, start: int | float) -> Method:
    """A row's method with these steps and this R. Two rows depend on the case:

    "deleted", also with settings, draws the case's own control. "bottom-k" keeps the 3 largest singular values
    of each prompt, as the paper does, which makes 70 of 73 zero. "words-by-padding" is no method of the catalogue
    either: it removes nothing.

    A case may have a guidance of its own. UserError if the case has no control, or if the prompt has no word of the
    target.
    """
    guidance = getattr(case, "guidance", 0.0)
    given: dict[str, Any] = {"steps": steps, "start": start} | ({"guidance": guidance} if guidance else {})
    if spec.partition(":")[0] == "deleted":
        if not case.deleted:
            raise UserError("the prompt has no control: the column deleted is empty")
        return Rewrite(**({"text": case.deleted} | given | read_settings(spec, Entry("fixed.Rewrite", ""))))
    if spec == WORDS_BY_PADDING:
        return WordsByPadding(**given)
    if spec == "bottom-k":
        count = len(find_rows(sd, case.prompt, targets_of(case.target))) + len(eot_rows(sd, case.prompt))
        return parse_method(spec, value=count - 3, **given)
    return parse_method(spec, **given)


def measure(
    sd: StableDiffusion,
    judge: Judge,
    case: Case | OwnCase,
    method: Method,
    seeds: list[int],
    picture: Path | None = None,
    mask: Path | None = None,
    extra: Callable[[Sequence[Image.Image], Sequence[Image.Image]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Scores of the original and the edited pictures, one per seed, and what a picture costs.

    passes: samples that went through the UNet for one picture. Those of the original count too, and a pass that ITO
    ends early counts as one. gradient passes: those of them whose gradient was taken. seconds: wall time of the
    sampling of one picture.

    picture: a file to edit in place of drawings, from the default inversion, whose passes count too. There are no seeds
    then. mask: a file, as `run` takes it.

    extra: (originals, edited pictures) -> more scores for the cell.
    """
    engine, targets, phrase = Fast(sd), targets_of(case.target), phrase_of(case.target)
    if picture is None:
        result = run(sd, case.prompt, targets, seed=seeds, settings=method, engine=engine)
    else:
        image, where = open_picture(picture), None if mask is None else open_picture(mask)
        result = run(sd, case.prompt, targets, settings=method, engine=engine, image=image, mask=where)
    originals, pictures = both(result)
    count = len(pictures)
    pairs = [(from_pil(a), from_pil(b)) for a, b in zip(originals, pictures, strict=True)]
    return {
        "before": {k: rounded(v) for k, v in judge.detector.scores(originals).items()},
        "after": {k: rounded(v) for k, v in judge.detector.scores(pictures).items()},
        "clip before": rounded(judge.clip(originals, phrase)),
        "clip after": rounded(judge.clip(pictures, phrase)),
        "ssim": rounded(torch.cat([ssim(a, b) for a, b in pairs])),
        "structure": rounded(torch.cat([structure_distance(a, b, judge.clip.keys) for a, b in pairs])),
        "passes": engine.passes / count,
        "gradient passes": engine.gradient_passes / count,
        "seconds": result.timings["sample"] / count,
    } | ({} if extra is None else extra(originals, pictures))
