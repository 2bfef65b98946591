"""The pictures of a report. They are drawn again, because the cells keep scores alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from minisd import StableDiffusion
from minisd.base.picture_files import open_picture

from ...engine import Fast
from ...job import run
from ...metrics import Detector
from ...metrics.judge import both
from ...protocol import Method
from ...start.invert import parse_inversion
from ..cases import Case
from ..cells import Cell
from ..measure import method_of
from ..measure_pictures import Bench
from ..measure_pictures import method_of as picture_method_of
from ..own_prompts import OwnCase
from ..pairs import Pair
from ..picture_table import det_score
from ..pictures import TARGETS, PictureCase
from ..targets import judged, targets_of
from .parts import Sample, Sheet
from .shared import Done

T = TypeVar("T")

SEEDS = 2  # of each prompt
MOST = 12  # prompts: as many as the built-in tables have
SAMPLED = len(TARGETS)  # pictures: the first of each kind


def prompt_sheets(
    sd: StableDiffusion,
    detector: Detector,
    done: Done,
    rows: Mapping[str, str],
    cases: Sequence[Case | OwnCase],
    settings: Mapping[str, float],
    folder: Path = Path(),
) -> list[Sheet]:
    """One sheet per prompt, with the pictures of these rows for its first two seeds; for the first prompts only.

    rows: name -> method. settings: steps, start and, unless the cases have their own, seeds of the run. folder: to
    which the names of a user's pictures are relative. A row without a result has no picture.
    """
    engine, sheets = Fast(sd), []
    first: Sequence[Case | OwnCase] = cases[:MOST]
    for case in _progress(first):
        samples: list[Sample] = []
        for row, spec in rows.items():
            if not _is_measured(done, row, case.key):
                continue
            method = method_of(sd, spec, case, int(settings["steps"]), settings["start"])
            name, cell = judged(case.target, done[row, case.key], detector)
            samples += [
                Sample(row, label, before, after, _scores(cell, name, k))
                for k, (label, before, after) in enumerate(_drawn(case, method, engine, settings, folder))
            ]
        if samples:
            by_seed = sorted(samples, key=lambda sample: sample.seed)
            sheets.append(Sheet(case.prompt, case.target, tuple(by_seed)))
    return sheets


def _drawn(
    case: Case | OwnCase, method: Method, engine: Fast, settings: Mapping[str, float], folder: Path
) -> list[tuple[str, Image.Image, Image.Image]]:
    """(which of the case's pictures, before, after)"""
    targets = targets_of(case.target)
    if isinstance(case, OwnCase) and case.picture:
        image, mask = (open_picture(folder / name) if name else None for name in (case.picture, case.mask))
        result = run(engine.sd, case.prompt, targets, settings=method, engine=engine, image=image, mask=mask)
        labels = [case.picture]
    else:
        known = case.seeds if isinstance(case, OwnCase) else range(int(settings["seeds"]))
        seeds = list(known)[:SEEDS]
        result = run(engine.sd, case.prompt, targets, seed=seeds, settings=method, engine=engine)
        labels = [f"seed {seed}" for seed in seeds]
    return list(zip(labels, *both(result), strict=True))


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
            _, picture = bench.draw(case, method, parse_inversion(pair.inversion), pair.pasted, pair.masked)
            samples.append(_edited(case, pair.row, picture, done[pair.row, case.number]))
        if samples:
            sheets.append(Sheet(case.prompt, case.target, tuple(samples)))
    return sheets


def _edited(case: PictureCase, row: str, picture: Image.Image, cell: Cell) -> Sample:
    scores = [f"DetScore {det_score(case, cell, 'before'):.2f} → {det_score(case, cell):.2f}"]
    if (outside := cell["psnr outside"]) is not None:
        scores.append(f"PSNR outside {outside:.1f} dB")
    return Sample(row, f"picture {case.number}", case.photo, picture, tuple(scores))


def _is_measured(done: Done, row: str, key: Any) -> bool:
    return "after" in done.get((row, key), {})


def _progress(jobs: Sequence[T]) -> Iterable[T]:
    from tqdm import tqdm

    return tqdm(jobs, desc="drawing samples", disable=None)
