"""What `suppress methods` prints: a table of all methods, two lines each, that fits in 120 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from textwrap import wrap

from .entry import Entry
from .variants import PUBLISHED

WIDTH = 120
_HEAD = ("name", "passes", "trained", "photos", "several", "source", "needs")
_RIGHT = ("passes", "trained", "photos", "several")  # these columns are aligned to the right
_SOURCE = 26  # characters of the widest source
_GAP = 2
LEGEND = """\
passes: samples of one picture that go through the UNet at 50 steps, both branches, with the settings of the name
trained: something is trained before it can be used; photos: it also edits a picture of yours (--image)
several: it removes several targets in one run; needs: what you must give beside the words to remove
`suppress methods NAME` prints the settings of a method"""


def table(families: Mapping[str, Mapping[str, Entry]]) -> list[str]:
    """The lines of the table. families: title -> the methods under it, by name."""
    names = [name for methods in families.values() for name in methods]
    widths = [max(map(len, [*names, _HEAD[0]])), *(len(title) for title in _HEAD[1:5]), _SOURCE]
    widths.append(WIDTH - sum(widths) - _GAP * len(widths))
    lines = _cells(_HEAD, widths)
    for title, methods in families.items():
        lines += ["", title.upper()] if methods else []
        for name, entry in methods.items():
            lines += _cells((name, *_facts(entry)), widths)
            lines += wrap(entry.about + constant(name), WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4)
    return [*lines, "", *LEGEND.splitlines()]


def constant(name: str) -> str:
    """What `value` is of a variant with a constant; otherwise nothing."""
    words = PUBLISHED.get(name)
    return f"; value={words.published:.3g} is {words.constant}" if words and words.constant else ""


def source(entry: Entry) -> str:
    return entry.source or ("this project" if isinstance(entry.factory, str) else "yours")


def _facts(entry: Entry) -> tuple[str, ...]:
    """The cells after the name, in the order of _HEAD."""
    flags = ("yes" if flag else "no" for flag in (entry.training, entry.pictures, entry.several))
    return str(entry.passes or "?"), *flags, source(entry), entry.needs or "words only"


def _cells(texts: Sequence[str], widths: Sequence[int]) -> list[str]:
    """One row of the table. A text that is too wide goes on in the next line."""
    columns = [wrap(text, width) for text, width in zip(texts, widths, strict=True)]
    return [
        (" " * _GAP)
        .join(
            part.rjust(width) if title in _RIGHT else part.ljust(width)
            for title, part, width in zip(_HEAD, parts, widths, strict=True)
        )
        .rstrip()
        for parts in zip_longest(*columns, fillvalue="")
    ]
