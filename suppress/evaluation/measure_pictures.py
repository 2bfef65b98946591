"""One cell of the table of pictures: a pair (method, inversion) on a drawn picture, or a baseline.

A picture is inverted once for all methods of a run that have the same number of steps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from PIL import Image

from minisd import StableDiffusion
from minisd.picture import from_pil

from ..defaults import default_settings
from ..edits.masks import paste, reach
from ..engine import Fast
from ..job import run
from ..methods import Rewrite
from ..methods.catalogue.entry import Entry
from ..methods.names import read_settings
from ..metrics import Judge, psnr
from ..protocol import Method, Start
from ..report.reconstruction import through_vae
from ..result import Result
from ..start.inversion import Inversion
from ..start.invert import invert, parse_inversion
from .cells import Cell
from .extras import Extras, Shown
from .forms import SIDES
from .jobs import Job
from .pairs import CONTROLS, GUIDANCE, IDEAL, VAE, Pair
from .pictures import PictureCase, box_of
from .truth import against_truth, decibels


def method_of(sd: StableDiffusion, spec: str, case: PictureCase, steps: int, start: int | float | None) -> Method:
    """A row's method. start: R of all rows; None: each method's own. Two rows depend on the case:

    "nothing" is the prompt to the end. "deleted" draws the case's own control; it has the start of the default method.
    """
    given: dict[str, Any] = {"steps": steps} | ({} if start is None else {"start": start})
    name = spec.partition(":")[0]
    if name not in CONTROLS:
        return default_settings(sd, spec, **given)[0]
    if name == "nothing":
        given |= {"text": case.prompt, "start": steps}
    else:
        given |= {"text": case.deleted, "start": default_settings(sd, **given)[0].start}
    return Rewrite(**(given | read_settings(spec, Entry("fixed.Rewrite", ""))))


@dataclass(frozen=True, eq=False)
class _Inverted:
    start: Start
    seconds: float
    passes: int


class Bench:
    """What all cells share: the model, the judge, and what was made of the current picture."""

    def __init__(self, sd: StableDiffusion, judge: Judge, steps: int, extras: Extras | None = None):
        """steps: of all methods that do not have their own."""
        self.sd, self.judge, self.steps, self.extras = sd, judge, steps, extras
        self.engine = Fast(sd)
        self.case: PictureCase | None = None  # the current picture, and what was made of it
        self.inverted: dict[tuple[Inversion, int], _Inverted] = {}  # with their steps
        self.vae: Image.Image | None = None  # the picture as the VAE gives it back

    def jobs(self, cases: Sequence[PictureCase], pairs: Sequence[Pair], start: int | float | None) -> list[Job]:
        """All cells, picture by picture; those of one inversion follow each other."""
        jobs: list[Job] = []
        wanted: dict[str, Any] = (
            {} if self.extras is None else {"extras": self.extras.names, "at_hand": self.extras.at_hand}
        )
        inversions = {pair.inversion: parse_inversion(pair.inversion) for pair in pairs}
        names = list(inversions)
        for case in cases:
            jobs += [
                Job(VAE, case, None, partial(self.baseline, case, "photo"), **wanted),
                Job(IDEAL, case, None, partial(self.baseline, case, "ideal"), **wanted),
            ]
            for pair in sorted(pairs, key=lambda pair: names.index(pair.inversion)):
                method = method_of(self.sd, pair.spec, case, self.steps, start)
                inversion = inversions[pair.inversion]
                edit = partial(self.edit, case, method, inversion, pair.pasted, pair.masked)
                jobs.append(Job(pair.row, case, method, edit, inversion, **wanted))
        return jobs

    def baseline(self, case: PictureCase, picture: Literal["photo", "ideal"]) -> Cell:
        """The scores of a picture that only the VAE has changed."""
        photo = self._through_vae(case)
        result = photo if picture == "photo" else through_vae(self.sd, case.ideal)
        return self._scores(case, photo, result) | _costs(0, 0, 0.0, 0.0)

    def edit(
        self, case: PictureCase, method: Method, inversion: Inversion, pasted: bool = False, masked: bool = False
    ) -> Cell:
        """The scores of one edit, and what it costs. pasted: with the photo's own pixels outside the method's mask.
        masked: the method gets the true region as the user's mask.

        passes: samples that went through the UNet; those of the original branch count too. seconds: wall time.
        """
        found = self._invert(case, inversion, method.steps)
        passes = self.engine.passes
        result, picture = self.draw(case, method, inversion, pasted, masked)
        assert result.reconstruction is not None
        return self._scores(case, result.reconstruction, picture) | _costs(
            self.engine.passes - passes, found.passes, result.timings["sample"], found.seconds
        )

    def draw(
        self, case: PictureCase, method: Method, inversion: Inversion, pasted: bool = False, masked: bool = False
    ) -> tuple[Result, Image.Image]:
        """What the method made of the picture, and the edited picture, in which the photo may be pasted."""
        result = run(
            self.sd,
            case.prompt,
            case.target,
            settings=method,
            image=case.photo,
            inversion=self._invert(case, inversion, method.steps).start,
            mask=Image.fromarray(case.region).convert("L") if masked else None,
            engine=self.engine,
        )
        picture = result.image
        assert isinstance(picture, Image.Image)
        if pasted:
            assert isinstance(result.mask, Image.Image)
            picture = paste(picture, case.photo, result.mask, around=reach(self.sd.vae.config.factor))
        return result, picture

    def _invert(self, case: PictureCase, inversion: Inversion, steps: int) -> _Inverted:
        """The start that all methods with these steps share. It fits the guidance GUIDANCE."""
        self._turn_to(case)
        if (inversion, steps) not in self.inverted:
            begin, passes = time.perf_counter(), self.engine.passes
            start = invert(self.sd, case.photo, case.prompt, inversion, steps, guidance=GUIDANCE, engine=self.engine)
            seconds = time.perf_counter() - begin
            self.inverted[inversion, steps] = _Inverted(start, seconds, self.engine.passes - passes)
        return self.inverted[inversion, steps]

    def _through_vae(self, case: PictureCase) -> Image.Image:
        """The picture as the VAE gives it back. It is made once for all cells of the picture."""
        self._turn_to(case)
        self.vae = self.vae or through_vae(self.sd, case.photo)
        return self.vae

    def _turn_to(self, case: PictureCase) -> None:
        """Forgets what was made of another picture."""
        if case != self.case:
            self.case, self.inverted, self.vae = case, {}, None

    def _scores(self, case: PictureCase, reconstruction: Image.Image, picture: Image.Image) -> Cell:
        photo = case.photo
        scores = self.judge.detector.scores([photo, reconstruction, picture])
        by_class = {
            side: {name: round(float(values[k]), 5) for name, values in scores.items()} for k, side in enumerate(SIDES)
        }
        vae = psnr(from_pil(self._through_vae(case)), from_pil(photo))
        found = psnr(from_pil(reconstruction), from_pil(photo))
        truth = against_truth(picture, photo, case.ideal, case.region)
        cell = {**by_class, **truth, "psnr vae": decibels(vae), "psnr reconstruction": decibels(found)}
        if self.extras is None:
            return cell
        return cell | self.extras.of(
            Shown(case.prompt, case.target, [photo], [picture], [case.ideal], box_of(case.region))
        )


def _costs(passes: int, inversion_passes: int, seconds: float, inversion_seconds: float) -> Cell:
    return {
        "passes": passes,
        "inversion passes": inversion_passes,
        "seconds": round(seconds, 3),
        "inversion seconds": round(inversion_seconds, 3),
    }
