"""The contract between methods and engines: a method says what a step needs, an engine decides how it is computed.

Every method draws two branches from one `Start`, the original (z) and the edited (ẑ). For step i = 0 … steps-1:

    original = Inputs(z, (∅_i, c))                        z <- DDIM(z, ∅ + w (c - ∅))
    edited   = edit.inputs(i, Inputs(ẑ, (∅_i, c)), original, maps)
    ẑ <- edit.step(i, edited.z, edit.combine(i, noise of edited))        from step R on; before it, plain steps, as z
    ẑ <- edit.blend(i, ẑ, z)

(In `Inputs`, ∅ and c are the contexts of the empty prompt and of the prompt; in DDIM, they stand for the noise that the
UNet predicts with them. A negative prompt of the user's takes the place of the empty one. w: guidance.) To write a
method, subclass `Method` for its settings and `Edit` for its work on one batch, and override only what differs;
suppress/methods/example.py is made to be copied. `run` (suppress/loop.py) is the batch at work:

    run.sd, run.prompts, run.ctx (c), run.batch (B), run.start, run.schedule, run.settings      what there is
    run.per_prompt(f), run.soft_weight(γ)                                      contexts, prompt by prompt
    run.read_maps(i, z, ctx, spec), run.show(i, z, ctx, tap), run.descend(…), run.predict(…), run.step(…)
                                                                               for a method's inner loops

Shapes: B samples, each with its own prompt and rows; contexts (B,77,D); latents (B,4,h,w).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from minisd import Tap, UNet, UserError
from minisd.base.arguments import fraction, number, plain, shown, step_number, whole_number
from minisd.base.counted import counted
from minisd.config import CONTEXT

from .edits.maps import Maps, MapSpec
from .prompt import Prompt

if TYPE_CHECKING:
    from .loop import Run


@dataclass(frozen=True, eq=False)
class Start:
    """Where a job begins: noise, or a picture that was inverted."""

    z: Tensor  # (B,4,h,w), the latents before step `begin`
    # step i -> ∅_i (1,77,D) or (B,77,D): the empty prompt, the user's negative prompt, or what an inversion found
    uncond: Callable[[int], Tensor]
    # the latents that an inversion found, (B,4,h,w) each: one before each step, and one after the last step
    pivots: Sequence[Tensor] | None = None
    pinned: bool = False  # whether the original branch is set to the pivots after each step; the edited one never is
    # what an inversion adds to what the edited branch does: to the method's edit, and to the plain steps before R
    around: Callable[[Edit], Edit] | None = None
    begin: int = 0  # the first step of the loop; z has its noise level
    mask: Tensor | None = None  # (B,1,H,W), H, W pixels: 1 where the user wants the picture changed, else 0
    negative: str = ""  # the negative prompt that an inverted picture's ∅ holds

    def __post_init__(self) -> None:
        if self.pinned and self.pivots is None:
            raise UserError("a Start with pinned=True needs the pivots that the original branch is to follow")

    def follow(self, i: int, z: Tensor) -> Tensor:
        """The original's latents after step i: z, or the pivot if the original is pinned."""
        return self.pivots[i + 1] if self.pinned and self.pivots is not None else z

    def picture(self, i: int, original: Tensor) -> Tensor:
        """z* (B,4,h,w), the picture's latents before step i; i = steps: after the last step.

        They are its pivot, or `original`, the original branch's latents, if the start has no pivots.
        """
        return original if self.pivots is None else self.pivots[i].expand_as(original)

    def edit(self, run: Run) -> Edit:
        """The method's edit on this batch, with what the inversion and `Method.keep` add to it."""
        return self._wrapped(run, run.settings.edit(run))

    def before(self, run: Run) -> Edit:
        """What the edited branch does before step R: plain steps, with the same additions."""
        return self._wrapped(run, Edit(run))

    def one_before(self, settings: Method) -> bool:
        """Whether the two branches are equal before step R."""
        kept_apart = settings.keep > 0 and self.pivots is not None
        return not (self.pinned or kept_apart) and self.around is None

    def _wrapped(self, run: Run, edit: Edit) -> Edit:
        from .edits.keep_outside import KeepOutside  # it builds on this module

        edit = self.around(edit) if self.around is not None else edit
        return KeepOutside(edit) if run.settings.keep > 0 else edit


