"""What the lessons share: pictures side by side, each under its title."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import matplotlib.pyplot as plt
from IPython.display import Image as Shown
from IPython.display import display
from PIL import Image
from torch import Tensor

# libraries of the metrics import tqdm, which misses its widgets here; no lesson has a bar
warnings.filterwarnings("ignore", message="IProgress not found")

SIDE = 1.5  # inches, of a picture
QUALITY = (
    80  # of the JPEG: pictures stay sharp, and a lesson stays small enough for GitHub to show it
)


def show(
    pictures: Sequence[Image.Image | Tensor],
    titles: Sequence[str],
    about: str = "",
    columns: int = 6,
) -> None:
    """Shows pictures, or maps (h,w), in rows of `columns`. about: a title above all of them."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    lines = 1 + max(title.count("\n") for title in titles)
    height = rows * (SIDE + 0.2 * lines + 0.1) + (0.4 if about else 0)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * (SIDE + 0.1), height), squeeze=False
    )
    for place in axes.flat:
        place.axis("off")
    for place, (picture, title) in zip(axes.flat, zip(pictures, titles, strict=True), strict=False):
        place.imshow(picture.convert("RGB") if isinstance(picture, Image.Image) else picture)
        place.set_title(title, fontsize=9)
    if about:
        figure.suptitle(about, fontsize=11)
    figure.tight_layout(h_pad=1.5)
    file = io.BytesIO()
    figure.savefig(
        file, format="jpeg", dpi=110, bbox_inches="tight", pil_kwargs={"quality": QUALITY}
    )
    plt.close(figure)
    display(Shown(file.getvalue(), format="jpeg"))
