"""`minisd generate | maps | film | info | fetch | export`"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from . import options
from .answer import add_answer_options
from .prompts import add_weights_option


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="minisd", description="Stable Diffusion v1.x by hand in pure PyTorch")
    options.add_version_option(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _generate_parser(commands)
    _maps_parser(commands)
    _film_parser(commands)
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
    for command in commands.choices.values():
        add_answer_options(command)
    args = options.parse(parser, argv)
    return options.run("minisd", args.run, args)


def _generate_parser(commands: Any) -> None:
    p = commands.add_parser("generate", help="draw pictures")
    p.add_argument("prompt", metavar="PROMPT", nargs="?", help="what to draw")
    p.add_argument("--negative", metavar="PROMPT", help="what guidance leads away from (default: nothing)")
    add_weights_option(p)
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
    _add_one_picture(p)
    over_time = (
        "a sheet with a row for each word and a column for each of 8 steps: where it is placed, and by which step"
    )
    p.add_argument("--over-time", action="store_true", help=over_time)
    options.add_output_options(p)
    p.set_defaults(run=_maps)


def _film_parser(commands: Any) -> None:
    about = "draw a picture and write a GIF of it: at each step, the picture that the step expects"
    p = commands.add_parser("film", help=about)
    _add_one_picture(p)
    words = "show the heat maps of these words beside it (default: of all words); a PROMPT goes before"
    p.add_argument("--maps", metavar="WORD", nargs="*", help=words)
    p.add_argument("--every", metavar="N", type=int, default=1, help="a frame for every N-th step only (default 1)")
    options.add_output_options(p, "FILE.gif")
    p.set_defaults(run=_film)


def _add_one_picture(p: argparse.ArgumentParser) -> None:
    p.add_argument("prompt", metavar="PROMPT", help="what to draw")
    p.add_argument("--negative", metavar="PROMPT", help="what guidance leads away from (default: nothing)")
    add_weights_option(p)
    p.add_argument("--seed", metavar="N", type=int, default=0, help="default 0")
    options.add_sampling_options(p)
    options.add_size_options(p)
    options.add_model_options(p)


def _export_parser(commands: Any) -> None:
    about = "write a model as a folder in diffusers layout, with what is put into it"
    p = commands.add_parser("export", help=about)
    p.add_argument("model", metavar="SOURCE", help="tiny, a folder, a .safetensors or .ckpt file, or a hub id")
    p.add_argument("folder", metavar="FOLDER", help="the new folder")
    p.add_argument("--overwrite", action="store_true", help="replace a folder that holds a model and nothing else")
    options.add_loading_options(p.add_argument_group("model"))
    p.set_defaults(run=_export)


# ---------------------------------------------------------------------- generate, maps, film


def _generate(args: argparse.Namespace) -> None:
    from .generate import generate

    generate(args)


def _maps(args: argparse.Namespace) -> None:
    from .maps import maps

    maps(args)


def _film(args: argparse.Namespace) -> None:
    from .maps import film

    film(args)


# ---------------------------------------------------------------------- info, fetch, export


def _info(args: argparse.Namespace) -> None:
    from .describe import describe

    lines = describe(args.source, args.variant, args.revision)
    args.answer["about"] = lines
    print("\n".join(lines))


def _fetch(args: argparse.Namespace) -> None:
    from ..loading.manifest import fetch, manifest

    if args.name is None:
        args.answer["checkpoints"] = manifest()
        width = max(map(len, manifest()))
        for name, entry in manifest().items():
            print(f"{name:<{width}}  {entry['repo']}  ({entry['licence']})\n{'':<{width}}  {entry['about']}")
        return
    try:
        repo, folder = fetch(args.name, args.variant, args.revision)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command continues with the files in the hub's cache") from None
    args.answer |= {"source": repo, "folder": str(folder)}
    print(folder)
    if "files" not in manifest().get(args.name, {}):
        given = [f"--{name} {value}" for name in ("variant", "revision") if (value := getattr(args, name))]
        print(" ".join(["load it with --model", repo, *given]))


def _export(args: argparse.Namespace) -> None:
    from ..loading.export import check_folder, export

    check_folder(args.folder, args.overwrite)  # before the model is loaded
    folder = export(options.load_model(args), args.folder, overwrite=args.overwrite)
    args.answer["folder"] = str(folder)
    print(folder)
