"""DetScore for any word: detectors that look for a phrase in a picture, through transformers.

DetScore (Li et al. 2024, section 4 and appendix A) is the score that an open-vocabulary detector gives the target on
the edited picture, with a threshold of .7. The paper's detector is GLIP in MMDetection. Here it is Grounding DINO (Liu
et al. 2024) or OWLv2 (Minderer et al. 2023). Scores of different detectors cannot be compared, so each carries the
name and the revision of its own.

The paper does not say what a score below the threshold counts. Here it counts as 0: nothing was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from minisd import UserError
from minisd.picture import to_rgb

from .unavailable import Unavailable, cached, unavailable_if_damaged

THRESHOLD = 0.7
# name in weights/manifest.json -> how a phrase is put to the detector, as in its training
QUESTIONS = {"grounding-dino": "{}.", "owlv2": "a photo of a {}"}


@dataclass(frozen=True)
class DetScores:
    """What goes into a file of scores (dataclasses.asdict)."""

    values: list[float]  # one per picture: the score of the best box; 0 if that is below the threshold
    threshold: float
    detector: str
    revision: str


class OpenDetector:
    """`OpenDetector.load("owlv2")` takes one from the hub's cache."""

    def __init__(self, model: Any, processor: Any, name: str, revision: str):
        """name: one of QUESTIONS. model, processor: of transformers."""
        if name not in QUESTIONS:
            raise UserError(f"no detector {name!r}; expected one of {', '.join(QUESTIONS)}")
        self.model, self.processor = model.eval().requires_grad_(False), processor
        self.name, self.revision = name, revision

    @classmethod
    def load(cls, name: str) -> OpenDetector:
        """The detector `grounding-dino` or `owlv2`. Its revision is the commit of its repository.

        Unavailable if it is not in the cache, is damaged, or needs a package that is missing.
        """
        if name not in QUESTIONS:
            raise UserError(f"no detector {name!r}; expected one of {', '.join(QUESTIONS)}")
        folder = cached(name, name)
        return cls.of(folder, name, revision=folder.name)  # the hub's cache names a folder by its commit

    @classmethod
    def of(cls, folder: Path, name: str, revision: str) -> OpenDetector:
        """The detector in a folder, as transformers' `save_pretrained` writes it, for both model and processor."""
        with unavailable_if_damaged(folder):
            from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

            model = AutoModelForZeroShotObjectDetection.from_pretrained(folder, local_files_only=True)
            return cls(model, AutoProcessor.from_pretrained(folder, local_files_only=True), name, revision)

    def det_scores(self, pictures: Sequence[Image.Image], phrase: str, threshold: float = THRESHOLD) -> DetScores:
        """DetScore of each picture, with what must be known about it."""
        best = self.scores(pictures, phrase)
        return DetScores(best.where(best >= threshold, 0).tolist(), threshold, self.name, self.revision)

    @torch.no_grad()
    def scores(self, pictures: Sequence[Image.Image], phrase: str) -> Tensor:
        """(B,) from 0 to 1: the score of the box that fits the phrase best, whatever it is."""
        question = QUESTIONS[self.name].format(phrase.strip().lower())  # Grounding DINO reads lower case only
        return torch.stack([self._score(to_rgb(picture), question) for picture in pictures])

    def _score(self, picture: Image.Image, question: str) -> Tensor:
        """One picture at a time: they may have several sizes, and padding would change a score."""
        try:
            inputs = self.processor(images=picture, text=question, return_tensors="pt", truncation=True)
        except ImportError as error:
            reason = " ".join(str(error).split())
            raise Unavailable(f'{self.name} needs more packages (`pip install "minisd[eval]"`): {reason}') from error
        logits = self.model(**inputs.to(self.model.device)).logits  # (1,boxes,tokens or phrases)
        return logits.max().sigmoid().cpu()
