"""What `suppress --image` writes: the picture, its reconstruction and its edit, together and each alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from minisd import StableDiffusion
from minisd.base.outputs import slug, write_output
from minisd.base.picture_files import png_writer
from minisd.cli.answer import wrote
from minisd.picture import overlay, sheet

from ..metrics.judge import RECONSTRUCTION, STRENGTHENED, SUPPRESSED
from ..prompt import Request
from ..protocol import Start
from ..result import Result
from .files import Report, Row, drawn, scored
from .reconstruction import Reconstruction, pictures_psnr, through_vae


@dataclass(frozen=True)
class Photo:
    """The user's picture, as the model gets it."""

    path: str
    picture: Image.Image
    size: tuple[int, int]  # (width, height) of the file's picture, upright
    remarks: list[str]  # what was done to it
    mask: Image.Image | None
    fields: dict[str, object]  # the parameters that name it, and what was asked for

    def lines(self) -> list[str]:
        """For the terminal: what was done to it."""
        return [f"{self.path}: {self.size[0]} × {self.size[1]} pixels", *(f"  {remark}" for remark in self.remarks)]


@dataclass(frozen=True, eq=False)
class Inverted:
    """An inverted picture."""

    start: Start
    cost: str  # in UNet passes
    cached: bool  # whether an earlier command had found it
    seconds: float
    psnr: float | None  # of what it gives at guidance 1, if that can be measured


@dataclass
class PictureRow(Row):
    """A method of the report; and the inversion that it starts from, and the PSNR of its reconstruction."""

    inverted: Inverted | None = None
    guided: float = field(default=float("nan"))


class PictureReport(Report):
    """The files of one command on a picture."""

    def __init__(
        self,
        sd: StableDiffusion,
        args: argparse.Namespace,
        request: Request,
        rows: Sequence[PictureRow],
        out: Path | None,
        photo: Photo,
    ):
        super().__init__(sd, args, request, [0], rows, out)
        self.photo, self.told_seeds = photo, None
        self.vae = pictures_psnr(through_vae(sd, photo.picture), photo.picture)
        self.printed = ""  # about the last reconstruction
        self.alone: dict[str, Path] = {}  # the pictures that are saved alone, by what they show

    def print_reconstruction(self, row: PictureRow) -> None:
        """What the reconstruction keeps of the picture, unless it is that of the row before."""
        found = self._reconstruction(row)
        lines = "\n".join([found.describe(), *found.advice()])
        if lines != self.printed:
            print(lines)
        self.printed = lines

    def print_files(self) -> None:
        print("\n".join(map(str, [*self.alone.values(), self.path])))

    def _reconstruction(self, row: PictureRow) -> Reconstruction:
        assert row.inverted is not None
        start, s = row.inverted.start, row.settings
        return Reconstruction(self.vae, row.inverted.psnr, row.guided, s.guidance, start.pinned)

    # ------------------------------------------------------------------ files

    def _stem(self) -> str:
        name = slug(Path(self.photo.path).stem)
        how = "more" if self.args.strengthen else "without"
        ending = "-sheet" if self.args.sheet is not None else ""
        return slug(f"{name} {how} {' '.join(self.request.targets)}") + ending

    def _picture(self, done: Sequence[Row]) -> Image.Image:
        if self.args.sheet is None:
            return draw_picture(drawn(done[0]), self.edited_label, self.args.show_mask)
        cells, labels = [], []
        for label, row in zip(self.labels, done, strict=False):
            line, names = _three(drawn(row), label)
            branches = "original", RECONSTRUCTION, self.edited_label
            labels.append([scored(name, row.scores, b, 1)[0] for name, b in zip(names, branches, strict=True)])
            cells.append(line)
            if self.args.show_mask:
                cells[-1].append(_mask(drawn(row)))
                labels[-1].append("mask" if drawn(row).mask is not None else "no mask")
        return sheet(cells, labels)

    def _original_fields(self, row: Row, seed: int, size: tuple[int, int]) -> dict[str, object]:
        return super()._original_fields(row, seed, size) | {"Seed": None} | self.photo.fields

    def _content(self, rows: Sequence[Row]) -> dict[str, object]:
        content = super()._content(rows)
        del content["seeds"]
        about = {name.lower().replace(" ", "_"): value for name, value in self.photo.fields.items()}
        return content | {"picture": about | {"remarks": self.photo.remarks}}

    def _row_content(self, row: Row) -> dict[str, object]:
        assert isinstance(row, PictureRow) and row.inverted is not None
        inverted = {"passes": row.inverted.cost, "cached": row.inverted.cached, "seconds": row.inverted.seconds}
        return super()._row_content(row) | {
            "inversion": inverted,
            "reconstruction": self._reconstruction(row).to_json(),
        }

    def _save_pictures(self, row: Row, result: Result, start: int) -> None:
        """Writes each picture by itself: beside the output, or into --save-pictures.

        Original and reconstruction are written with the first row only. Only an edit holds parameters.
        """
        assert self.path is not None
        first, label = row is self.rows[0], self.labels[self.rows.index(row)]
        ending = slug(label) if self.args.sheet is not None else self.edited_label
        pictures = {"original": result.original, RECONSTRUCTION: result.reconstruction} if first else {}
        pictures[ending] = result.image
        if self.args.show_mask and result.mask is not None:
            pictures["mask" if self.args.sheet is None else f"{ending}-mask"] = result.mask
        for name, picture in pictures.items():
            assert isinstance(picture, Image.Image)
            text = self._edit_parameters(row) if name == ending else ""
            self.alone[name] = self._save(name, picture, text)
            wrote(self.args, self.alone[name])

    def _save(self, name: str, picture: Image.Image, text: str) -> Path:
        assert self.path is not None
        folder = self.path.parent
        if self.args.save_pictures is not None:
            folder = Path(self.args.save_pictures)
            folder.mkdir(exist_ok=True)
        stem, files = f"{self.output.name}-{name}{self.stopping.ending}", {".png": png_writer(picture, text)}
        may_replace = self.args.overwrite and self.stopping.finished
        if may_replace and self.args.save_pictures is None and self.out is not None:
            return write_output(files, folder / f"{stem}.png", stem, overwrite=True)
        return write_output(files, None, stem, folder=folder)

    def _ways_out(self, row: Row) -> list[str]:
        ways = super()._ways_out(row)
        return [*ways, "a --mask of your own"] if row.settings.keep else ways


