"""UCE: "Unified Concept Editing in Diffusion Models" (Gandikota et al., WACV 2024).

A concept's words get the meaning of others. A closed-form edit of all key and value projections sends the concept's
embedding to the output of a guide, such as "art" or the empty prompt, and keeps the outputs of other texts. It is one
matrix T on the context, so that no weight changes (suppress/edits/linear.py, with the derivation):

    T = 1 + s Σ (c*_i - c_i) c_iᵀ A⁻¹,      A = λ 1 + s Σ c_i c_iᵀ + r Σ p_j p_jᵀ
    ẑ <- DDIM(ẑ, ε(ẑ, T ∅) + w (ε(ẑ, T c) - ε(ẑ, T ∅)))

A guide that is an anchor ("art") erases, the empty guide moderates; both are this formula. An empty phrase has no last
piece: its row is [SOT], as in the code. Every other token moves by its overlap with the concept's rows; the preserved
texts limit that. T acts on any prompt: `fit` makes it once, as a file for `--method context-map:FILE`.

Where code and paper differ: the scripts of the paper (2023) and the code of 2025 align concept and guide differently.
- `paper()`, 2023: the last piece, then [EOT] and all padding, in order: rows l … l+76-f of the concept become rows
  l* … l*+76-f of the guide, f = max(l, l*). All 77 rows of a preserved text are kept, and "" is preserved.
  r = max(.1, 1 / number of preserved texts).
- `official()`, 2025: the last piece alone, of concept, guide and preserved texts; r = 1; nothing is preserved.
The paper prints no λ; the code has λ = .5. In both, the empty prompt of the guidance is mapped too (`uncond`).

Not here, because it is no map of the context: debiasing in the form of 2023, and the code's option "tensor". It costs
one linear system of the size of the context's width (768 in SD) and no UNet pass.

On the embedded model (six prompts × 2 seeds, 12 steps; all originals show the target): 2023 has DetScore .00 and SSIM
.43 to the original, 2025 .51 and .53, because it leaves [EOT] alone. T moves words that have nothing to do with the
target by up to half of their norm (`suppress analyse --only moved`), so that a cat may get headphones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from minisd import StableDiffusion, UserError
from minisd.base.arguments import check_prompt, number, one_of, shown
from minisd.base.counted import counted
from minisd.config import CONTEXT

from ..edits.concepts import concepts, last_piece, phrases
from ..edits.context_map import ContextMap, MapEdit, make_map
from ..edits.linear import Pairs, solve
from ..protocol import Edit, Method

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class UCE(Method):
    """The settings; the default is that of the paper's scripts."""

    start: int | float = 0  # all steps: the published edit is in the weights
    concept: str = ""  # what to erase, separated by commas; empty: the prompt's targets
    guide: str = ""  # what it becomes: one phrase for all concepts, or one for each; empty: the empty prompt (2023)
    preserve: str = ""  # further texts whose outputs are kept, separated by commas
    preserve_empty: bool = True  # whether "" is one of these; 2023: yes, 2025: no
    rows: Literal["from-last", "last"] = "from-last"  # the rows of an edit: from the last piece on (2023), or it alone
    lam: float = 0.5  # λ, from the code
    scale: float = 1.0  # s, from the code
    preserve_scale: float | None = None  # r; None: max(.1, 1 / number of preserved texts) (2023); 1 in 2025
    uncond: Literal["mapped", "kept"] = "mapped"  # the empty prompt of the guidance; the code's is mapped

    @classmethod
    def paper(cls, **changes: Any) -> UCE:
        return cls(**changes)

    @classmethod
    def official(cls, **changes: Any) -> UCE:
        code: dict[str, Any] = {"preserve_empty": False, "rows": "last", "preserve_scale": 1.0}
        return cls(**(code | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        for text in (self.concept, self.guide, self.preserve):
            check_prompt(text)
        if not isinstance(self.preserve_empty, bool):
            raise UserError(f"preserve_empty = {shown(self.preserve_empty)}; expected True or False")
        one_of("rows", self.rows, ("from-last", "last"))
        one_of("uncond", self.uncond, ("mapped", "kept"))
        for name in ("lam", "scale", "preserve_scale"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, number(name, getattr(self, name)))

    @property
    def needs_words(self) -> bool:
        return False

    def edit(self, run: Run) -> Edit:
        maps = run.per_prompt(lambda p: self.matrix(run.sd, concepts(self.concept, p)).float()[None])
        return MapEdit(run, maps, self.uncond == "mapped")

    def matrix(self, sd: StableDiffusion, erased: Sequence[str]) -> Tensor:
        """T (D,D) in float64 on the CPU; the identity if nothing is erased."""
        return solve(self.pairs(sd, erased), self.lam, self.scale, self.keep_scale)

    @property
    def keep_scale(self) -> float:
        """r"""
        if self.preserve_scale is not None:
            return self.preserve_scale
        return max(0.1, 1 / max(len(self.preserved), 1))

    @property
    def preserved(self) -> tuple[str, ...]:
        return (*phrases(self.preserve), *([""] if self.preserve_empty else []))

    def guides(self, erased: Sequence[str]) -> list[str]:
        """One guide for each concept. UserError if their numbers do not fit."""
        named = phrases(self.guide) or ("",)
        if len(named) not in (1, len(erased)) and erased:
            raise UserError(
                f"guide = {shown(self.guide)} has {counted(len(named), 'phrase')} for {counted(len(erased), 'concept')}"
                f" ({', '.join(erased)}); expected one for all, or one for each"
            )
        return list(named) if len(named) == len(erased) else [named[0]] * len(erased)

    def pairs(self, sd: StableDiffusion, erased: Sequence[str]) -> Pairs:
        """The rows of concepts, guides and preserved texts, by the chosen alignment."""
        olds, news, kept = [], [], []
        for concept, guide in zip(erased, self.guides(erased), strict=True):
            old, new = aligned(last_piece(sd, concept), last_piece(sd, guide), self.rows)
            olds.append(_encoded(sd, concept)[old])
            news.append(_encoded(sd, guide)[new])
        for text in self.preserved:
            last = last_piece(sd, text)
            kept.append(_encoded(sd, text)[slice(last, last + 1) if self.rows == "last" else slice(None)])
        none = torch.zeros(0, sd.config.unet.context_dim, dtype=torch.float64)
        return Pairs(*(torch.cat([none, *rows]) for rows in (olds, news, kept)))


def fit(sd: StableDiffusion, erased: Sequence[str], settings: UCE | None = None) -> ContextMap:
    """T for any prompt. settings: an instance of `UCE` or `RECE`; its `concept` is not read, `erased` is.

    `write_map` (suppress/edits/context_map.py) writes it to a file.
    """
    settings = settings or UCE()
    if isinstance(erased, str):
        raise UserError(f"erased = {shown(erased)}; expected a list of phrases, such as [{erased!r}]")
    named = [check_prompt(concept) for concept in erased]
    method = type(settings).__name__.lower()
    fields = {name: value for name, value in asdict(settings).items() if name not in COMMON}
    return make_map(sd, settings.matrix(sd, named), method=method, concepts=named, settings=fields)


COMMON = ("steps", "guidance", "start", "keep", "concept", "uncond")  # settings that do not change T


def aligned(last: int, guide_last: int, rows: str) -> tuple[slice, slice]:
    """The rows of a concept, and those of its guide that take their place. last: rows of their last pieces."""
    count = 1 if rows == "last" else CONTEXT - max(last, guide_last)
    return slice(last, last + count), slice(guide_last, guide_last + count)


def _encoded(sd: StableDiffusion, text: str) -> Tensor:
    """(77,D) float64 on the CPU"""
    return sd.encode_text(text)[0].cpu().double()
