"""`minisd maps` and `minisd film`: a picture, its words' heat maps, and how both come about."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..base.arguments import pair, whole_number
from ..base.outputs import check_out, slug
from ..base.picture_files import png_writer
from ..base.unfinished import Output
from ..picture import overlay, sheet
from ..pipeline import StableDiffusion
from ..watch.film import Film, gif_writer, is_kept
from ..watch.heat import Heat, heat
from ..watch.over_time import over_time_sheet
from ..watch.words import find_columns
from . import options, parameters
from .answer import wrote
from .generate import fields, fill_defaults
from .stopping import Stopping


def maps(args: argparse.Namespace) -> None:
    """Writes one sheet: the picture and a heat map for each word; or with --over-time, a row for each word."""
    fill_defaults(args)
    pair(args.prompt, args.seed)
    out = check_out(args.out, args.overwrite)
    sd = options.load_model(args)
    with Stopping() as stopping:
        found = _heat(sd, args, stopping)
    picture = over_time_sheet(found) if args.over_time else found.sheet()
    stem = f"{slug(args.prompt)}-s{args.seed}-maps{'-over-time' if args.over_time else ''}"
    text = _parameters(sd, args, found.image.size, stopping)
    path = Output(out, stem, args.overwrite).write({".png": png_writer(picture, text)}, stopping.finished)
    args.answer["shares"] = {word: float(found[word].map.mean()) for word in found.words}
    _tell(args, path, stopping)


def film(args: argparse.Namespace) -> None:
    """Writes a GIF with the expected picture at each step, and with --maps the words' heat maps beside it."""
    fill_defaults(args)
    pair(args.prompt, args.seed)
    whole_number("--every", args.every, 1)
    out = check_out(args.out, args.overwrite, ending=".gif")
    sd = options.load_model(args)
    for word in args.maps or []:
        find_columns(sd, args.prompt, word)  # UserError now, not after the drawing
    with Stopping() as stopping:
        if args.maps is None:
            film = Film(args.every, stopping)
            sd.generate(*_drawing(args), progress=options.progress_bar("drawing"), callback=film)
            frames = film.frames
        else:
            frames = _frames_with_maps(_heat(sd, args, stopping), args.maps, args.every)
    size = sd.check_size(args.height or sd.side, args.width or sd.side)
    text = _parameters(sd, args, size[::-1], stopping)
    output = Output(out, f"{slug(args.prompt)}-s{args.seed}", args.overwrite)
    path = output.write({".gif": gif_writer(frames, text)}, stopping.finished)
    _tell(args, path, stopping)


def _heat(sd: StableDiffusion, args: argparse.Namespace, stopping: Stopping) -> Heat:
    return heat(sd, *_drawing(args), progress=options.progress_bar("drawing"), callback=stopping)


def _drawing(args: argparse.Namespace) -> tuple:
    return args.prompt, args.seed, args.steps, args.guidance, args.negative, args.height, args.width


def _frames_with_maps(found: Heat, words: Sequence[str], every: int) -> list[Image.Image]:
    """For each step kept, the expected picture and beside it the words' maps over it, each in colours of its own."""
    heats = [found[word] for word in words or found.words]
    spans = [(float(one.over_time.min()), float(one.over_time.max())) for one in heats]
    frames = []
    for k, step in enumerate(found.steps):
        if not is_kept(k, len(found.steps), every):
            continue
        [picture] = step.pictures()
        cells = [overlay(picture, one.over_time[k], span) for one, span in zip(heats, spans, strict=True)]
        labels = [f"step {step.i + 1} of {step.total}", *(one.word for one in heats)]
        frames.append(sheet([[picture, *cells]], [labels]))
    return frames


def _parameters(sd: StableDiffusion, args: argparse.Namespace, size: tuple[int, int], stopping: Stopping) -> str:
    about = fields(sd, args, args.seed, size, {}) | stopping.fields()
    return parameters.to_text(args.prompt, args.negative, about)


def _tell(args: argparse.Namespace, path: Path, stopping: Stopping) -> None:
    wrote(args, path)
    print(path)
    if stopping.pressed:
        raise KeyboardInterrupt(f"{path} was written{stopping.remark()}")
