"""`minisd generate | maps | info | fetch | export`"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ..config import CONTEXT
from . import options


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="minisd", description="Stable Diffusion v1.x by hand in pure PyTorch")
    options.add_version_option(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _generate_parser(commands)
    _maps_parser(commands)
    info = commands.add_parser("info", help="show what a checkpoint is, without loading it")
    info.add_argument("source", metavar="SOURCE", help="tiny, a folder, a file, or a hub id that is in the cache")
    info.add_argument("--variant", help="of a folder's files, e.g. fp16")
    info.add_argument("--revision", help="of the hub's repository")
    info.set_defaults(run=_info)
    fetch = commands.add_parser("fetch", help="download a public checkpoint into the hub's cache")
    fetch.add_argument(
        "name", metavar="NAME", nargs="?", help="a name of the manifest, or a hub id (default: print the manifest)"
    )
    fetch.add_argument("--variant", help="of the files, e.g. fp16")
    fetch.add_argument("--revision", help="of the hub's repository")
    fetch.set_defaults(run=_fetch)
    _export_parser(commands)
    args = options.parse(parser, argv)
    return options.run("minisd", args.run, args)


def _generate_parser(commands: Any) -> None:
    p = commands.add_parser("generate", help="draw pictures")
    p.add_argument("prompt", metavar="PROMPT", nargs="?", help="what to draw")
    p.add_argument("--negative", metavar="PROMPT", help="what guidance leads away from (default: nothing)")
    options.add_seed_option(p, "one picture per seed: 3, or several: 0 3 5, 0,3,5, 0-7 (default 0)")
    p.add_argument("--params-from", metavar="FILE.png", help="repeat a picture; other options override its parameters")
    options.add_sampling_options(p)
    options.add_size_options(p)
    p.add_argument("--image", metavar="FILE", help="start from this picture (SDEdit)")
    p.add_argument("--strength", type=float, help="how much of it to redo, above 0 to 1 (default 0.8)")
    options.add_model_options(p)
    options.add_output_options(p)
    p.set_defaults(run=_generate)


def _maps_parser(commands: Any) -> None:
    p = commands.add_parser("maps", help="draw a picture and a map for each word: which pixels attended to it")
    p.add_argument("prompt", metavar="PROMPT", help="what to draw")
    p.add_argument("--negative", metavar="PROMPT", help="what guidance leads away from (default: nothing)")
    p.add_argument("--seed", metavar="N", type=int, default=0, help="default 0")
    options.add_sampling_options(p)
    options.add_size_options(p)
    options.add_model_options(p)
    options.add_output_options(p)
    p.set_defaults(run=_maps)


def _export_parser(commands: Any) -> None:
    about = "write a model as a folder in diffusers layout, with what is put into it"
    p = commands.add_parser("export", help=about)
    p.add_argument("model", metavar="SOURCE", help="tiny, a folder, a .safetensors or .ckpt file, or a hub id")
    p.add_argument("folder", metavar="FOLDER", help="the new folder")
    p.add_argument("--overwrite", action="store_true", help="replace a folder that holds a model and nothing else")
    options.add_loading_options(p.add_argument_group("model"))
    p.set_defaults(run=_export)


# ---------------------------------------------------------------------- generate, maps


def _generate(args: argparse.Namespace) -> None:
    from .generate import generate

    generate(args)


def _maps(args: argparse.Namespace) -> None:
    """One sheet: the picture, then a heat map for [SOT], for each word, and for [EOT] with its padding.

    The maps of a word's pieces are summed, not averaged, and so are those of [EOT]. A pixel divides its attention among
    all tokens: a word's share is the sum of its pieces' shares, and the shares on a sheet add up to 100 %.
    """
    from ..base.arguments import pair
    from ..base.outputs import check_out, slug, write_output
    from ..base.picture_files import png_writer
    from ..picture import overlay, sheet
    from ..taps.heat_maps import heat_maps
    from ..taps.record import Average
    from ..taps.select import select
    from . import parameters
    from .generate import fields, fill_defaults

    fill_defaults(args)
    pair(args.prompt, args.seed)
    out = check_out(args.out, args.overwrite)
    sd = options.load_model(args)
    record = Average(select("cross"))
    [picture] = sd.generate(
        args.prompt,
        args.seed,
        args.steps,
        args.guidance,
        args.negative,
        args.height,
        args.width,
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
    text = parameters.to_text(args.prompt, args.negative, fields(sd, args, args.seed, picture.size, {}))
    stem = f"{slug(args.prompt)}-s{args.seed}-maps"
    print(write_output({".png": png_writer(sheet(rows, texts), text)}, out, stem, args.overwrite))


def word_columns(pieces: Sequence[str]) -> list[tuple[str, slice]]:
    """A prompt's BPE pieces -> the columns of a cross map for [SOT], for each word, and for [EOT] with its padding."""
    from ..loading.tokenizer import split_words, word_text

    columns, start = [("[SOT]", slice(0, 1))], 1
    for word in split_words(pieces):
        stop = min(start + len(word), CONTEXT - 1)  # the prompt may be cut inside a word
        if start < stop:
            columns.append((word_text(word), slice(start, stop)))
        start = stop
    return [*columns, (f"[EOT] x{CONTEXT - start}", slice(start, CONTEXT))]


# ---------------------------------------------------------------------- info, fetch, export


def _info(args: argparse.Namespace) -> None:
    from .describe import describe

    print("\n".join(describe(args.source, args.variant, args.revision)))


def _fetch(args: argparse.Namespace) -> None:
    from ..loading.manifest import fetch, manifest

    if args.name is None:
        width = max(map(len, manifest()))
        for name, entry in manifest().items():
            print(f"{name:<{width}}  {entry['repo']}  ({entry['licence']})\n{'':<{width}}  {entry['about']}")
        return
    try:
        repo, folder = fetch(args.name, args.variant, args.revision)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command continues with the files in the hub's cache") from None
    print(folder)
    if "files" not in manifest().get(args.name, {}):
        given = [f"--{name} {value}" for name in ("variant", "revision") if (value := getattr(args, name))]
        print(" ".join(["load it with --model", repo, *given]))


def _export(args: argparse.Namespace) -> None:
    from ..loading.export import check_folder, export

    check_folder(args.folder, args.overwrite)  # before the model is loaded
    print(export(options.load_model(args), args.folder, overwrite=args.overwrite))
