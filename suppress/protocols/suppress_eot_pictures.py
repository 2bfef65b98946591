"""The tables of real pictures in "Get What You Want, Not What You Don't" (Li et al., ICLR 2024).

The paper edits 100 photos of Unsplash and COCO (Table 1) and the 18 883 pictures of GQA-Inpaint (Table 2), after
null-text inversion with 50 steps. Here the pictures are drawn ones, and there are 15 steps.
"""

from __future__ import annotations

from ..evaluation.pairs import VAE, Pair
from .protocol import CLIP, DET, FID, IFID, INSIDE, OUTSIDE, TOP_1, TOP_5, PictureProtocol

_ITO = "suppress-eot:iterations=10,step_size=5"  # the step size of the authors' code for real pictures
_UNREAD = Pair("unread:keep=1", "direct", label="Unread, keep 1")

TABLE_1_REAL = PictureProtocol(
    name="suppress-eot-table-1-real",
    source="Li et al. 2024, Table 1, real pictures",
    claim="Their method has the lowest CLIP score and DetScore on photos, too.",
    differs="Drawn pictures for photos.",
    rows=(
        Pair("negative-prompt", "null-text", label="negative prompt"),
        Pair("reweight", "null-text", label="P2P, re-weighting"),
        Pair(_ITO, "null-text", label="SuppressEOT"),
        _UNREAD,
    ),
    metrics=(DET, CLIP, IFID, OUTSIDE, INSIDE),
    paper={
        VAE: {CLIP: 0.7986, IFID: 0.0, DET: 0.3381},  # the paper's row "real image"
        "negative prompt": {CLIP: 0.7983, IFID: 175.8, DET: 0.2402},
        "P2P, re-weighting": {CLIP: 0.7666, IFID: 92.53, DET: 0.1758},
        "Inst-Inpaint": {CLIP: 0.7327, IFID: 135.5, DET: 0.1125},
        "SuppressEOT": {CLIP: 0.6857, IFID: 166.3, DET: 0.0384},
    },
)

TABLE_2 = PictureProtocol(
    name="suppress-eot-table-2",
    source="Li et al. 2024, Table 2: instructions, as in GQA-Inpaint",
    claim="From “remove the hat” they take the prompt “the hat”, and have the highest CLIP accuracy; Inst-Inpaint, "
    "which is trained on pairs, has the lowest FID.",
    differs="Instructions of the drawn world; FID against the true edit; the paper has an inpainter's.",
    rows=(Pair(_ITO, "null-text", label="SuppressEOT"), _UNREAD),
    metrics=(DET, TOP_1, TOP_5, FID, OUTSIDE, INSIDE),
    paper={
        "X-Decoder": {FID: 6.86, TOP_1: 0.699, TOP_5: 0.465},
        "Inst-Inpaint": {FID: 5.50, TOP_1: 0.805, TOP_5: 0.604},
        "SuppressEOT": {FID: 13.87, TOP_1: 0.928, TOP_5: 0.833},
    },
    kinds=("glasses", "hat", "scarf", "object"),
    instructions=True,
    classes=(
        *("glasses", "sunglasses", "hat", "scarf", "beard", "moustache", "earrings", "bow tie", "mask", "headphones"),
        *("balloon", "umbrella", "flower", "car", "cake"),
    ),
)

SUPPRESS_EOT_PICTURES = (TABLE_1_REAL, TABLE_2)
