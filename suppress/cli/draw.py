"""What `suppress PROMPT` does: it draws method by method, batch by batch, and writes each batch at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from minisd import UserError
from minisd.base.arguments import check_negative, pair
from minisd.base.outputs import check_folder, check_out
from minisd.cli import options
from minisd.cli.prompts import note_foreign_signs
from minisd.cli.stopping import Stopping

from ..engine import find_engine
from ..job import run
from ..prompt import Request, encode, read_request, read_text
from ..report.files import Report, Row
from . import picture, repeat
from .choose import choose, describe, find_settings, introduce, told

BATCH = 8  # seeds drawn at once


def suppress(args: argparse.Namespace) -> None:
    repeated = repeat.fill_from(args) if args.params_from else []
    if args.prompt is None:
        _find_prompt(args)
    args.prompt, args.negative = (
        read_text(text, bool(args.weights)) for text in (args.prompt, check_negative(args.negative or ""))
    )
    request = read_request(args.prompt, args.strengthen or args.remove)
    if not args.weights:
        for text in (request.prompt, args.negative):  # a target's brackets are gone from the first
            note_foreign_signs(text)
    if args.save_pictures is not None:
        check_folder(args.save_pictures, "--save-pictures")
    picture.check_options(args)
    specs = repeated or choose(args)
    if args.image is not None:
        picture.edit(args, request, specs, bool(repeated))
    else:
        draw(args, request, specs, bool(repeated))


def draw(args: argparse.Namespace, request: Request, specs: Sequence[str], repeated: bool) -> None:
    """Draws the prompt from noise, with and without its target."""
    _, seeds = pair(request.prompt, args.seed or [0])
    out = check_out(args.out, args.overwrite, (".json",))
    sd = options.load_model(args)
    rows = [Row(spec, *find_settings(sd, args, spec, repeated)) for spec in specs]
    prompt = encode(sd, request.prompt, request, any(row.settings.needs_words for row in rows), args.negative)
    introduce(sd, args, request, prompt)
    # one engine for all rows, because it keeps what it has packed and compiled
    engine = find_engine(sd, args.engine) or "reference"
    report = Report(sd, args, request, seeds, rows, out)
    with told(report):
        for row in rows:
            print(f"{sd.name}: {describe(row, prompt)}", flush=True)
            for k in range(0, len(seeds), BATCH):
                with Stopping() as stopping:
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
                        negative_prompt=args.negative,
                        callback=stopping,
                    )
                report.add(row, result, stopping)
            report.print_scores(row)
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
