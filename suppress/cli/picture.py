"""`suppress --image FILE PROMPT`: a picture is prepared, inverted once, and edited by each method."""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from minisd import StableDiffusion, UserError
from minisd.base.outputs import check_out
from minisd.base.picture_files import open_picture
from minisd.cli import options
from minisd.cli.repeat import image_fields
from minisd.cli.stopping import Stopping
from minisd.picture import prepare

from ..edits.masks import mask_pictures, paste, reach, read_mask
from ..engine import find_engine
from ..job import run
from ..prompt import Prompt, Request, encode
from ..protocol import Method
from ..report.files import Row
from ..report.picture import Inverted, Photo, PictureReport, PictureRow, endings
from ..report.reconstruction import at_guidance_1, pictures_psnr
from ..result import Result
from ..start.cache import Cache
from ..start.catalogue import DEFAULT, INVERSIONS
from ..start.invert import invert, parse_inversion
from .choose import describe, find_settings, introduce, told
from .repeat import check_same

if TYPE_CHECKING:
    from ..engine import Engine

_NEED_IMAGE = ("inversion", "crop", "mask", "show_mask", "paste", "no_cache")


def check_options(args: argparse.Namespace) -> None:
    """UserError for options that make no sense together, before anything is loaded."""
    if args.image is None:
        for name in _NEED_IMAGE:
            if getattr(args, name):
                raise UserError(f"--{name.replace('_', '-')} needs --image, the picture to edit")
        return
    if args.seed is not None:
        raise UserError("--seed with --image: a picture is inverted without noise, so leave the seed out")
    parse_inversion(args.inversion)


def edit(args: argparse.Namespace, request: Request, specs: Sequence[str], repeated: bool) -> None:
    """Edits the picture of --image with each method, and writes each edit at once."""
    out = check_out(args.out, args.overwrite, endings(args))
    image, mask = open_picture(args.image), None if args.mask is None else open_picture(args.mask)
    sd = options.load_model(args)
    rows = [PictureRow(spec, *find_settings(sd, args, spec, repeated)) for spec in specs]
    check_mask(args, rows)
    photo = read_photo(sd, args, image, mask)
    prompt = encode(sd, request.prompt, request, any(row.settings.needs_words for row in rows), args.negative)
    for line in photo.lines():
        print(line)
    introduce(sd, args, request, prompt)
    engine = find_engine(sd, args.engine) or "reference"
    inversions = _Inversions(sd, args, photo, prompt, engine)
    report = PictureReport(sd, args, request, rows, out, photo)
    with told(report):
        for row in rows:
            row.inverted = inversions.of(row.settings)
            print(f"{sd.name}: {describe(row, prompt)}", flush=True)
            with Stopping() as stopping:
                result = _run(sd, args, request, row, engine, photo, stopping)
            assert isinstance(result.reconstruction, Image.Image)
            row.guided = pictures_psnr(result.reconstruction, photo.picture)
            result = pasted(sd, args, result, photo)
            if args.show_mask and result.mask is None:
                warnings.warn(f"--show-mask: {row.spec} had no mask", stacklevel=2)
            report.add(row, result, stopping)
            report.print_reconstruction(row)
            report.print_scores(row)
    report.print_files()


def _run(
    sd: StableDiffusion,
    args: argparse.Namespace,
    request: Request,
    row: PictureRow,
    engine: Engine | str,
    photo: Photo,
    stopping: Stopping,
) -> Result:
    assert row.inverted is not None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the mask")  # `read_photo` has given them
        return run(
            sd,
            request.prompt,
            request,
            settings=row.settings,
            engine=engine,
            image=photo.picture,
            inversion=row.inverted.start,
            mask=photo.mask,
            maps=args.sheet is None,
            progress=options.progress_bar(row.spec),
            height=photo.picture.height,
            width=photo.picture.width,
            callback=stopping,
        )


def check_mask(args: argparse.Namespace, rows: Sequence[Row]) -> None:
    """UserError if a mask was given that changes nothing."""
    if args.mask is None or args.paste:
        return
    blind = [row.spec for row in rows if not (row.settings.takes_mask or row.settings.keep)]
    if len(blind) == len(rows):
        raise UserError(
            f"--mask {args.mask}: {blind[0]} has no use for a mask; keep what is outside it with --keep-outside, or "
            "put the picture's own pixels there with --paste"
        )


