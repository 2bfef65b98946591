"""`suppress train uce --concept glasses --out FILE.safetensors`: UCE and RECE are one matrix, which is solved at once.

The file is for `--method context-map:FILE`, with any prompt.
"""

from __future__ import annotations

import argparse
import time

from minisd import UserError
from minisd.cli import options

SOLVED = ("uce", "uce-official", "rece")  # names of methods
# options of `suppress train` that say nothing to them, with what they are if they were not given
_OF_TRAINING = dict.fromkeys(("prompts", "file", "anchor", "weights", "iterations", "lr", "batch", "seed")) | {
    "rank": 0,
    "resume": False,
}


def solve(args: argparse.Namespace) -> None:
    """Solves the matrix and writes it. UserError for options of a training, and for a setting that is no part of it."""
    from ..edits.concepts import phrases
    from ..edits.context_map import write_map
    from ..edits.tensor_file import new_file
    from ..methods import parse_method
    from ..methods.uce import COMMON, UCE, fit

    name = args.name.partition(":")[0]
    given = [option for option, absent in _OF_TRAINING.items() if getattr(args, option) != absent]
    if given:
        shown = ", ".join("--from" if o == "prompts" else "--prompts" if o == "file" else f"--{o}" for o in given)
        raise UserError(f"{name} is solved at once, without a training; leave out {shown}")
    settings, usual = parse_method(args.name), parse_method(name)
    foreign = [field for field in COMMON if getattr(settings, field) != getattr(usual, field)]
    if foreign:
        raise UserError(f"{name}:{foreign[0]} is no part of the matrix; leave it out. The concepts are --concept's")
    concepts = phrases(args.concept)
    if not concepts:
        raise UserError("the concept is empty; name what is to be forgotten, as in --concept glasses")
    out = new_file(args.out, args.overwrite)
    sd = options.load_model(args)
    assert isinstance(settings, UCE)
    begin = time.perf_counter()
    write_map(out, fit(sd, concepts, settings))
    print(f"{name}: forgetting {', '.join(map(repr, concepts))}, {time.perf_counter() - begin:.1f} s")
    print(out)
