"""A method to copy: the rows of target and [EOT] fade towards those of the empty prompt.

    ĉ_j = (1 - a) c_j + a ∅_j     for j in the rows of target and [EOT],     ĉ_j = c_j otherwise

To make your own method: copy this file, change the equation, register it under a name, and run it on both engines. Its
test is tests/suppress/methods/test_example.py.

    suppress.register("my-fade", Fade, "target and [EOT] fade towards the empty prompt")
    suppress.run(sd, "a man without glasses", "glasses", method="my-fade:amount=0.8")
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from minisd.base.arguments import number

from ..edits.maps import Maps
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class Fade(Method):
    """The rows of target and [EOT] fade towards those of the empty prompt."""

    amount: float = 1.0  # a: 0 changes nothing, 1 replaces the rows; chosen for this example

    def __post_init__(self) -> None:
        super().__post_init__()
        number("amount", self.amount, 0)

    def edit(self, run: Run) -> Edit:
        return FadeEdit(self, run)


class FadeEdit(Edit):
    def __init__(self, settings: Fade, run: Run):
        super().__init__(run)
        empty = run.sd.encode_text("")
        self.ctx = run.ctx.clone()  # ĉ (B,77,D)
        for ctx, prompt in zip(self.ctx, run.prompts, strict=True):
            rows = [*prompt.target, *prompt.eot]
            ctx[rows] = (1 - settings.amount) * ctx[rows] + settings.amount * empty[0, rows]

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, contexts=(same.contexts[0], self.ctx))