@dataclass(frozen=True, eq=False)
class Inputs:
    """What one branch shows the UNet at one step. Each context gives one noise prediction."""

    z: Tensor  # (B,4,h,w)
    contexts: tuple[Tensor, ...]  # (∅, c, further ones), (B,77,D) each
    # A tap sees the batch [original × B, edited × B]; `Part(tap, slice(B, None))` sees only the edited samples
    tap: Tap | None = None  # in the pass with contexts[1], the prompt
    tap_uncond: Tap | None = None  # in the pass with contexts[0]; further contexts have no tap

    def __post_init__(self) -> None:
        if len(self.contexts) < 2:
            raise UserError(f"Inputs with {counted(len(self.contexts), 'context')}; expected (∅, c), or more")
        for ctx in self.contexts:  # all contexts of a step may be one batch
            if not isinstance(ctx, Tensor) or ctx.dim() != 3 or ctx.shape[:2] != (len(self.z), CONTEXT):
                found = tuple(ctx.shape) if isinstance(ctx, Tensor) else shown(ctx)
                raise UserError(f"Inputs with a context {found}; expected shape ({len(self.z)},{CONTEXT},D)")


@dataclass(frozen=True)
class Method:
    """The settings that every method has. A subclass adds its own, each with its source, and makes its `Edit`."""

    steps: int = 50  # DDIM steps; from the authors' code
    guidance: float = 7.5  # classifier-free guidance w; from the code
    # R, the step at which the edit begins: a step number, or a fraction of the steps below 1; from the code
    start: int | float = 0.2
    # the rate, 0 to 1, at which all that the edit does not concern is pulled back to the original after each step
    # (suppress/edits/keep_outside.py); 0: not at all, as in the papers
    keep: float = 0.0

    takes_mask: ClassVar[bool] = False  # whether the method itself makes use of `Start.mask`; `keep` always does

    def __post_init__(self) -> None:
        for field in fields(self):  # plain Python numbers can multiply tensors and be written to JSON
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        whole_number("steps", self.steps, 1)
        object.__setattr__(self, "guidance", number("guidance", self.guidance, -math.inf))
        step_number("start", self.start, self.steps)
        object.__setattr__(self, "keep", fraction("keep", self.keep))

    @property
    def start_step(self) -> int:
        """R as a step number."""
        return step_number("start", self.start, self.steps)

    @property
    def needs_words(self) -> bool:
        """Whether each target must be among the words of the prompt; otherwise a target may be any phrase."""
        return True

    def edit(self, run: Run) -> Edit:
        """Makes the `Edit` that works on one batch. Called once per batch."""
        raise NotImplementedError(f"{type(self).__name__}.edit")

    def remark(self, prompt: Prompt) -> str:
        """One line that the user should know about the method on this prompt; may be empty."""
        return ""

    @property
    def descends_on(self) -> str:
        """The score that the method itself makes small, "DetScore" or "CLIP score"; empty: none.

        That score is no fair judge of the method, and tables say so.
        """
        return ""


class Edit:
    """A method at work on one batch. It holds all state of the method. The base class edits nothing: ẑ = z."""

    maps: MapSpec | None = None  # which of the original's maps `inputs` gets, at the steps that `reads_maps` names
    unet: UNet | None = None  # a UNet with other weights, for the edited branch
    # the first step at which the edit changes anything, if this is later than R; `Method.keep` measures from there
    acts_from: int = 0

    def __init__(self, run: Run):
        self.run = run

    def reads_maps(self, i: int) -> bool:
        """Whether `inputs` needs the original's maps at step i. An engine may ask more than once, and a step early."""
        return False

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        """What the edited branch shows the UNet at step i.

        same: the edited latents with the original's contexts. maps: the original's, if `reads_maps(i)`, else None.
        The step starts from the latents that are returned here, so a method may move them.
        """
        return same

    def combine(self, i: int, eps: tuple[Tensor, ...]) -> Tensor:
        """eps holds one prediction (B,4,h,w) per context; returns one noise. Default: classifier-free guidance."""
        return self.run.guide(eps)

    def step(self, i: int, z: Tensor, eps: Tensor) -> Tensor:
        """The edited latents after step i. Default: DDIM."""
        return self.run.step(i, z, eps)

    def blend(self, i: int, z: Tensor, original: Tensor) -> Tensor:
        """The edited latents after step i, given the original's (B,4,h,w) after the same step. Default: z."""
        return z

    def changed(self) -> Tensor | None:
        """The mask outside which the edit kept the original: (B,1,h,w) or (B,1,H,W), 1 inside; None if it has none.

        It is read after the last step.
        """
        return None