def endings(args: argparse.Namespace) -> tuple[str, ...]:
    """What the names of the files beside the output end in, as far as they are known before the work."""
    if args.save_pictures is not None:
        return (".json",)
    edited = [f"-{STRENGTHENED if args.strengthen else SUPPRESSED}.png"] if args.sheet is None else []
    mask = ["-mask.png"] if args.show_mask and args.sheet is None else []
    return (".json", "-original.png", f"-{RECONSTRUCTION}.png", *edited, *mask)


# ---------------------------------------------------------------------- pictures


def draw_picture(result: Result, edited_label: str = SUPPRESSED, show_mask: bool = False) -> Image.Image:
    """Original, reconstruction and edit beside each other.

    Under the last two, if the result has maps, what they fetched of the targets, in one scale; under the first, with
    `show_mask`, the mask outside which the edit kept the original.
    """
    cells, labels = _three(result, edited_label)
    blank = Image.new("RGB", cells[0].size, "white")
    below, texts = [blank] * 3, [""] * 3
    if show_mask and result.mask is not None:
        below[0], texts[0] = _mask(result), "mask"
    maps = result.maps if result.fetched is None else result.fetched
    if maps is not None and result.original_maps is not None and result.rows:
        heats = [part[0, list(result.rows)].sum(dim=0) for part in (result.original_maps, maps)]
        span = (float(heats[0].min()), float(heats[0].max()))
        below[1:] = [overlay(p, heat, span) for p, heat in zip(cells[1:], heats, strict=True)]
        texts[1:] = [f"{', '.join(result.targets)} {float(heat.mean()):.1%}" for heat in heats]
    return sheet([cells, below], [labels, texts]) if any(texts) else sheet([cells], [labels])


def _three(result: Result, edited_label: str) -> tuple[list[Image.Image], list[str]]:
    """The three pictures of a result, and their labels."""
    pictures = [result.original, result.reconstruction, result.image]
    found = [picture for picture in pictures if isinstance(picture, Image.Image)]
    return found, ["original", RECONSTRUCTION, edited_label]


def _mask(result: Result) -> Image.Image:
    """The mask, or a grey picture if the edit had none."""
    mask = result.mask if isinstance(result.mask, Image.Image) else None
    assert isinstance(result.image, Image.Image)
    return Image.new("RGB", result.image.size, "gray") if mask is None else mask.convert("RGB")
