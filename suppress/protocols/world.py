"""Protocols of the drawn world's own: questions that need a picture whose content is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .protocol import DET, ORIGINAL, OTHERS, REMOVED, SPILL, SSIM, Means, Protocol, each_prompt, group

if TYPE_CHECKING:
    from ..evaluation.page.parts import Table

_REMOVERS = {  # row -> method
    "phrase deleted": "deleted",
    "SWR": "suppress-eot",
    "Unread": "unread",
    "Unread, keep 1": "unread:keep=1,start=0.06",
    "NegPiP": "value-flip",
    "negative prompt": "negative-prompt",
}

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
    rows=_REMOVERS,
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

SEVERAL = Protocol(
    name="world-several",
    source="this project",
    claim="Several targets in one run: all should go, and what is not named should stay.",
    differs="",
    groups={
        "two of two": group(
            "list",
            ("a man with glasses and a hat on the beach", "glasses + hat", "a man on the beach"),
            ("a girl with a red scarf in the rain", "red scarf + rain", "a girl"),
        ),
        "two of three": group(
            "list",
            ("a woman with earrings, glasses and a hat", "glasses + hat", "a woman with earrings"),
            ("a dog with a bow tie, a scarf and a hat", "scarf + hat", "a dog with a bow tie"),
        ),
        "three of three": group(
            "list", ("a boy with headphones and a scarf in the snow", "headphones + scarf + snow", "a boy")
        ),
    },
    rows=_REMOVERS,
    metrics=(DET, REMOVED, SPILL, SSIM),
    watch=("earrings", "bow_tie"),
)

PART_WHOLE = Protocol(
    name="world-part-whole",
    source="this project, after NegGenBench (2025): the denied thing is a part of what is named",
    claim="A part that belongs to the whole is drawn whatever the prompt denies; it should go, and the whole stay.",
    differs="",
    groups=each_prompt(
        "last",
        ("a cowboy without a hat", "hat", "a cowboy"),
        ("a bearded man without a moustache", "moustache", "a bearded man"),
        ("a happy boy who is not smiling", "smiling", "a happy boy"),
        ("a robot on a snowy day without snow", "snow", "a robot on a snowy day"),
    ),
    rows={
        "phrase deleted": "deleted",
        "SWR": "suppress-eot",
        "Unread": "unread",
        "NegPiP": "value-flip",
        "GIE": "gie:adapter=own",
        "negative prompt": "negative-prompt",
    },
    metrics=(DET, REMOVED, OTHERS, SSIM),
)

_DENIED, _WANTED, _SILENT = "S: denied", "P: wanted", "A: not named"
_SCENES = (
    ("a man", "glasses", "on the beach"),
    ("a woman", "a hat", "in the forest"),
    ("a dog", "a scarf", "at night"),
    ("a girl", "earrings", "in a room"),
)


def _triple(word: str) -> tuple[tuple[str, str, str], ...]:
    """The prompts of one kind. word: between the subject and the thing; "" leaves the thing out."""
    named = [(f"{who} {word} {thing} {where}" if word else f"{who} {where}", thing) for who, thing, where in _SCENES]
    plain = [f"{who} {where}" for who, _, where in _SCENES]
    return tuple((text, thing.removeprefix("a "), control) for (text, thing), control in zip(named, plain, strict=True))


def obedience(means: Means) -> Table:
    """P(E|P) - P(E|S), so that a model that never draws E does not win, and the base rate P(E|A)."""
    from ..evaluation.page.parts import Column, Table, TableRow, Value

    def difference(row: str, of: str) -> Value:
        found = means(of, _WANTED, DET) - means(row, _DENIED, DET)
        return Value() if math.isnan(found) else Value(found)

    lines = [TableRow(ORIGINAL, (difference(ORIGINAL, ORIGINAL), Value()))]
    lines += [TableRow(row, (difference(row, ORIGINAL), difference(row, row))) for row in TRIPLES.rows]
    base = means(ORIGINAL, _SILENT, DET)
    return Table(
        "P(E given P) - P(E given S)",
        "method",
        (Column("used on S only", "higher", signed=True), Column("used on S and P", "higher", signed=True)),
        tuple(lines),
        (
            "P(E) is the mean DetScore of the thing E. The first column is for a method that is used where the prompt "
            "denies E; the second for one that is used on every prompt, as erasers are. The base rate P(E given A) is "
            f"{'not measured' if math.isnan(base) else f'{base:.3f}'}.",
        ),
    )


TRIPLES = Protocol(
    name="world-triples",
    source="this project: triples of prompts that deny a thing (S), want it (P), and do not name it (A)",
    claim="A prompt that wants a thing should have it, one that denies it should not, and neither by never drawing it.",
    differs="",
    groups={
        _DENIED: group("list", *_triple("without")),
        _WANTED: group("list", *_triple("with")),
        _SILENT: group("implied", *_triple("")),
    },
    rows={
        "SWR": "suppress-eot",
        "Unread": "unread",
        "NegPiP": "value-flip",
        "negative prompt": "negative-prompt",
        "GIE": "gie:adapter=own",
        "UCE": "uce",
    },
    metrics=(DET,),
    more=obedience,
)

WORLD = (NEIGHBOURS, DUAL, STRENGTH, SEVERAL, PART_WHOLE, TRIPLES)
