"""The tables of GIE, "Growth Inhibitors for Suppressing Inappropriate Image Concepts" (Chen et al., ICLR 2025).

The paper measures NSFW content on I2P and objects by CLIP over CIFAR-10's classes; neither is in the drawn world. Here
the target is an attribute, and the judge the embedded model's detector; so the paper's figures are not shown.
"""

from __future__ import annotations

from ..evaluation.implied import IMPLYING
from .protocol import DET, OTHERS, SSIM, Protocol, group

_FORMS = {"adapter": "gie:adapter=own", "w = -2": "gie:scale=-2", "w = -5": "gie:scale=-5"}

TABLE_1 = Protocol(
    name="gie-table-1",
    source="Chen et al. 2025, Table 1: implicit prompts",
    claim="GIE also removes what the prompt implies without naming it.",
    differs="Attributes of the drawn world for nudity; the prompts of `suppress eval --kinds implied`.",
    groups={f"{case.prompt}: {case.target}": (case,) for case in IMPLYING},
    rows={
        "negative prompt": "negative-prompt",
        "SLD": "sld:warm_up=2",
        "GIE": _FORMS["adapter"],
        "NegPiP": "value-flip",
    },
    metrics=(DET,),
    steps=10,
    start=0,
)

TABLE_2 = Protocol(
    name="gie-table-2",
    source="Chen et al. 2025, Table 2: objects and their synonyms",
    claim="A word's inhibitor also acts on its synonyms, and leaves other objects alone.",
    differs="Glasses and hats for classes of CIFAR-10; the last column names neither and should not change.",
    groups={
        "glasses": group("first", ("a man with glasses", "glasses", "a man")),
        "spectacles": group("implied", ("a man wearing spectacles", "glasses", "a man")),
        "hat": group("first", ("a woman with a hat", "hat", "a woman")),
        "cap": group("implied", ("a woman with a cap", "hat", "a woman")),
        "no target: a boy with a balloon": group(
            "implied", ("a boy with a balloon", "glasses", "a boy with a balloon")
        ),
    },
    rows={"GIE": _FORMS["adapter"], "NegPiP": "value-flip", "UCE": "uce"},
    metrics=(DET, SSIM),
    start=0,
)

TABLE_3 = Protocol(
    name="gie-table-3",
    source="Chen et al. 2025, Table 3 and Fig. 11: the adapter against a fixed scale",
    claim="The adapter removes as much as a large scale and keeps as much as a small one.",
    differs="Attributes of the drawn world for nudity.",
    groups={
        "named": group(
            "list",
            ("a man with glasses and a hat", "glasses", "a man with a hat"),
            ("a girl with a scarf in the forest", "scarf", "a girl in the forest"),
            ("a dog with headphones at night", "headphones", "a dog at night"),
        )
    },
    rows=_FORMS,
    metrics=(DET, SSIM, OTHERS),
    start=0,
)

FIG_10 = Protocol(
    name="gie-fig-10",
    source="Chen et al. 2025, Fig. 10: the position of the inhibitor",
    claim="Before [EOT] it removes most; behind [SOT] least.",
    differs="Attributes of the drawn world for nudity.",
    groups=TABLE_3.groups,
    rows={where: f"gie:scale=-2,position={where}" for where in ("before-eot", "after-sot", "random")},
    metrics=(DET, SSIM),
    start=0,
)

GIE = (TABLE_1, TABLE_2, TABLE_3, FIG_10)
