"""CASteer: "Cross-Attention Steering" (Gaintseva et al. 2025, arXiv 2503.09630): directions are taken out of the UNet.

For each cross layer ℓ and step i, there is a vector s_ℓi: the direction in which the concept moves the layer's output h
(suppress/edits/steering.py makes it from pairs of prompts). In the edited branch, at every position and in both halves
of the guidance,

    h <- h - β max(⟨h, s⟩, 0) s,    then rescaled to the old length        β = 2: the concept's share changes its sign

The prompt is not changed. Several targets: their vectors are removed one after the other. β = 0 changes nothing.

The vectors are read from a file (`path`), or made before the pictures. Making them draws 2 × `pairs` pictures for each
target, again in every run and for every batch. To make them once, with the 50 pairs of the authors' code:

    from suppress.edits.steering import find_vectors, write_vectors
    from suppress.methods.casteer import prompt_pairs
    write_vectors("glasses.safetensors", find_vectors(sd, "glasses", prompt_pairs("glasses", 50)))

Then `--method casteer:glasses.safetensors` uses the file. It is for one target and one number of steps.

The code's pairs are "X with CONCEPT" and "X", with X from ImageNet's names, or from 8 × 13 phrases about people. Here X
is a subject of the drawn world at a place, in words that every model knows, or what `subjects` names. The code's
constructor ignores its arguments α, β and "steer only up"; this is the rule that it runs. UNet passes: those of plain
guidance, and those of the pairs' pictures.

On the drawn world (four prompts × 2 seeds, 25 steps, R = .1, 4 pairs), β = 2 removes snow, a beard and "van gogh"
(DetScore .00) and thins glasses out (1.00). β = 4 removes these too (.00), with blotches where the target was large.
The vectors of one target take about as long as 8 pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import check_prompt, number, whole_number
from minisd.base.counted import counted

from ..edits.concepts import phrases
from ..edits.maps import Maps
from ..edits.steering import Clock, Steered, Vectors, find_vectors, output_layers, read_vectors
from ..edits.weights import with_parts
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method
from ..world.spec import KINDS

if TYPE_CHECKING:
    from ..loop import Run

SUBJECTS = tuple(f"a {kind}" for kind in KINDS)
PLACES = (
    "", "on a beach", "in a forest", "in the city", "at night", "in a room", "in the mountains", "on a blue background"
)  # fmt: skip
# how a prompt says that the subject has the concept, by the concept's last word
WORDINGS = {
    **dict.fromkeys(("rain", "snow", "night", "forest", "city", "mountains"), "{subject} in the {noun}"),
    **dict.fromkeys(("beach",), "{subject} on the {noun}"),
    **dict.fromkeys(("gogh", "pencil", "watercolor", "style"), "{subject} in the style of {noun}"),
    **dict.fromkeys(("smiling", "sad", "surprised", "happy", "bald", "bearded"), "a {noun} {bare}"),
}
USUAL = "{subject} with {concept}"  # all others; from the code


@dataclass(frozen=True)
class CASteer(Method):
    """Settings."""

    start: int | float = 0  # all steps; from the code
    beta: float = 2.0  # β; from the code
    path: str = ""  # a file of vectors (.safetensors); empty: they are made before the pictures
    # how many pairs of prompts they are made of, if there is no file. This project's own: the code's 50 would cost 100
    # pictures before the first one
    pairs: int = 4
    subjects: str = ""  # the pairs' subjects, separated by commas: "a man, a dog"; empty: those of the drawn world

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "beta", number("beta", self.beta))
        whole_number("pairs", self.pairs, 1)
        check_prompt(self.subjects)

    def remark(self, prompt: Prompt) -> str:
        made = f"{len(prompt.targets)} × {2 * self.pairs} pictures are drawn first, for the vectors"
        return f"β = {self.beta:g}" + ("" if self.path else f", {made}")

    @property
    def needs_words(self) -> bool:
        return False

    def edit(self, run: Run) -> Edit:
        return CASteerEdit(self, run)


class CASteerEdit(Edit):
    def __init__(self, settings: CASteer, run: Run):
        super().__init__(run)
        self.settings, self.clock = settings, Clock()
        several = [prompt.targets for prompt in run.prompts]
        self.vectors = {target: self._vectors(target) for target in dict.fromkeys(t for ts in several for t in ts)}
        layers = {}
        for name, (site, w_out) in output_layers(run.sd.unet).items():
            s = directions([[self.vectors[target].sites[site.name] for target in targets] for targets in several])
            layers[f"{name}.to_out.0"] = Steered(w_out, s, settings.beta, self.clock)
        self.unet = with_parts(run.sd.unet, layers)

    def _vectors(self, target: str) -> Vectors:
        settings, sd = self.settings, self.run.sd
        if settings.path:
            return read_vectors(settings.path, sd, target, settings.steps)
        height, width = (side * sd.vae.config.factor for side in self.run.start.z.shape[-2:])
        pairs = prompt_pairs(target, settings.pairs, settings.subjects)
        return find_vectors(sd, target, pairs, settings.steps, settings.guidance, height, width)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        self.clock.step = i
        return same


def directions(vectors: Sequence[Sequence[Tensor]]) -> Tensor:
    """s (B,n,steps,C) from each sample's vectors (steps,C). If a sample has fewer than n, the others are zeros."""
    most = max(map(len, vectors))
    filling = torch.zeros_like(vectors[0][0])
    return torch.stack([torch.stack([*own, *[filling] * (most - len(own))]) for own in vectors])


def prompt_pairs(concept: str, count: int, subjects: str = "") -> list[tuple[str, str]]:
    """`count` pairs (prompt with the concept, the same without it), all different.

    subjects: separated by commas, as "a man, a dog"; empty: those of the drawn world. UserError if they are too few.
    """
    names = phrases(subjects) or SUBJECTS
    words = [word for word in concept.lower().split() if word not in ("a", "an", "the")] or [concept]
    places = [place for place in PLACES if words[-1] not in place.split()]
    most = len(names) * len(places)
    if count > most:
        raise UserError(
            f"pairs = {count}; expected at most {most}, with {counted(len(names), 'subject')} at {len(places)} places; "
            "name more"
        )
    wording, noun = WORDINGS.get(words[-1], USUAL), " ".join(words)
    pairs = []
    for k in range(count):
        subject, place = names[k % len(names)], places[(k % len(names) + k // len(names)) % len(places)]
        with_it = wording.format(subject=subject, bare=subject.removeprefix("a "), concept=concept, noun=noun)
        pairs.append((f"{with_it} {place}".strip(), f"{subject} {place}".strip()))
    return pairs
