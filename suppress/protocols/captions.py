"""What the captions leave out from which the embedded model has learned (Li et al. 2024, Fig. 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..evaluation.page.parts import Table

SAMPLES = 2000  # pictures of people that are drawn by chance


def glasses_in_captions(samples: int = SAMPLES) -> Table:
    """How many of the training's pictures of people have glasses, and how many captions of these say so."""
    import numpy as np

    from .. import world
    from ..evaluation.page.parts import Column, Table, TableRow, Value
    from ..prompt import find_places
    from ..world.spec import PEOPLE

    rng = np.random.default_rng(0)
    counts = {kind: [0, 0, 0] for kind in PEOPLE}  # pictures, with glasses, whose caption names them
    while sum(count[0] for count in counts.values()) < samples:
        spec = world.sample_spec(rng)
        if spec.kind not in counts:
            continue
        text = world.caption(spec, rng)
        names = any(find_places(text, word) for word in ("glasses", "sunglasses", "spectacles"))
        shows = bool(spec.eyewear)
        counts[spec.kind] = [a + b for a, b in zip(counts[spec.kind], (1, shows, shows and names), strict=True)]
    lines = tuple(
        TableRow(f"a {kind}", (Value(pictures), Value(shown / max(pictures, 1)), Value(named / max(shown, 1))))
        for kind, (pictures, shown, named) in counts.items()
    )
    columns = (Column("pictures", digits=0), Column("with glasses"), Column("of these, the caption names them"))
    note = "Pictures and captions as the embedded model was trained on, sampled again."
    return Table("Glasses in the captions of the training", "picture", columns, lines, (note,))
