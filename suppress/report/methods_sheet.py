"""One sheet of many methods: a row per method, a column per prompt, the originals on top, the names at the left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from minisd.picture import sheet


@dataclass(frozen=True)
class SheetRow:
    """A method on all prompts."""

    name: str
    pictures: Sequence[Image.Image]  # one per prompt
    scores: Sequence[str]  # what stands under each picture
    note: str = ""  # under the name


def draw_sheet(targets: Sequence[str], originals: SheetRow, rows: Sequence[SheetRow]) -> Image.Image:
    """targets: the head of each column, which stands under its original."""
    heads = [f"{target} {score}".strip() for target, score in zip(targets, originals.scores, strict=True)]
    size = originals.pictures[0].size
    cells, labels = [], []
    for row, texts in ((originals, heads), *((row, row.scores) for row in rows)):
        cells.append([name_picture(row.name, row.note, size), *row.pictures])
        labels.append(["", *texts])
    return sheet(cells, labels)


def name_picture(name: str, note: str, size: tuple[int, int]) -> Image.Image:
    """A white picture with a name and, under it, a note in grey. size: (width, height)"""
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    height = max(11, size[0] // 9)
    font = ImageFont.load_default(height)
    columns = max(int(size[0] / font.getlength("n")) - 1, 4)
    lines = [*((line, "black") for line in wrap(name, columns)), *((line, "grey") for line in wrap(note, columns))]
    for n, (line, colour) in enumerate(lines):
        draw.text((2, round(size[1] / 3 + n * 1.3 * height)), line, colour, font)
    return picture


def det_scores(scores: Mapping[str, Sequence[float]], names: Sequence[str]) -> list[str]:
    """Picture k's score of names[k], as text. scores: class of the detector -> one per picture."""
    return [f"{scores[name][k]:.2f}" for k, name in enumerate(names)]
