"""Methods that only change the context, in the same way at every step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from minisd.base.arguments import check_prompt

from ..edits.maps import Maps
from ..edits.rows import replace_words
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run


class FixedContext(Edit):
    """The edited branch is drawn with the context ĉ (B,77,D)."""

    def __init__(self, run: Run, ctx: Tensor):
        super().__init__(run)
        self.ctx = ctx

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, contexts=(same.contexts[0], self.ctx))


@dataclass(frozen=True)
class Rewrite(Method):
    """A control for comparisons: from step R on, the prompt is another text, e.g. one without the phrase."""

    text: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_prompt(self.text)

    @property
    def needs_words(self) -> bool:
        return False

    def edit(self, run: Run) -> Edit:
        return FixedContext(run, run.sd.encode_text(self.text).expand_as(run.ctx))


@dataclass(frozen=True)
class WordsByPadding(Method):
    """From step R on, the words' rows are those of [EOT] (Li et al. 2024, Table 5). It removes nothing."""

    @property
    def needs_words(self) -> bool:
        return False

    def edit(self, run: Run) -> Edit:
        return FixedContext(run, run.per_prompt(lambda prompt: replace_words(prompt.ctx, prompt.eot, one=False)))
