"""Does CLIP still name the object? CLIP accuracy and the object removal rate (ORR).

CLIP as a classifier (Radford et al. 2021): a picture belongs to the class whose text "a photo of a [class]" has the
highest cosine with it.

CLIP accuracy (Yildirim et al. 2023, Inst-Inpaint; Li et al. 2024, table 2): the class of the original picture is what
CLIP names first there. An edit succeeds if this class is not among the first 1 (or 5) of the edited picture. Both are
cut to the object's box, if there is one. The score is the share of successes.

ORR (Chen et al. 2025, GIE, table 2 and appendix H): the share of pictures of an object in which CLIP, over the classes
of CIFAR-10, names something else. It should be 1 for the erased object and 0 for the others. The paper's text says
"finds the target", but its table is high where the object is gone, so the table's sense is taken here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from minisd import UserError
from minisd.picture import from_pil

from .clip_score import ClipScore

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TEMPLATE = "a photo of a {}"
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are the first ones outside


class ZeroShot:
    """CLIP as a classifier over a list of names."""

    def __init__(self, clip: ClipScore, classes: Sequence[str] = CIFAR10):
        """UserError for fewer than two classes, and for a name that appears twice."""
        if len(classes) < 2 or len(set(classes)) < len(classes):
            raise UserError(f"classes {', '.join(map(repr, classes))}; expected two or more, each once")
        self.clip, self.classes = clip, tuple(classes)
        self.texts = torch.cat([clip.text(TEMPLATE.format(name)) for name in classes])  # (classes,P)

    @torch.no_grad()
    def cosines(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(B,classes). The pictures may have several sizes."""
        vectors = torch.cat([self.clip.picture(from_pil(p).to(self.texts.device)) for p in pictures])  # (B,P)
        return F.normalize(vectors, dim=-1) @ F.normalize(self.texts, dim=-1).T

    def first(self, pictures: Sequence[Image.Image], count: int = 1) -> list[list[str]]:
        """The `count` best names of each picture, the best one first."""
        best = self.cosines(pictures).topk(count, dim=-1).indices.tolist()
        return [[self.classes[k] for k in row] for row in best]


def clip_accuracy(
    judge: ZeroShot,
    original: Sequence[Image.Image],
    edited: Sequence[Image.Image],
    top: int = 1,
    boxes: Sequence[Box] | None = None,
) -> float:
    """The share of edits after which the original's class is not among the `top` first. top: 1 or 5 in the papers.

    boxes: where the object is, one for each pair; the whole pictures if None.
    UserError for lists of unequal length, for a box that is not inside its pictures, and for a `top` that leaves no
    class to change to.
    """
    if not 1 <= top < len(judge.classes):
        raise UserError(f"top = {top}; expected 1 to {len(judge.classes) - 1}, with {len(judge.classes)} classes")
    if not len(original) == len(edited) == len(original if boxes is None else boxes) > 0:
        count = "none" if boxes is None else len(boxes)
        raise UserError(f"originals: {len(original)}, edited pictures: {len(edited)}, boxes: {count}; expected as many")
    if boxes is not None:
        original, edited = ([_cut(p, box) for p, box in zip(x, boxes, strict=True)] for x in (original, edited))
    before, after = judge.first(original), judge.first(edited, top)
    return sum(name not in names for [name], names in zip(before, after, strict=True)) / len(before)


def object_removal_rate(judge: ZeroShot, pictures: Sequence[Image.Image], name: str) -> float:
    """ORR: the share of pictures that CLIP names otherwise. UserError if the name is no class, or without pictures."""
    if name not in judge.classes:
        raise UserError(f"no class {name!r}; expected one of {', '.join(judge.classes)}")
    if not pictures:
        raise UserError(f"no picture of {name!r}; a rate needs at least one")
    return sum(first != name for [first] in judge.first(pictures)) / len(pictures)


def object_removal_rates(
    judge: ZeroShot, pictures: Mapping[str, Sequence[Image.Image]], target: str
) -> dict[str, float | None]:
    """{"target": ORR of the target's pictures, "others": mean ORR of the other objects, None if there are none}.

    pictures: by the class that their prompts name, all drawn with the target suppressed.
    """
    if target not in pictures:
        raise UserError(f"no pictures of the target {target!r}; there are those of {', '.join(pictures)}")
    rates = {name: object_removal_rate(judge, drawn, name) for name, drawn in pictures.items()}
    others = [rate for name, rate in rates.items() if name != target]
    return {"target": rates[target], "others": sum(others) / len(others) if others else None}


def _cut(picture: Image.Image, box: Box) -> Image.Image:
    left, top, right, bottom = box
    if not (0 <= left < right <= picture.width and 0 <= top < bottom <= picture.height):
        raise UserError(
            f"box {box} of a picture of {picture.width} × {picture.height}; expected left, top, right, bottom"
        )
    return picture.crop(box)
