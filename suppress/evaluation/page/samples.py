"""The pictures of a report. They are drawn again, because the cells keep scores alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from PIL import Image

from minisd import StableDiffusion

from ...engine import Fast
from ...job import run
from ...metrics import Detector
from ...start.invert import parse_inversion
from ..cases import Case
from ..cells import Cell
from ..measure import method_of
from ..measure_pictures import Bench
from ..measure_pictures import method_of as picture_method_of
from ..pairs import Pair
from ..picture_table import det_score
from ..pictures import TARGETS, PictureCase
from .parts import Sample, Sheet
from .shared import Done

T = TypeVar("T")

SEEDS = (0, 1)  # of each prompt
SAMPLED = len(TARGETS)  # pictures: the first of each kind


def prompt_sheets(
    sd: StableDiffusion,
    detector: Detector,
    done: Done,
    rows: Mapping[str, str],
    cases: Sequence[Case],
    settings: Mapping[str, float],
) -> list[Sheet]:
    """One sheet per prompt, with the pictures of these rows for the first two seeds.

    rows: name -> method. settings: steps, start and seeds of the run. A row without a result has no picture.
    """
    engine, sheets = Fast(sd), []
    drawn = _progress([(case, row) for case in cases for row in rows if _is_measured(done, row, case.prompt)])
    samples: dict[str, list[Sample]] = {}
    seeds = [seed for seed in SEEDS if seed < settings["seeds"]]
    for case, row in drawn:
        method = method_of(sd, rows[row], case, int(settings["steps"]), settings["start"])
        result = run(sd, case.prompt, case.target, seed=seeds, settings=method, engine=engine)
        assert isinstance(result.original, list) and isinstance(result.image, list)
        cell, name = done[row, case.prompt], detector.match(case.target).name
        samples.setdefault(case.prompt, []).extend(
            Sample(row, f"seed {seed}", before, after, _scores(cell, name, k))
            for k, (seed, before, after) in enumerate(zip(seeds, result.original, result.image, strict=True))
        )
    for case in cases:
        if case.prompt in samples:
            by_seed = sorted(samples[case.prompt], key=lambda sample: sample.seed)
            sheets.append(Sheet(case.prompt, case.target, tuple(by_seed)))
    return sheets


def _scores(cell: Cell, name: str, k: int) -> tuple[str, str]:
    return (
        f"DetScore {cell['before'][name][k]:.2f} → {cell['after'][name][k]:.2f}",
        f"SSIM {cell['ssim'][k]:.2f}",
    )


def picture_sheets(
    bench: Bench, done: Done, pairs: Sequence[Pair], cases: Sequence[PictureCase], start: float | None
) -> list[Sheet]:
    """One sheet per picture, for the first picture of each kind. start: R of all rows; None: each method's own."""
    sheets = []
    for case in _progress(cases[:SAMPLED]):
        samples = []
        for pair in pairs:
            if not _is_measured(done, pair.row, case.number):
                continue
            method = picture_method_of(bench.sd, pair.spec, case, bench.steps, start)
            _, picture = bench.draw(case, method, parse_inversion(pair.inversion), pair.pasted)
            samples.append(_edited(case, pair.row, picture, done[pair.row, case.number]))
        if samples:
            sheets.append(Sheet(case.prompt, case.target, tuple(samples)))
    return sheets


def _edited(case: PictureCase, row: str, picture: Image.Image, cell: Cell) -> Sample:
    scores = [f"DetScore {det_score(case, cell, 'before'):.2f} → {det_score(case, cell):.2f}"]
    if (outside := cell["psnr outside"]) is not None:
        scores.append(f"PSNR outside {outside:.1f} dB")
    return Sample(row, f"picture {case.number}", case.photo, picture, tuple(scores))


def _is_measured(done: Done, row: str, case: str | int) -> bool:
    return "after" in done.get((row, case), {})


def _progress(jobs: Sequence[T]) -> Iterable[T]:
    from tqdm import tqdm

    return tqdm(jobs, desc="drawing samples", disable=None)
