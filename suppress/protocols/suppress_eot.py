"""The tables of "Get What You Want, Not What You Don't" (Li et al., ICLR 2024).

The paper draws with SD v1.4 at 50 steps, detects with GLIP, and has 100 captions of COCO (Table 1) or 1000 pictures of
one prompt (Tables 4 and 6, Fig. 1). The tables of real pictures are in suppress_eot_pictures.py. IFID needs more
pictures than these tables draw: 193 in each group. In Table 1, that is `--seeds 17` for the random targets, 39 for
the cars and 49 for the styles.
"""

from __future__ import annotations

from ..evaluation.cases import CASES, ITO
from .captions import glasses_in_captions
from .protocol import CLIP, DET, IFID, ORIGINAL, OTHERS, PROMPT, SSIM, Protocol, each_prompt, group

_WITHOUT = "a man without glasses"
_RANDOM, _CAR, _STYLE = "random target", "car", "artist's style"

TABLE_1 = Protocol(
    name="suppress-eot-table-1",
    source="Li et al. 2024, Table 1, generated pictures",
    claim="Their method has the lowest CLIP score and DetScore on random targets, and it needs no training.",
    differs="Twelve prompts of the drawn world for 100 captions; five for 50 with a car; four styles for Van Gogh's.",
    groups={
        _RANDOM: CASES,
        _CAR: group(
            _CAR,
            ("a man next to a car on the beach", "car", "a man on the beach"),
            ("a girl with a hat next to a car", "car", "a girl with a hat"),
            ("a robot next to a car in the snow", "car", "a robot in the snow"),
            ("a woman with blond hair next to a car", "car", "a woman with blond hair"),
            ("a dog next to a car at night", "car", "a dog at night"),
        ),
        _STYLE: group(
            _STYLE,
            ("a portrait of a woman in the style of van gogh", "van gogh", "a portrait of a woman"),
            ("a van gogh painting of a man with a hat", "van gogh", "a painting of a man with a hat"),
            ("a pencil sketch of a boy with a balloon", "pencil sketch", "a picture of a boy with a balloon"),
            ("a watercolor of a girl on the beach", "watercolor", "a picture of a girl on the beach"),
        ),
    },
    rows={
        "negative prompt": "negative-prompt",
        "P2P, re-weighting": "reweight",
        "SEGA": "sega",
        "SuppressEOT": ITO,
        "Unread": "unread",
    },
    metrics=(DET, CLIP, IFID, SSIM),
    paper={
        (ORIGINAL, _RANDOM): {CLIP: 0.8225, DET: 0.4509},
        (ORIGINAL, _CAR): {CLIP: 0.8654, DET: 0.6643},
        (ORIGINAL, _STYLE): {CLIP: 0.8770},
        ("negative prompt", _RANDOM): {CLIP: 0.7619, IFID: 169.0, DET: 0.1408},
        ("negative prompt", _CAR): {CLIP: 0.8458, IFID: 151.7, DET: 0.5130},
        ("negative prompt", _STYLE): {CLIP: 0.8039, IFID: 242.1},
        ("P2P, re-weighting", _RANDOM): {CLIP: 0.8118, IFID: 103.3, DET: 0.3391},
        ("P2P, re-weighting", _CAR): {CLIP: 0.8638, IFID: 21.7, DET: 0.6343},
        ("P2P, re-weighting", _STYLE): {CLIP: 0.8849, IFID: 139.7},
        ("ESD", _CAR): {CLIP: 0.7986, IFID: 165.7, DET: 0.2223},
        ("ESD", _STYLE): {CLIP: 0.7292, IFID: 267.5},
        ("concept ablation", _CAR): {CLIP: 0.7642, IFID: 179.3, DET: 0.0935},
        ("concept ablation", _STYLE): {CLIP: 0.8290, IFID: 219.9},
        ("Forget-Me-Not", _CAR): {CLIP: 0.8701, IFID: 158.7, DET: 0.5867},
        ("Forget-Me-Not", _STYLE): {CLIP: 0.8391, IFID: 203.5},
        ("Inst-Inpaint", _RANDOM): {CLIP: 0.7602, IFID: 150.4, DET: 0.1744},
        ("Inst-Inpaint", _CAR): {CLIP: 0.8009, IFID: 126.9, DET: 0.2361},
        ("SEGA", _RANDOM): {CLIP: 0.7960, IFID: 172.2, DET: 0.3005},
        ("SEGA", _CAR): {CLIP: 0.8001, IFID: 168.8, DET: 0.4767},
        ("SEGA", _STYLE): {CLIP: 0.8730, IFID: 175.0},
        ("SuppressEOT", _RANDOM): {CLIP: 0.6647, IFID: 176.4, DET: 0.1321},
        ("SuppressEOT", _CAR): {CLIP: 0.7426, IFID: 206.8, DET: 0.0419},
        ("SuppressEOT", _STYLE): {CLIP: 0.6448, IFID: 307.5},
    },
)

