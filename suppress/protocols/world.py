"""Protocols of the drawn world's own: questions that need a picture whose content is known."""

from __future__ import annotations

from .protocol import DET, OTHERS, SPILL, SSIM, Protocol, group

NEIGHBOURS = Protocol(
    name="world-neighbours",
    source="this project",
    claim="What is near in meaning or place should stay: a moustache when the beard goes, earrings when glasses go.",
    differs="",
    groups={
        "beard, not moustache": group(
            "list", ("a man with a moustache and a beard", "beard", "a man with a moustache")
        ),
        "hat, not sunglasses": group("list", ("a man with sunglasses and a hat", "hat", "a man with sunglasses")),
        "scarf, not bow tie": group("list", ("a cat with a bow tie and a scarf", "scarf", "a cat with a bow tie")),
        "glasses, not earrings": group(
            "list", ("a woman with earrings and glasses", "glasses", "a woman with earrings")
        ),
        "rain, not umbrella": group("list", ("a girl with an umbrella in the rain", "rain", "a girl with an umbrella")),
    },
    rows={
        "phrase deleted": "deleted",
        "SWR": "suppress-eot",
        "Unread": "unread",
        "Unread, keep 1": "unread:keep=1,start=0.06",
        "NegPiP": "value-flip",
        "negative prompt": "negative-prompt",
    },
    metrics=(DET, SPILL, SSIM),
    watch=("moustache", "sunglasses", "bow_tie", "earrings", "umbrella"),
)

DUAL = Protocol(
    name="world-dual",
    source="this project, after Six-CD (Ren et al. 2025): each prompt with the word and without it",
    claim="A method should remove the thing where the prompt names it, and leave a picture alone that has none.",
    differs="",
    groups={
        "with": group(
            "list",
            ("a man with glasses on the beach", "glasses", "a man on the beach"),
            ("a girl with a hat in the forest", "hat", "a girl in the forest"),
            ("a dog with a scarf at night", "scarf", "a dog at night"),
        ),
        "without": group(
            "implied",
            ("a man on the beach", "glasses", "a man on the beach"),
            ("a girl in the forest", "hat", "a girl in the forest"),
            ("a dog at night", "scarf", "a dog at night"),
        ),
        "alone": group("first", ("glasses", "glasses", ""), ("a hat", "hat", ""), ("a scarf", "scarf", "")),
    },
    rows={
        "negative prompt": "negative-prompt",
        "SLD": "sld:warm_up=2",
        "NegPiP": "value-flip",
        "UCE": "uce",
        "SAFREE": "safree",
        "GIE": "gie:adapter=own",
    },
    metrics=(DET, SSIM, OTHERS),
)

STRENGTH = Protocol(
    name="world-strength",
    source="this project",
    claim="A strength should be continuous: 0 is the original, and a little of it changes a little.",
    differs="",
    groups={
        "four prompts": group(
            "list",
            ("a man with glasses and a hat", "glasses", "a man with a hat"),
            ("a girl with a red scarf in a room", "red scarf", "a girl in a room"),
            ("a boy with a balloon in the rain", "rain", "a boy with a balloon"),
            ("a van gogh painting of a dog", "van gogh", "a painting of a dog"),
        )
    },
    rows={f"Unread, s = {s:g}": f"unread:strength={s:g}" for s in (0, 0.1, 0.25, 0.5, 0.75, 1)},
    metrics=(DET, SSIM, OTHERS),
)

WORLD = (NEIGHBOURS, DUAL, STRENGTH)
