"""The judge of pictures: the detector and the CLIP that fit a checkpoint, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from PIL import Image

from minisd import StableDiffusion

from .clip_score import ClipScore
from .detector import Detector, Match
from .own_detector import OwnDetector
from .unavailable import Unavailable

if TYPE_CHECKING:
    from ..result import Result

SUPPRESSED, STRENGTHENED = "suppressed", "strengthened"  # what users' files call the edited pictures
RECONSTRUCTION = "reconstruction"
# "DetScore glasses" -> {"original": […], "suppressed": […]} with one value per picture, or {"reason": "…"}
Scores = dict[str, dict[str, list[float] | str]]
Model = TypeVar("Model")


class Judge:
    """Scores pictures. The detector and CLIP are loaded once, when they are first asked for.

    Every method raises Unavailable, with the reason, if the checkpoint has no detector or no CLIP to answer with.
    detector: makes another one than the checkpoint's.
    """

    def __init__(self, sd: StableDiffusion, detector: Callable[[], OwnDetector] | None = None):
        self._detector: _Once[Detector | OwnDetector] = _Once(detector or (lambda: Detector.of(sd)))
        self._clip: _Once[ClipScore] = _Once(lambda: ClipScore.of(sd))

    @property
    def detector(self) -> Detector | OwnDetector:
        return self._detector.get()

    @property
    def clip(self) -> ClipScore:
        return self._clip.get()

    def load(self) -> Judge:
        """Loads both now, for work that needs both."""
        self._detector.get()
        self._clip.get()
        return self

    def match(self, targets: Sequence[str]) -> list[Match]:
        """The detector's class for each target."""
        return [self.detector.match(target) for target in targets]

    def det_scores(self, pictures: Sequence[Image.Image], targets: Sequence[str]) -> list[float]:
        """DetScore of each picture. Several targets: the score of the one that is seen best, since none is wanted.

        Unavailable also if one target has no class: a score of half the targets would look like a score of them all.
        """
        classes = [match.name for match in self.match(targets)]
        scores = self.detector.scores(pictures)
        return torch.stack([scores[name] for name in classes]).amax(dim=0).tolist()

    def clip_scores(self, pictures: Sequence[Image.Image], phrase: str) -> list[float]:
        """CLIP score of each picture for one phrase."""
        return self.clip(pictures, phrase).tolist()

    def scores(self, result: Result, label: str = SUPPRESSED) -> Scores:
        """DetScore and CLIP score of each target, for the originals and, under `label`, the edited pictures.

        If a picture was edited, its reconstruction is scored too, between the two.
        Nothing is raised here: the reason why a score is missing stands in its place.
        """
        original, edited = both(result)
        rebuilt = {} if result.reconstruction is None else {RECONSTRUCTION: [result.reconstruction]}
        pictures = {"original": original, **rebuilt, label: edited}
        found: Scores = {}
        for target in result.targets:
            found[f"DetScore {target}"] = self._det_score(pictures, target)
            found[f"CLIP score {target}"] = self._clip_score(pictures, target)
        return found

    def _det_score(self, pictures: dict[str, list[Image.Image]], target: str) -> dict[str, list[float] | str]:
        try:
            [match] = self.match([target])
            found: dict[str, list[float] | str] = {k: self.det_scores(v, [target]) for k, v in pictures.items()}
        except Unavailable as reason:
            return {"reason": str(reason)}
        return found | ({"remark": match.remark} if match.remark else {})

    def _clip_score(self, pictures: dict[str, list[Image.Image]], target: str) -> dict[str, list[float] | str]:
        try:
            return {k: self.clip_scores(v, target) for k, v in pictures.items()}
        except Unavailable as reason:
            return {"reason": str(reason)}


class _Once(Generic[Model]):
    """A model that is loaded when it is first asked for, or the reason why there is none. Both are kept."""

    def __init__(self, load: Callable[[], Model]):
        self.load = load
        self.found: Model | Unavailable | None = None

    def get(self) -> Model:
        if self.found is None:
            try:
                self.found = self.load()
            except Unavailable as reason:
                self.found = reason
        if isinstance(self.found, Unavailable):
            raise self.found
        return self.found


def both(result: Result) -> list[list[Image.Image]]:
    """[the original pictures, the edited ones]: lists, also for a single seed."""
    return [p if isinstance(p, list) else [p] for p in (result.original, result.image)]
