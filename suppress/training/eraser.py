"""What is trained: the settings of an eraser, and the new weights that it finds.

An eraser changes the UNet once, so that it no longer draws a concept. `Eraser.fit` returns the new values of some
parameters; suppress/training/run.py writes them as a delta file, which `--method delta:FILE` uses. An eraser that
descends on a loss subclasses `Objective` (suppress/training/objective.py); one that is solved in closed form overrides
`fit` alone. To add one, write its file and name it in suppress/training/catalogue.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from torch import Tensor

from minisd import UserError
from minisd.base.arguments import check_prompt, check_seed, plain, shown

from ..prompt import Request, find_places, read_request

if TYPE_CHECKING:
    from minisd import StableDiffusion

    from .state import StateFile

Progress = Callable[..., Any]  # such as tqdm: progress(iterable, total=…)


@dataclass(frozen=True)
class Trained:
    """What `fit` found."""

    tensors: dict[str, Tensor]  # the new values of parameters of the UNet, by their names in its state dict
    notes: dict[str, Any] = field(default_factory=dict)  # what else the file should say, for JSON: losses, seconds


@dataclass(frozen=True)
class Eraser:
    """The settings that every eraser has."""

    concept: str = ""  # the words to unlearn: "glasses"
    # prompts that name the concept; empty: the concept alone. A phrase in [brackets] is what belongs to the concept in
    # that prompt: "a man with a beard [wearing glasses] in a blue shirt"
    prompts: tuple[str, ...] = ()
    seed: int = 0  # of all that is drawn at random

    def __post_init__(self) -> None:
        for f in fields(self):  # plain Python numbers can be written to JSON
            object.__setattr__(self, f.name, plain(getattr(self, f.name)))
        if not check_prompt(self.concept).strip():
            raise UserError("the concept is empty; name what is to be unlearned, as in --concept glasses")
        check_seed(self.seed)
        if isinstance(self.prompts, str) or not isinstance(self.prompts, Iterable):
            raise UserError(f"prompts = {shown(self.prompts)}; expected a list of prompts")
        object.__setattr__(self, "prompts", tuple(check_prompt(prompt) for prompt in self.prompts))

    def fit(self, sd: StableDiffusion, state: StateFile | None = None, progress: Progress | None = None) -> Trained:
        """The new weights. state: where a training that was stopped is kept; None: nowhere."""
        raise NotImplementedError(f"{type(self).__name__}.fit")

    def requests(self) -> list[Request]:
        """The prompts, each with the places of the concept. UserError if a prompt does not name it."""
        found = []
        for prompt in self.prompts or (self.concept,):
            request = read_request(prompt, None if "[" in prompt else self.concept)
            marked = [place for target in request.found for place in target.places]
            places = find_places(request.prompt, self.concept)
            if not any(a <= start and end <= b for start, end in places for a, b in marked):
                raise UserError(f"the prompt {prompt!r} does not name the concept {self.concept!r}")
            found.append(request)
        return found

    def texts(self) -> list[str]:
        """The prompts as the model reads them, without brackets. They need not name the concept."""
        return [prompt.replace("[", "").replace("]", "") for prompt in self.prompts or (self.concept,)]