def read_photo(sd: StableDiffusion, args: argparse.Namespace, image: Image.Image, mask: Image.Image | None) -> Photo:
    """The picture and its mask in the size of the drawing. UserError for a picture or a mask that cannot be used."""
    height, width = sd.check_size(*(sd.side if given is None else given for given in (args.height, args.width)))
    prepared = prepare(image, height, width, args.crop)
    about = image_fields(os.path.basename(args.image), image)
    about["Crop"] = None if args.crop is None else ",".join(map(str, args.crop))
    about["Inversion"] = args.inversion or DEFAULT
    if mask is not None:
        about |= {f"Mask{name[5:]}": value for name, value in image_fields(os.path.basename(args.mask), mask).items()}
        [mask] = mask_pictures(read_mask(mask, height, width, prepared), height, width)
    about["Paste"] = "yes" if args.paste else None
    check_same(args, about)
    return Photo(args.image, prepared.picture, prepared.size, prepared.remarks, mask, about)


def pasted(sd: StableDiffusion, args: argparse.Namespace, result: Result, photo: Photo) -> Result:
    """The result, with the picture's own pixels outside the mask if the user wants that."""
    if not args.paste:
        return result
    mask = photo.mask if photo.mask is not None else result.mask
    if mask is None:
        warnings.warn("--paste: this method has no mask, so nothing was put back; give one with --mask", stacklevel=2)
        return result
    assert isinstance(mask, Image.Image) and isinstance(result.image, Image.Image)
    around = reach(sd.vae.config.factor) if photo.mask is None else 0
    return replace(result, image=paste(result.image, photo.picture, mask.convert("L"), around=around), mask=mask)


class _Inversions:
    """The starts of one picture. Methods with the same steps and guidance share one."""

    def __init__(
        self, sd: StableDiffusion, args: argparse.Namespace, photo: Photo, prompt: Prompt, engine: Engine | str
    ):
        self.sd, self.photo, self.prompt, self.engine = sd, photo, prompt, engine
        self.spec, self.negative = args.inversion or DEFAULT, args.negative
        self.cache = None if args.no_cache else Cache()
        self.known: dict[tuple[int, float], Inverted] = {}

    def of(self, settings: Method) -> Inverted:
        key = settings.steps, settings.guidance
        if key not in self.known:
            self.known[key] = self._invert(*key)
        return self.known[key]

    def _invert(self, steps: int, guidance: float) -> Inverted:
        entry, inversion = INVERSIONS[self.spec.partition(":")[0]], parse_inversion(self.spec)
        width, height = self.photo.picture.size
        cost = f"{entry.passes} UNet passes, T = {steps}"
        cost += f", k = {inversion.repeats}" if "k" in entry.passes else ""
        cost += ", s: steps that are left out" if "s" in entry.passes else ""
        further = ", and T to measure it at guidance 1" if inversion.deterministic else ""
        print(f"inversion: {self.spec}, {entry.about}; {cost}{further}", flush=True)
        begin = time.perf_counter()
        bar = _Bar("inverting")
        start = invert(
            self.sd,
            self.photo.picture,
            self.prompt.text,
            inversion,
            steps,
            guidance=guidance,
            negative_prompt=self.negative,
            height=height,
            width=width,
            engine=self.engine,
            cache=self.cache,
            progress=bar,
        )
        seconds = time.perf_counter() - begin
        cached = self.cache is not None and entry.passes != "0" and not bar.used
        print(f"  {'taken from the cache' if cached else 'done'} in {seconds:.1f} s", flush=True)
        if not inversion.deterministic:
            return Inverted(start, cost, cached, seconds, None)
        plain = at_guidance_1(self.sd, start, self.prompt.ctx, steps, options.progress_bar("drawing it at guidance 1"))
        return Inverted(start, cost, cached, seconds, pictures_psnr(plain, self.photo.picture))


class _Bar:
    """A progress bar that knows whether it was used: an inversion that is in the cache takes no steps."""

    def __init__(self, label: str):
        self.bar, self.used = options.progress_bar(label), False

    def __call__(self, iterable: Iterable, **more: Any) -> Iterable:
        self.used = True
        return self.bar(iterable, **more)
