"""`minisd generate | maps | info | fetch`"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import options
from .config import CONTEXT
from .errors import UserError

if TYPE_CHECKING:
    from .pipeline import StableDiffusion


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="minisd", description="Stable Diffusion v1.x by hand in pure PyTorch")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _generate_parser(commands)
    _maps_parser(commands)
    info = commands.add_parser("info", help="what a checkpoint is, without loading it")
    info.add_argument("source", metavar="SOURCE", help="tiny, a folder, a file, or a hub id that is in the cache")
    info.add_argument("--variant", help="of a folder's files, e.g. fp16")
    info.add_argument("--revision", help="of the hub's repository")
    info.set_defaults(run=_info)
    fetch = commands.add_parser("fetch", help="bring a public checkpoint into the hub's cache")
    fetch.add_argument(
        "name", metavar="NAME", nargs="?", help="of the manifest, or a hub id; without one, the manifest"
    )
    fetch.add_argument("--variant", help="of the files, e.g. fp16")
    fetch.add_argument("--revision", help="of the hub's repository")
    fetch.set_defaults(run=_fetch)
    args = options.parse(parser, argv)
    return options.run("minisd", args.run, args)


def _generate_parser(commands: Any) -> None:
    p = commands.add_parser("generate", help="draw pictures")
    p.add_argument("prompt", metavar="PROMPT", nargs="?", help="what to draw")
    p.add_argument("--negative", metavar="PROMPT", help="what guidance leads away from (default: nothing)")
    options.add_seed_option(p, "one picture a seed: 3, or several: 0 3 5, 0,3,5, 0-7 (default 0)")
    p.add_argument("--params-from", metavar="FILE.png", help="repeat a picture; other options change what they name")
    options.add_sampling_options(p)
    p.add_argument("--height", type=int, help="pixels, a multiple of 8 (default: as the model was trained)")
    p.add_argument("--width", type=int, help="likewise")
    p.add_argument("--image", metavar="FILE", help="start from this picture (SDEdit)")
    p.add_argument("--strength", type=float, help="how much of it to redo, above 0 to 1 (default 0.8)")
    options.add_model_options(p)
    options.add_output_options(p)
    p.set_defaults(run=_generate)


def _maps_parser(commands: Any) -> None:
    p = commands.add_parser("maps", help="draw a picture and, for each word, where the model looked for it")
    p.add_argument("prompt", metavar="PROMPT", help="what to draw")
    p.add_argument("--negative", metavar="PROMPT", help="what guidance leads away from (default: nothing)")
    p.add_argument("--seed", type=int, default=0, help="default 0")
    options.add_sampling_options(p)
    options.add_model_options(p)
    options.add_output_options(p)
    p.set_defaults(run=_maps)


# ---------------------------------------------------------------------- generate


def _generate(args: argparse.Namespace) -> None:
    from . import parameters
    from .outputs import check_out, free_name, slug
    from .picture import open_picture, save

    if args.params_from:
        _fill_from(args, *parameters.read(args.params_from))
    if args.prompt is None:
        raise UserError("nothing to draw: give a PROMPT, or --params-from a picture")
    seeds = args.seed or [0]
    out = check_out(args.out, args.overwrite)
    if out and len(seeds) > 1:
        raise UserError(f"--out names one file and --seed {len(seeds)} pictures; leave --out away for free names")
    if args.strength is not None and not args.image:
        raise UserError("--strength needs --image, the picture to start from")
    start = open_picture(args.image) if args.image else None
    strength = 0.8 if args.strength is None else args.strength
    sd = options.load_model(args)
    pictures = sd.generate(
        args.prompt,
        seeds,
        steps=50 if args.steps is None else args.steps,
        guidance=7.5 if args.guidance is None else args.guidance,
        negative_prompt=args.negative or "",
        height=args.height,
        width=args.width,
        image=start,
        strength=strength,
        progress=options.progress_bar("drawing"),
    )
    for seed, picture in zip(seeds, pictures, strict=True):
        fields = _fields(sd, args, seed, picture.size) | ({"Denoising strength": strength} if start else {})
        path = out or free_name(f"{slug(args.prompt)}-s{seed}")
        print(save(picture, path, parameters.to_text(args.prompt, args.negative or "", fields)))


def _fields(sd: StableDiffusion, args: argparse.Namespace, seed: int, size: tuple[int, int]) -> dict[str, object]:
    """In the field's order and names."""
    return {
        "Steps": 50 if args.steps is None else args.steps,
        "Sampler": "DDIM",
        "CFG scale": 7.5 if args.guidance is None else args.guidance,
        "Seed": seed,
        "Size": f"{size[0]}x{size[1]}",
        **options.model_fields(sd, args),
    }


