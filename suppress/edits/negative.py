"""What the methods share that push a picture away from unwanted words n, as a negative prompt does.

    n      the words to remove, as a prompt of their own; several targets are one text, joined by ", "
    c      the prompt, or the prompt without the words (`word`): what the edited branch is drawn with
    steps  R … stop; before R both branches are equal, from `stop` on the edited branch is drawn with c alone

As long as c names the thing, the guidance works against its own prompt. With word="cut", deleting the words does most
of the work, so compare with the same method at weight 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from minisd.base.arguments import check_prompt, one_of, step_number

from ..prompt import Prompt, without_targets
from ..protocol import Method

if TYPE_CHECKING:
    from ..loop import Run


def unwanted(run: Run, text: str = "") -> Tensor:
    """n (B,77,D): the encoding of `text`; if it is empty, of each prompt's targets."""
    return run.per_prompt(lambda prompt: run.sd.encode_text(text or ", ".join(prompt.targets)))


def beside_negative(run: Run, words: Callable[[Prompt], str]) -> Tensor:
    """(B,77,D), what a method's own words put in the place of ∅: after the user's negative prompt, if there is one."""

    def text(prompt: Prompt) -> str:
        negative, own = prompt.negative, words(prompt)
        return negative + ", " + own if negative and own else negative or own  # a sum keeps the weights of words

    return run.per_prompt(lambda prompt: run.sd.encode_text(text(prompt)))


def without_words(run: Run) -> Tensor:
    """(B,77,D): the encoding of each prompt without its targets."""
    return run.per_prompt(lambda prompt: run.sd.encode_text(without_targets(prompt)))


@dataclass(frozen=True)
class Negative(Method):
    """The settings that these methods share."""

    start: int | float = 0  # all steps, as published
    # the first step without the guidance: a step number, or a fraction of the steps; None: there is none, as published
    stop: int | float | None = None
    concept: str = ""  # the unwanted words n; empty: the prompt's targets, joined by ", "
    # whether the prompt of the edited branch still has the words; "kept": the user's own prompt, as it is
    word: Literal["kept", "cut"] = "kept"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stop is not None:
            step_number("stop", self.stop, self.steps)
        check_prompt(self.concept)
        one_of("word", self.word, ("kept", "cut"))

    @property
    def needs_words(self) -> bool:
        return self.word == "cut"

    def acts(self, i: int) -> bool:
        """Whether step i has the guidance. (Steps before R never ask.)"""
        return self.stop is None or i < step_number("stop", self.stop, self.steps)

    def prompted(self, run: Run) -> Tensor:
        """c (B,77,D), with which the edited branch is drawn."""
        return run.ctx if self.word == "kept" else without_words(run)

    def remark(self, prompt: Prompt) -> str:
        if self.word == "cut":
            return f"the edited prompt is {without_targets(prompt)!r}"
        return "" if self.acts(self.start_step) else "it changes nothing: stop is not after start"