TABLE_3 = Protocol(
    name="suppress-eot-table-3",
    source="Li et al. 2024, Table 3, and appendix D",
    claim="SWR alone does not remove everything; with both losses of ITO the scores are best. Without L_pl, the "
    "picture's structure and style change.",
    differs="Twelve prompts of the drawn world for 100 captions.",
    groups={_RANDOM: CASES},
    rows={
        "SWR": "suppress-eot",
        "SWR + L_pl": f"{ITO},lambda_nl=0,lambda_self_nl=0",
        "SWR + L_nl": f"{ITO},lambda_pl=0,lambda_self_pl=0",
        "SWR + L_pl + L_nl": ITO,
    },
    metrics=(DET, CLIP, IFID, SSIM),
    paper={
        (ORIGINAL, _RANDOM): {CLIP: 0.8225, DET: 0.4509},
        ("SWR", _RANDOM): {CLIP: 0.7996, IFID: 85.9, DET: 0.3668},
        ("SWR + L_pl", _RANDOM): {CLIP: 0.8015, IFID: 100.2, DET: 0.3331},
        ("SWR + L_nl", _RANDOM): {IFID: 242.3, DET: 0.0692, SSIM: 0.407},
        ("SWR + L_pl + L_nl", _RANDOM): {CLIP: 0.6647, IFID: 176.4, DET: 0.1321, SSIM: 0.552},
    },
)

_LONG = {
    "8 more words": "in a blue shirt on a calm day",
    "16 more words": "in a blue shirt on a calm day, drawn with care and with a quiet mood",
    "32 more words": "in a blue shirt on a calm day, drawn with care and with a quiet mood, as if the artist had all "
    "the time and wanted to show how the light falls",
}
_LONGER = _LONG | {
    "56 more words": f"{_LONG['32 more words']} on a wall that is old and warm, and on the hands of all who came to "
    "see it on that very long day",
}
TABLE_4 = Protocol(
    name="suppress-eot-table-4",
    source="Li et al. 2024, Table 4",
    claim="In long prompts, glasses stay although their rows and those of [EOT] are zeros: other words carry them.",
    differs="The added words are ours; the paper's came from a language model.",
    groups={
        "the prompt": group("long", (_WITHOUT, "glasses", "a man")),
        **{name: group("long", (f"{_WITHOUT} {words}", "glasses", f"a man {words}")) for name, words in _LONG.items()},
    },
    rows={"glasses + [EOT] zeroed": "zero", "Unread": "unread"},
    metrics=(DET, SSIM),
    paper={
        (ORIGINAL, "the prompt"): {DET: 0.819},
        ("glasses + [EOT] zeroed", "the prompt"): {DET: 0.084},
        ("glasses + [EOT] zeroed", "8 more words"): {DET: 0.393},
        ("glasses + [EOT] zeroed", "16 more words"): {DET: 0.455},
        ("glasses + [EOT] zeroed", "32 more words"): {DET: 0.427},
    },
    seeds=16,
)

_SHORT = {"a man with glasses and a hat": "glasses", "a cat with a scarf": "scarf", "a girl with a balloon": "balloon"}
TABLE_5 = Protocol(
    name="suppress-eot-table-5",
    source="Li et al. 2024, Table 5",
    claim="With all words replaced by [EOT] embeddings, the picture still fits the prompt: [EOT] holds its meaning.",
    differs="Three prompts for 50; the added words are ours.",
    groups={
        name: group("long", *((f"{prompt} {words}".strip(), target, "") for prompt, target in _SHORT.items()))
        for name, words in {"the prompt": "", **_LONGER}.items()
    },
    rows={"words ← [EOT]": "words-by-padding"},
    metrics=(PROMPT, DET),
    paper={
        (row, name): {PROMPT: score}
        for row, scores in {
            ORIGINAL: (0.8208, 0.8173, 0.8162, 0.8102, 0.8058),
            "words ← [EOT]": (0.7674, 0.7505, 0.7479, 0.7264, 0.7035),
        }.items()
        for name, score in zip(("the prompt", *_LONGER), scores, strict=True)
    },
    start=0,
)

