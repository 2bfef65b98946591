"""An order -> what is drawn: pictures, maps of each step, scores, leak table. It does what `suppress` does.

One `Studio` serves one model. It draws one order at a time (suppress/ui/runs.py sees to that).
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

from PIL import Image

from minisd import StableDiffusion
from minisd.base.picture_files import read_picture
from minisd.cli import options, parameters
from minisd.cli.prompts import note_foreign_signs
from minisd.emphasis import Weighted

from ..analysis.leak import leak, summarise, verdict
from ..analysis.study import open_study
from ..cli import picture
from ..cli.choose import choose, describe, find_settings
from ..cli.repeat import suppress_fields
from ..engine import Plan
from ..engine.plan import fast_plan
from ..job import run
from ..metrics import Judge, Unavailable
from ..metrics.judge import Scores
from ..prompt import Request, encode, read_request
from ..report.files import Row
from ..report.picture import Photo
from ..report.scores import failures
from ..result import Result
from ..start.invert import invert
from ..step import Step
from .order import MASK_FILE, Order, arguments
from .step_maps import Pair, StepMaps

PREVIEW_EVERY = 0.5  # seconds, or more seldom:
PREVIEW_SHARE = 0.1  # of the time of a drawing, at most, goes into previews


class Stopped(Exception):
    """The order was stopped before there was anything to show."""


@dataclass(frozen=True)
class Progress:
    """What is done so far."""

    label: str
    step: int
    steps: int
    preview: tuple[Image.Image, Image.Image] | None = None  # original and edited, unfinished


Tell = Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class Drawn:
    """What an order gave."""

    order: Order
    targets: tuple[str, ...]
    pictures: dict[str, Image.Image]  # "original", "without"; of a photo also "reconstruction" and "mask"
    about: str  # the method and its settings, in a line
    parameters: str  # what `suppress --params-from` reads
    scores: Scores
    failed: list[str]  # sentences about targets that are still there
    maps: list[Pair]  # of the target, one per step
    begin: int  # the first step
    steps: int  # how many were asked for
    stopped: int | None  # after how many steps it was stopped
    leak: list[dict[str, Any]]  # rows of the leak table
    verdict: str  # what the leak table says; or why there is none
    passes: tuple[int, int]  # samples through the UNet, and those of them with a gradient
    seconds: float
    notes: list[str] = field(default_factory=list)  # warnings


class Studio:
    """A model with what belongs to it."""

    def __init__(self, sd: StableDiffusion, model: argparse.Namespace, plan: Plan | None = None):
        """model: the options of `suppress ui` that name the model, for the commands that the page shows."""
        self.sd, self.model = sd, model
        self.engine = StepMaps(sd, plan or fast_plan(sd.device))
        self.judge = Judge(sd)

    def draw(self, order: Order, stop: Event, tell: Tell) -> Drawn:
        """Draws an order. A stop ends it after the step at work: what is drawn by then is returned.

        UserError for an order that cannot be drawn. Stopped if nothing was drawn.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            drawn = self._draw(order, _Follow(stop, tell))
        notes = dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, UserWarning))
        return replace(drawn, notes=list(notes))

    def _draw(self, order: Order, follow: _Follow) -> Drawn:
        begin, passes, gradients = time.perf_counter(), self.engine.passes, self.engine.gradient_passes
        args = arguments(order, self.model)
        request = read_request(order.prompt, order.remove or None)
        if not isinstance(order.prompt, Weighted):
            for text in (order.prompt, order.negative):
                note_foreign_signs(text)
        picture.check_options(args)
        [spec] = choose(args)
        settings, origin = find_settings(self.sd, args, spec, repeated=False)
        prompt = encode(self.sd, request.prompt, request, settings.needs_words, order.negative)
        row = Row(spec, settings, origin)
        photo = self._photo(order, args, row)
        begun = self._invert(order, args, request, row, photo, follow) if photo else {"seed": [order.seed]}
        if follow.stop.is_set():
            raise Stopped
        follow.tell(Progress("drawing", 0, settings.steps))
        result = run(
            self.sd,
            request.prompt,
            request,
            settings=settings,
            engine=self.engine,
            maps=True,
            callback=follow.drawing,
            height=photo.picture.height if photo else args.height,
            width=photo.picture.width if photo else args.width,
            negative_prompt=order.negative,
            **begun,
        )
        if photo:
            result = picture.pasted(self.sd, args, result, photo)
            if order.photo and result.mask is None:  # then nothing was pasted, and a warning says so
                order = replace(order, photo=replace(order.photo, paste=False))
        follow.tell(Progress("scoring", follow.done, settings.steps))
        scores = self.judge.scores(result)
        rows, words = self._leak(request)
        return Drawn(
            order=order,
            targets=result.targets,
            pictures=_pictures(result),
            about=describe(row, prompt),
            parameters=self._parameters(args, request, row, result, photo, order),
            scores=scores,
            failed=[] if follow.stopped else failures(scores, request.targets, None),
            maps=self.engine.maps(),
            begin=settings.steps - follow.total,
            steps=settings.steps,
            stopped=follow.done if follow.stopped else None,
            leak=rows,
            verdict=words,
            passes=(self.engine.passes - passes, self.engine.gradient_passes - gradients),
            seconds=time.perf_counter() - begin,
        )

    def _photo(self, order: Order, args: argparse.Namespace, row: Row) -> Photo | None:
        """The picture that was loaded, in the size of the drawing."""
        given = order.photo
        if given is None:
            return None
        image, remarks = read_picture(given.content, given.name)
        for remark in remarks:
            warnings.warn(f"{given.name} {remark}", stacklevel=2)
        mask = None if given.mask is None else read_picture(given.mask, MASK_FILE)[0]
        picture.check_mask(args, [row])
        photo = picture.read_photo(self.sd, args, image, mask)
        for remark in photo.remarks:
            warnings.warn(f"{given.name}: {remark}", stacklevel=2)
        return photo

    def _invert(
        self, order: Order, args: argparse.Namespace, request: Request, row: Row, photo: Photo, follow: _Follow
    ) -> dict[str, Any]:
        start = invert(
            self.sd,
            photo.picture,
            request.prompt,
            args.inversion or picture.DEFAULT,
            row.settings.steps,
            guidance=row.settings.guidance,
            negative_prompt=order.negative,
            height=photo.picture.height,
            width=photo.picture.width,
            engine=self.engine,
            progress=follow.inverting,
        )
        return {"image": photo.picture, "inversion": start, "mask": photo.mask}

    def _leak(self, request: Request) -> tuple[list[dict[str, Any]], str]:
        """The rows of the leak table and what they say; or no rows, and the reason.

        It is that of the prompt without weights, whose words are compared with others that have none.
        """
        if not all(target.places for target in request.found):
            return [], "There is no leak table, because the prompt does not name the target."
        try:
            plain = replace(request, prompt=str(request.prompt))
            findings = leak(open_study(self.sd, plain.prompt, plain))
        except Unavailable as reason:
            return [], f"There is no leak table: {reason}."
        left_out = " The weights of words are left out here." if isinstance(request.prompt, Weighted) else ""
        return summarise(findings), verdict(findings) + left_out

    def _parameters(
        self, args: argparse.Namespace, request: Request, row: Row, result: Result, photo: Photo | None, order: Order
    ) -> str:
        size = result.image.size if isinstance(result.image, Image.Image) else result.image[0].size
        s = row.settings
        fields = options.drawing_fields(self.sd, args, s.steps, s.guidance, order.seed, size)
        fields |= {"Seed": None, **photo.fields} if photo else {}
        fields |= suppress_fields(args, request, [(row.name, s)], [order.seed])
        return parameters.to_text(request.prompt, order.negative, fields)


