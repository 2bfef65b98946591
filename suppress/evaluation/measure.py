"""One cell of the comparison: a row (method) on a case (prompt), with all seeds. Or several cells of a row at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from minisd import StableDiffusion, UserError
from minisd.base.picture_files import open_picture
from minisd.picture import from_pil

from ..engine import Fast
from ..job import run, run_batch
from ..methods import Rewrite, parse_method
from ..methods.catalogue.entry import Entry
from ..methods.fixed import WordsByPadding
from ..methods.names import read_settings
from ..metrics import Judge, ssim
from ..metrics.judge import both
from ..metrics.structure import structure_distance
from ..prompt import eot_rows, find_rows
from ..protocol import Method
from ..task import Job
from .cases import Case
from .extras import rounded
from .own_prompts import OwnCase
from .targets import phrase_of, targets_of

AT_ONCE = 8  # pictures of one cell that are drawn at once, unless a number is given
Pictures = Sequence[Image.Image]
Extra = Callable[[Pictures, Pictures], dict[str, Any]]  # (originals, edited pictures) -> more scores for the cell
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


@dataclass(frozen=True)
class Costs:
    """What one picture costs.

    passes: samples that went through the UNet. Those of the original count too, and a pass that ITO ends early counts
    as one. gradient_passes: those of them whose gradient was taken. seconds: wall time of the sampling.
    """

    passes: float
    gradient_passes: float
    seconds: float

    @classmethod
    def of(cls, engine: Fast, seconds: float, pictures: int) -> Costs:
        """engine: it has drawn these pictures and no others, in so many seconds."""
        return cls(engine.passes / pictures, engine.gradient_passes / pictures, seconds / pictures)


def measure(
    sd: StableDiffusion,
    judge: Judge,
    case: Case | OwnCase,
    method: Method,
    seeds: list[int],
    picture: Path | None = None,
    mask: Path | None = None,
    extra: Extra | None = None,
    at_once: int = AT_ONCE,
) -> dict[str, Any]:
    """Scores of the original and the edited pictures, one per seed, and what a picture costs (`Costs`).

    picture: a file to edit in place of drawings, from the default inversion, whose passes count too. There are no seeds
    then. mask: a file, as `run` takes it. at_once: how many seeds are drawn at once.
    """
    engine, targets = Fast(sd), targets_of(case.target)
    if picture is None:
        result = run(sd, case.prompt, targets, seed=seeds, settings=method, engine=engine, batch_size=at_once)
    else:
        image, where = open_picture(picture), None if mask is None else open_picture(mask)
        result = run(sd, case.prompt, targets, settings=method, engine=engine, image=image, mask=where)
    originals, pictures = both(result)
    costs = Costs.of(engine, result.timings["sample"], len(pictures))
    return _scores(judge, case, originals, pictures, costs, extra)


def measure_together(
    sd: StableDiffusion,
    judge: Judge,
    cells: Sequence[tuple[Case | OwnCase, Sequence[int], Extra]],
    method: Method,
) -> list[dict[str, Any]]:
    """`measure` for several cells (case, seeds, extra), whose pictures are drawn in one batch.

    The batch's passes and seconds are divided by its pictures. For the passes this is exact if all cells have as many
    targets: a method's passes depend on its settings and on the number of targets (LEDITS++), not on the words.
    UserError if one of the cases cannot be drawn.
    """
    engine = Fast(sd)
    jobs = [Job(case.prompt, targets_of(case.target), seed) for case, seeds, _ in cells for seed in seeds]
    results = run_batch(sd, jobs, settings=method, engine=engine, batch_size=len(jobs))
    costs = Costs.of(engine, results[0].timings["sample"], len(jobs))
    pairs, found = ([both(result) for result in results]), []
    for case, seeds, extra in cells:
        own, pairs = pairs[: len(seeds)], pairs[len(seeds) :]
        originals, pictures = ([picture for [picture] in side] for side in zip(*own, strict=True))
        found.append(_scores(judge, case, originals, pictures, costs, extra))
    return found


def _scores(
    judge: Judge, case: Case | OwnCase, originals: Pictures, pictures: Pictures, costs: Costs, extra: Extra | None
) -> dict[str, Any]:
    """The scores of a cell."""
    phrase = phrase_of(case.target)
    pairs = [(from_pil(a), from_pil(b)) for a, b in zip(originals, pictures, strict=True)]
    return {
        "before": {k: rounded(v) for k, v in judge.detector.scores(originals).items()},
        "after": {k: rounded(v) for k, v in judge.detector.scores(pictures).items()},
        "clip before": rounded(judge.clip(originals, phrase)),
        "clip after": rounded(judge.clip(pictures, phrase)),
        "ssim": rounded(torch.cat([ssim(a, b) for a, b in pairs])),
        "structure": rounded(torch.cat([structure_distance(a, b, judge.clip.keys) for a, b in pairs])),
        "passes": costs.passes,
        "gradient passes": costs.gradient_passes,
        "seconds": costs.seconds,
    } | ({} if extra is None else extra(originals, pictures))
