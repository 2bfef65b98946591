"""The table and the ablations of "MagicRemover: Tuning-free Text-guided Image Inpainting" (Yang et al. 2023).

The paper has FID on COCO and the votes of 30 people; its ablations are pictures without figures. Here the pictures are
drawn ones, so that the ideal edit is known. Null-text inversion and 50 steps are the paper's; here there are 15 steps.

The strength v is not in the paper. Its ablations are run here with ten times this project's default, because the
default changes too little for a difference to be seen (suppress/methods/magic_remover.py).
"""

from __future__ import annotations

from ..evaluation.pairs import Pair
from .protocol import DET, FID, IDEAL, INSIDE, OUTSIDE, PictureProtocol

_HERE = "Drawn pictures for photos, the truth for FID and votes."
_LOCAL = ("glasses", "beard", "hat", "scarf", "object")
_STRONGER = "strength=0.1"


def _row(label: str, settings: str = "", masked: bool = False) -> Pair:
    """MagicRemover with these settings, on the inversion that it was published with."""
    return Pair(f"magic-remover{settings and ':'}{settings}", "null-text", masked=masked, label=label)


def _ablation(label: str, settings: str = "") -> Pair:
    return _row(label, ",".join(filter(None, (_STRONGER, settings))))


TABLE_1 = PictureProtocol(
    name="magic-remover-table-1",
    source="Yang et al. 2023, Table 1",
    claim="Without a mask, MagicRemover has a lower FID than Inst-Inpaint, and 61 % of the users' votes.",
    differs=_HERE,
    rows=(
        _row("MagicRemover w/o mask"),
        _row("MagicRemover w mask", masked=True),
        Pair("attentive-eraser:scale=3", "noised", masked=True, label="Attentive Eraser w mask"),
        Pair("unread:keep=1", "direct", label="Unread, keep 1"),
    ),
    metrics=(DET, OUTSIDE, INSIDE, IDEAL, FID),
    paper={
        "SD-Inpaint": {FID: 9.72},
        "LaMa": {FID: 8.44},
        "MagicRemover w mask": {FID: 12.07},
        "Inst-Inpaint": {FID: 16.15},
        "MagicRemover w/o mask": {FID: 12.78},
    },
)

FIG_4 = PictureProtocol(
    name="magic-remover-fig-4",
    source="Yang et al. 2023, Fig. 4: the time step at which guidance begins",
    claim="Guidance from a larger t on erases more, and changes more of the background.",
    differs=_HERE,
    rows=tuple(_ablation(f"from t = {t}", f"start={1 - t / 1000:g}") for t in (900, 800, 600, 400)),
    kinds=_LOCAL,
)

FIG_6 = PictureProtocol(
    name="magic-remover-fig-6",
    source="Yang et al. 2023, Fig. 6: relaxing (Re), reweighting (Rp), shared keys and values (Sg)",
    claim="Sg keeps the picture similar; Re and Rp keep the background.",
    differs=_HERE,
    rows=(
        _ablation("without Re", "relax=0"),  # the bracket of eq. 7 is 0: the goal is a map of zeros
        _ablation("without Rp", "weight=none"),
        _ablation("without Sg", "share=false"),
        _ablation("all three"),
    ),
    kinds=_LOCAL,
)

FIG_7 = PictureProtocol(
    name="magic-remover-fig-7",
    source="Yang et al. 2023, Fig. 7: more steps (N) against classifier optimisation (Co)",
    claim="With Co, few steps are enough: it makes the erasure stronger.",
    differs=f"{_HERE} 15, 30 and 60 steps for 50, 100 and 200.",
    rows=(
        *(_ablation(f"N = {steps}, without Co", f"extra=0,steps={steps}") for steps in (15, 30, 60)),
        _ablation("N = 15, with Co", "steps=15"),
    ),
    kinds=_LOCAL,
)

FIG_9 = PictureProtocol(
    name="magic-remover-fig-9",
    source="Yang et al. 2023, Fig. 9: the influence of λ",
    claim="The smaller λ is, the cleaner the object is erased, and the more the colours change.",
    differs=_HERE,
    rows=tuple(_ablation(f"λ = {relax:g}", f"relax={relax:g}") for relax in (0.2, 0.4, 0.6, 0.8, 1)),
    kinds=_LOCAL,
)

MAGIC_REMOVER = (TABLE_1, FIG_4, FIG_6, FIG_7, FIG_9)