def _fill_from(args: argparse.Namespace, prompt: str, negative: str, fields: dict[str, str]) -> None:
    """Options that were not given take the picture's values."""
    try:
        width, _, height = fields.get("Size", "").partition("x")
        found = {
            "prompt": prompt,
            "negative": negative,
            "steps": int(fields["Steps"]),
            "guidance": float(fields["CFG scale"]) if "CFG scale" in fields else None,
            "seed": [int(fields["Seed"])] if "Seed" in fields else None,
            "width": int(width) if width else None,
            "height": int(height) if height else None,
            "model": fields.get("Model"),
            "strength": float(fields["Denoising strength"]) if "Denoising strength" in fields else None,
            "dtype": fields.get("Precision"),
        }
    except ValueError as error:
        raise UserError(f"{args.params_from}: its parameters hold a value that cannot be read ({error})") from error
    if fields.get("Sampler", "DDIM") != "DDIM":
        raise UserError(f"{args.params_from} was drawn with the sampler {fields['Sampler']}; minisd has DDIM")
    if found["strength"] is not None and not args.image:
        raise UserError(
            f"{args.params_from} was drawn over a picture, which the file does not hold: give it as --image"
        )
    if args.model in (None, fields.get("Model")):  # another model has other files
        ema = True if fields.get("EMA") == "yes" else None
        found |= {"variant": fields.get("Variant"), "revision": fields.get("Revision"), "ema": ema}
    for name, value in found.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.dtype not in (None, *options.DTYPES):
        known = ", ".join(options.DTYPES)
        raise UserError(f"{args.params_from} was drawn with the precision {args.dtype}; minisd has {known}: --dtype")


# ---------------------------------------------------------------------- maps


def _maps(args: argparse.Namespace) -> None:
    """One sheet: the picture, then a heat map for [SOT], for each word and for [EOT] with its padding.

    The maps of a word's pieces, and those of [EOT], are summed and not averaged: a pixel's attention is shared out
    among all tokens, so that a word's share is the sum of its pieces' shares, and those on a sheet add up to 100 %.
    """
    from . import parameters
    from .outputs import check_out, free_name, slug
    from .picture import overlay, save, sheet
    from .tap import Average, heat_maps, select

    out = check_out(args.out, args.overwrite)
    sd = options.load_model(args)
    steps = 50 if args.steps is None else args.steps
    guidance = 7.5 if args.guidance is None else args.guidance
    record = Average(select("cross"))
    [picture] = sd.generate(
        args.prompt,
        args.seed,
        steps,
        guidance,
        args.negative or "",
        tap=record,
        progress=options.progress_bar("drawing"),
    )
    f = sd.vae.config.factor
    heat = heat_maps(record.maps, (picture.height // f, picture.width // f))[1]  # the conditional half: (77,h,w)
    maps = [(name, heat[columns].sum(dim=0)) for name, columns in word_columns(sd.pieces(args.prompt))]
    cells = [picture, *(overlay(picture, m) for _, m in maps)]
    labels = ["picture", *(f"{name} {float(m.mean()):.1%}" for name, m in maps)]
    columns = min(len(cells), 6)
    rows = [cells[k : k + columns] for k in range(0, len(cells), columns)]
    texts = [labels[k : k + columns] for k in range(0, len(labels), columns)]
    text = parameters.to_text(args.prompt, args.negative or "", _fields(sd, args, args.seed, picture.size))
    path = out or free_name(f"{slug(args.prompt)}-s{args.seed}-maps")
    print(save(sheet(rows, texts), path, text))


def word_columns(pieces: Sequence[str]) -> list[tuple[str, slice]]:
    """A prompt's BPE pieces -> [SOT], its words, [EOT] and its padding, each with its columns in a cross map."""
    from .tokenizer import split_words, word_text

    columns, start = [("[SOT]", slice(0, 1))], 1
    for word in split_words(pieces):
        stop = min(start + len(word), CONTEXT - 1)  # the last word that the model reads may be cut
        if start < stop:
            columns.append((word_text(word), slice(start, stop)))
        start = stop
    return [*columns, (f"[EOT] x{CONTEXT - start}", slice(start, CONTEXT))]


# ---------------------------------------------------------------------- info, fetch


def _info(args: argparse.Namespace) -> None:
    from .describe import describe

    print("\n".join(describe(args.source, args.variant, args.revision)))


def _fetch(args: argparse.Namespace) -> None:
    from .fetch import fetch, manifest

    if args.name is None:
        for name, entry in manifest().items():
            print(f"{name:<10} {entry['repo']}  ({entry['licence']})\n           {entry['about']}")
        return
    repo, folder = fetch(args.name, args.variant, args.revision)
    print(folder)
    if "files" not in manifest().get(args.name, {}):
        given = [f"--{name} {value}" for name in ("variant", "revision") if (value := getattr(args, name))]
        print(" ".join(["load it with --model", repo, *given]))


if __name__ == "__main__":
    raise SystemExit(main())