class _Follow:
    """Follows the steps of one order: tells the progress, makes previews, and ends the loop when it is stopped."""

    def __init__(self, stop: Event, tell: Tell):
        self.stop, self.tell = stop, tell
        self.done = self.total = 0  # steps
        self.stopped = False
        self.shown, self.cost = time.perf_counter(), 0.0  # when the last preview was made, and how long that took

    def inverting(self, steps: Iterable, total: int = 0, **_more: Any) -> Iterator:
        """An inversion that ends early is no start for a drawing, so a stop ends the order."""
        for k, step in enumerate(steps):
            if self.stop.is_set():
                raise Stopped
            self.tell(Progress("reading the photo", k, total))
            yield step

    def drawing(self, step: Step) -> bool:
        """After a step: False stops the drawing. The pictures are then those that the step expects."""
        if not self.total:
            self.total = step.total - step.i
        self.done += 1
        last = step.i == step.total - 1
        self.stopped = self.stop.is_set() and not last
        preview, now = None, time.perf_counter()
        if not (self.stopped or last) and now - self.shown > max(PREVIEW_EVERY, self.cost / PREVIEW_SHARE):
            preview = step.original.pictures()[0], step.pictures()[0]
            self.shown = time.perf_counter()
            self.cost = self.shown - now
        self.tell(Progress("drawing", self.done, self.total, preview))
        return not self.stopped


def _pictures(result: Result) -> dict[str, Image.Image]:
    """The pictures of a result by what they show. A run of one seed may hold them in lists."""
    found = {
        "original": result.original,
        "reconstruction": result.reconstruction,
        "without": result.image,
        "mask": result.mask,
    }
    single = {name: p[0] if isinstance(p, list) else p for name, p in found.items() if p is not None}
    return {name: p.convert("RGB") for name, p in single.items()}
