"""What `suppress PROMPT` does: it draws method by method, batch by batch, and writes each batch at once."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields
from pathlib import Path

from minisd import StableDiffusion, UserError
from minisd.base.arguments import pair
from minisd.base.outputs import check_out
from minisd.cli import options

from ..engine import find_engine
from ..job import default_settings, run
from ..methods import DEFAULT, METHODS, parse_method
from ..prompt import Prompt, encode, read_request, token_table
from ..protocol import Method
from ..report.files import Report, Row
from . import repeat

BATCH = 8  # seeds drawn at once


def suppress(args: argparse.Namespace) -> None:
    repeated = repeat.fill_from(args) if args.params_from else []
    if args.prompt is None:
        _find_prompt(args)
    request = read_request(args.prompt, args.strengthen or args.remove)
    options.note_foreign_signs(request.prompt)
    _, seeds = pair(request.prompt, args.seed or [0])
    out = check_out(args.out, args.overwrite, (".json",))
    check_folder(args.save_pictures)
    specs = repeated or choose(args)
    sd = options.load_model(args)
    rows = [Row(spec, *_settings(sd, args, spec, bool(repeated))) for spec in specs]
    prompt = encode(sd, request.prompt, request)
    print(f"{'strengthening' if args.strengthen else 'removing'} {request.describe()}")
    print(token_table(sd, request.prompt, prompt.target))
    # one engine for all rows, because it keeps what it has packed and compiled
    engine = find_engine(sd, args.engine) or "reference"
    report = Report(sd, args, request, seeds, rows, out)
    try:
        for row in rows:
            print(f"{sd.name}: {describe(row, prompt)}", flush=True)
            for k in range(0, len(seeds), BATCH):
                result = run(
                    sd,
                    request.prompt,
                    request,
                    seed=seeds[k : k + BATCH],
                    settings=row.settings,
                    engine=engine,
                    maps=args.sheet is None,
                    batch_size=BATCH,
                    progress=options.progress_bar(row.spec),
                    height=args.height,
                    width=args.width,
                )
                report.add(row, result)
            report.print_scores(row)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(report.progress()) from None
    except Exception:
        if report.path:
            print(f"suppress: {report.progress()}", file=sys.stderr)
        raise
    print(report.path)


def _find_prompt(args: argparse.Namespace) -> None:
    """Finds the prompt among the values of --remove or --strengthen: `suppress --remove hat "a man in a hat"`.

    These options take all values after them, so a prompt there is taken too. It is the value that contains all the
    others as words. UserError if there is no such value.
    """
    name = "strengthen" if args.strengthen else "remove"
    values = getattr(args, name) or []
    for k, value in enumerate(values):
        others = values[:k] + values[k + 1 :]
        if others and _names_all(value, others):
            args.prompt = value
            setattr(args, name, others)
            return
    taken = [f"--{option}" for option in ("remove", "strengthen", "sheet") if getattr(args, option)]
    swallowed = f"; {' and '.join(taken)} takes all values behind it: a PROMPT goes before" if taken else ""
    raise UserError(f"nothing to draw: give a PROMPT, or --params-from a picture{swallowed}")


def _names_all(prompt: str, words: list[str]) -> bool:
    try:
        return all(target.places for target in read_request(prompt, words).found)
    except UserError:  # not a text, or "hat:2" for a prompt with one hat
        return False


def check_folder(name: str | None) -> None:
    """UserError, before the work starts, if the folder cannot be made or pictures cannot be written into it."""
    if name is None:
        return
    folder = Path(name)
    exists = True
    try:
        os.lstat(folder)
    except FileNotFoundError:
        exists = False
    except (OSError, ValueError) as error:
        raise UserError(f"--save-pictures {name[:60]!r} cannot be the name of a folder: {error}") from None
    parent = folder if exists else folder.absolute().parent
    if exists and not folder.is_dir():
        raise UserError(f"--save-pictures {folder} is a file; give the name of a folder")
    if not parent.is_dir():
        raise UserError(f"--save-pictures {folder}: there is no folder {parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"--save-pictures {folder}: the folder {parent} cannot be written to")


# ---------------------------------------------------------------------- methods


def choose(args: argparse.Namespace) -> list[str]:
    """The methods to run, as specs: "name" or "name:field=value"."""
    name, colon, rest = (args.method or "suppress-eot").partition(":")
    if args.preset and name != "suppress-eot":
        raise UserError(f"--preset {args.preset} is of suppress-eot, not of {name}")
    if args.strengthen:
        if args.preset or args.sheet is not None or (args.method and name != "strengthen"):
            raise UserError(
                "--strengthen is a method of its own; leave out --preset, --sheet and other methods (its factor: "
                "--method strengthen:value=2)"
            )
        return [args.method or "strengthen"]
    if args.method and name == "strengthen":
        raise UserError("--method strengthen draws more of what it is given; name that with --strengthen WORD")
    if args.sheet is not None:
        if args.method or args.preset:
            raise UserError("--sheet names its methods itself; leave out --method and --preset")
        return args.sheet or ["zero", "suppress-eot", "official", "paper", "unread"]
    if args.preset:
        return [args.preset + colon + rest]
    swr = any(value is not None for value in (args.gamma, args.iterations, args.stop))
    return [args.method or ("suppress-eot" if swr else DEFAULT)]  # --gamma, --iterations and --stop are SuppressEOT's


def _settings(sd: StableDiffusion, args: argparse.Namespace, spec: str, repeated: bool) -> tuple[Method, str]:
    """A method's settings, with the values that the user gave, and a phrase that says where R comes from.

    repeated: the spec is that of a picture that is drawn again. It holds all settings, so the checkpoint's defaults
    are not used.
    """
    names = ("steps", "guidance", "start", "gamma", "iterations", "stop")
    given = {k: getattr(args, k) for k in names if getattr(args, k) is not None}
    name = spec.partition(":")[0]
    if args.sheet is not None:  # an option may be meant for other rows than this one
        known = {f.name for f in fields(METHODS[name].kind)} if name in METHODS else set()
        given = {k: v for k, v in given.items() if k in known}
    if repeated:
        same = parse_method(spec, steps=given.pop("steps"), guidance=given.pop("guidance"))
        settings = parse_method(name, **{k: getattr(same, k) for k in METHODS[name].settings} | given)
        return settings, "R as given" if "start" in given else f"R of {args.params_from}"
    settings, origin = default_settings(sd, spec, **given)
    in_spec = {part.partition("=")[0].strip() for part in spec.partition(":")[2].split(",")}
    return settings, "R as given" if "start" in {*given, *in_spec} else f"R {origin}"


def describe(row: Row, prompt: Prompt) -> str:
    """The method and its most important settings, in one line."""
    settings, parts = row.settings, [row.spec]
    remark = settings.remark(prompt)
    parts += [remark] if remark else []
    return ", ".join([*parts, f"from step R = {settings.start_step} of {settings.steps}"]) + f" ({row.origin})"
