"""The first picture of the README: a row of originals, and a row from the same noise without the target.

python -m bench.readme_picture
"""

from __future__ import annotations

from pathlib import Path

import minisd
import suppress
from minisd.base.picture_files import save_png
from minisd.picture import sheet

JOBS = (
    ("a man without glasses", "glasses"),
    ("a girl without a hat", "hat"),
    ("a dog wearing a bow tie", "bow tie"),
    ("a boy in the rain", "rain"),
    ("a cat in the style of van gogh", "van gogh"),
    ("a woman at the beach with an umbrella", "umbrella"),
)


def main() -> None:
    sd = minisd.load("tiny", device="cpu")
    results = [suppress.run(sd, prompt, remove, seed=1) for prompt, remove in JOBS]
    size = (192, 192)
    rows = [[r.original.resize(size) for r in results], [r.image.resize(size) for r in results]]  # type: ignore[union-attr]
    labels = [[prompt for prompt, _ in JOBS], [f"removed: {remove}" for _, remove in JOBS]]
    print(save_png(sheet(rows, labels), Path(__file__).parent.parent / ".pictures" / "opening.png"))


if __name__ == "__main__":
    main()
