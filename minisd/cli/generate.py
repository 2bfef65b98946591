"""`minisd generate`: draws and writes one batch of pictures after the other, so that finished pictures are kept."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from ..base.arguments import check_settings, pair
from ..base.counted import counted
from ..base.errors import UserError
from ..base.outputs import check_out, slug
from ..base.picture_files import open_picture, png_writer
from ..base.unfinished import Output
from ..picture import to_rgb
from ..pipeline import StableDiffusion
from . import options, parameters, repeat
from .answer import wrote
from .prompts import read_prompt
from .stopping import Stopping

BATCH = 8  # pictures drawn at once


def generate(args: argparse.Namespace) -> None:
    repeated = repeat.generate_options(args) if args.params_from is not None else {}
    if args.prompt is None:
        raise UserError("nothing to draw: give a PROMPT, or --params-from a picture")
    if args.strength is not None and args.image is None:
        raise UserError("--strength needs --image, the picture to start from")
    fill_defaults(args)
    strength = 0.8 if args.strength is None else args.strength
    _, seeds = pair(args.prompt, args.seed or [0])
    check_settings(strength=strength)
    out = check_out(args.out, args.overwrite)
    if out and len(seeds) > 1:
        raise UserError(f"--out names one file and --seed {len(seeds)} pictures; without --out, each gets a free name")
    start, start_fields = _start(args, strength, repeated)
    sd = options.load_model(args)
    written: list[Path] = []
    try:
        for k in range(0, len(seeds), BATCH):
            some = seeds[k : k + BATCH]
            with Stopping() as stopping:
                pictures = sd.generate(
                    args.prompt,
                    some,
                    args.steps,
                    args.guidance,
                    args.negative,
                    args.height,
                    args.width,
                    image=start,
                    strength=strength,
                    batch_size=BATCH,
                    progress=options.progress_bar(_label(k, len(some), len(seeds))),
                    callback=stopping,
                )
            try:
                for seed, picture in zip(some, pictures, strict=True):
                    about = fields(sd, args, seed, picture.size, start_fields) | stopping.fields()
                    text = parameters.to_text(args.prompt, args.negative, about)
                    output = Output(out, f"{slug(args.prompt)}-s{seed}", args.overwrite)
                    written.append(output.write({".png": png_writer(picture, text)}, stopping.finished))
            finally:  # also if the disk is full in the middle of a batch
                wrote(args, *written[k:])
                for path in written[k:]:
                    print(path)
            if stopping.pressed:
                raise KeyboardInterrupt(_progress(written, len(seeds), stopping))
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(*(stop.args or (_progress(written, len(seeds)),))) from None


def fill_defaults(args: argparse.Namespace) -> None:
    """Fills in the options that are still missing. UserError for settings that draw no picture."""
    args.steps = 50 if args.steps is None else args.steps
    args.guidance = 7.5 if args.guidance is None else args.guidance
    args.negative = args.negative or ""
    check_settings(steps=args.steps, guidance=args.guidance)
    args.prompt, args.negative = (read_prompt(args, text) for text in (args.prompt, args.negative))


def fields(
    sd: StableDiffusion, args: argparse.Namespace, seed: int, size: tuple[int, int], start: Mapping[str, object]
) -> dict[str, object]:
    """The parameters that repeat a picture. start: those that name the picture it started from."""
    return {**options.drawing_fields(sd, args, args.steps, args.guidance, seed, size), **start}


def _start(
    args: argparse.Namespace, strength: float, repeated: repeat.Fields
) -> tuple[Image.Image | None, dict[str, object]]:
    """The picture to start from, and the parameters that name it. repeated: those of the picture to repeat."""
    if args.image is None:
        return None, {}
    start = to_rgb(open_picture(args.image))
    about = {"Denoising strength": strength} | repeat.image_fields(os.path.basename(args.image), start)
    if repeated.get("Image hash", about["Image hash"]) != about["Image hash"]:
        warnings.warn(
            f"--image {args.image} is not the picture that {args.params_from} was drawn over ({repeated.get('Image')})",
            stacklevel=2,
        )
    return start, about


def _label(drawn: int, batch: int, count: int) -> str:
    numbers = str(drawn + 1) if batch == 1 else f"{drawn + 1} to {drawn + batch}"
    return "drawing" if batch == count else f"drawing {numbers} of {count}"


def _progress(written: Sequence[Path], count: int, stopping: Stopping | None = None) -> str:
    if not written:
        return "nothing was written"
    names = str(written[0]) if len(written) == 1 else f"{written[0]} to {written[-1]}"
    told = f"written: {len(written)} of {counted(count, 'picture')}, {names}"
    return told if stopping is None else told + stopping.remark()