TABLE_6 = Protocol(
    name="suppress-eot-table-6",
    source="Li et al. 2024, Table 6",
    claim="The mean of the [EOT] rows does not hold what must be removed; their singular values do.",
    differs="16 pictures for 1000.",
    groups=each_prompt("last", (_WITHOUT, "glasses", "a man")),
    rows={"SWR": "suppress-eot", "MPE": "mpe", "MPE, and glasses zeroed": "mpe-zero"},
    metrics=(DET, SSIM),
    paper={
        (ORIGINAL, _WITHOUT): {DET: 0.8052},
        ("SWR", _WITHOUT): {DET: 0.1065},
        ("MPE", _WITHOUT): {DET: 0.6266},
        ("MPE, and glasses zeroed", _WITHOUT): {DET: 0.4892},
    },
    start=0.06,
    seeds=16,
)

FIG_1 = Protocol(
    name="suppress-eot-fig-1",
    source="Li et al. 2024, Fig. 1",
    claim="The bias is the prompt's: for a man, glasses come with the words that deny them, and even without them.",
    differs="A woman's prompt for “a face without glasses”: the drawn world has no faces without a person.",
    groups=each_prompt("first", (_WITHOUT, "glasses", "a man"), ("a woman without glasses", "glasses", "a woman")),
    rows={"the prompt without “without glasses”": "deleted"},
    metrics=(DET,),
    paper={(ORIGINAL, _WITHOUT): {DET: 0.819}, (ORIGINAL, "a woman without glasses"): {DET: 0.122}},
    start=0,
    seeds=16,
)

FIG_9 = Protocol(
    name="suppress-eot-fig-9",
    source="Li et al. 2024, Fig. 9: captions that leave the glasses out",
    claim="The model draws glasses that nobody asked for, because many captions of its training do not name them.",
    differs="The paper shows training pictures and no figures; the drawn world's captions can be counted.",
    groups=each_prompt("implied", *((f"a {kind}", "glasses", f"a {kind}") for kind in ("man", "woman", "boy", "girl"))),
    rows={"GIE": "gie:adapter=own", "NegPiP": "value-flip", "negative prompt": "negative-prompt"},
    metrics=(DET, SSIM),
    more=lambda means: glasses_in_captions(),
    start=0,
    seeds=16,
)

FIG_19 = Protocol(
    name="suppress-eot-fig-19",
    source="Li et al. 2024, Fig. 19: prompts that deny what they name",
    claim="Whatever the words of the negation are, the thing is drawn, and can be removed.",
    differs="Our own prompts; the paper shows pictures and no figures.",
    groups=each_prompt(
        "last",
        (_WITHOUT, "glasses", "a man"),
        ("a woman with no hat", "hat", "a woman"),
        ("a boy not wearing a scarf", "scarf", "a boy"),
        ("a girl who has no earrings", "earrings", "a girl"),
        ("a dog, but no snow", "snow", "a dog"),
    ),
    rows={"SWR": "suppress-eot", "Unread": "unread", "negative prompt": "negative-prompt"},
    metrics=(DET,),
    start=0.06,
)

FAILURES = Protocol(
    name="suppress-eot-fig-12",
    source="Li et al. 2024, Fig. 12: failures",
    claim="What is left when two things belong together, or when the target is all that there is.",
    differs="The paper's prompts (a hamburger and fries; a giraffe by a bamboo building) are not of the drawn world.",
    groups=each_prompt(
        "list",
        ("a man with a beard and a moustache", "beard", "a man with a moustache"),
        ("a man in sunglasses and a mask", "mask", "a man in sunglasses"),
        ("a snowman scene in the snow", "snow", "a snowman scene"),
    ),
    rows={"SWR": "suppress-eot", "SWR + L_pl + L_nl": ITO, "Unread": "unread"},
    metrics=(DET, SSIM, OTHERS),
)

SUPPRESS_EOT = (TABLE_1, TABLE_3, TABLE_4, TABLE_5, TABLE_6, FIG_1, FIG_9, FIG_19, FAILURES)
