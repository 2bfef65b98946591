"""Where a word is placed, and by which step: a sheet with a row for each word and a column for each of some steps."""

from __future__ import annotations

from PIL import Image

from ..base.arguments import whole_number
from ..picture import overlay, sheet
from .heat import Heat
from .words import word_columns


def over_time_sheet(heat: Heat, columns: int = 8) -> Image.Image:
    """The first row has the picture as each step expects it; the next ones [SOT], each word, and [EOT] over it.

    columns: of how many steps, which are spread evenly from the first to the last. All maps of a row have the same
    colours, from the row's smallest value to its largest, so that its pictures can be compared with each other.
    """
    chosen = spread(len(heat.steps), whole_number("columns", columns, 1))
    pictures = [heat.steps[k].pictures()[0] for k in chosen]
    rows, labels = [pictures], [[f"step {heat.steps[k].i + 1} of {heat.steps[k].total}" for k in chosen]]
    for name, part in word_columns(heat.sd.pieces(heat.prompt)):
        maps = heat.over_time[chosen][:, part].sum(dim=1)
        span = float(maps.min()), float(maps.max())
        rows.append([overlay(picture, m, span) for picture, m in zip(pictures, maps, strict=True)])
        labels.append([f"{name} {float(m.mean()):.1%}" for m in maps])
    return sheet(rows, labels)


def spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` of the numbers 0 … count - 1, evenly spread, with the first and the last; of one, the last."""
    if wanted == 1:
        return [count - 1]
    n = min(count, wanted)
    return [round(k * (count - 1) / max(n - 1, 1)) for k in range(n)]
