"""What `suppress eval` takes where the user gave nothing: for prompts, for pictures, for a protocol, and with --quick.

Options of one table that are given for another one are an error. Nothing here imports PyTorch.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minisd import UserError
from minisd.base.outputs import slug

from ..evaluation import cases as usual
from ..evaluation import pairs
from ..evaluation.cases import KINDS
from ..protocols import PICTURE_PROTOCOLS, PROTOCOLS
from .evaluate_table import out_of_shard

# options of one of the two tables only, with their defaults
_OF_PROMPTS: dict[str, Any] = {
    "rows": "methods",
    "prompts": None,
    "target": None,
    "kinds": KINDS,
    "seeds": usual.SEEDS,
    "batch": None,
}
_OF_PICTURES: dict[str, Any] = {"inversions": (), "half": "all", "all_pairs": False}
_COMMON = {  # option -> its default (for prompts, for pictures)
    "steps": (usual.STEPS, pairs.STEPS),
    "start": (usual.START, None),
    "out": ("suppress-eval.jsonl", "suppress-pictures.jsonl"),
}
MODEL_OPTIONS = ("model", "lora", "vae", "clip_skip")  # that change what a cell says
QUICK_OUT = "suppress-quick.jsonl"
OWN_OUT = "suppress-own.jsonl"  # the default for --prompts

QUICK_STEPS, QUICK_SEEDS, QUICK_PICTURES = 10, 2, 2
QUICK_ROWS = ("phrase deleted", "SWR", "Unread")  # of the table of methods


def fill_in(args: argparse.Namespace) -> None:
    """Gives the options that were left out their values. UserError for an option of another table."""
    if args.protocol in PICTURE_PROTOCOLS:
        args.pictures = True
    _check_foreign(args)
    model = _check_model(args)
    if args.protocol is not None:
        _follow(args)
    elif args.quick:
        _shorten(args)
    if args.prompts is not None and args.kinds:
        raise UserError("--kinds is for the built-in prompts; --prompts FILE has its own")
    if args.target is not None and args.prompts is None:
        raise UserError("--target is for --prompts; the built-in prompts have their own targets")
    if args.limit is not None and not args.pictures and args.prompts is None:
        way = "--quick draws fewer" if args.protocol else "the built-in prompts are chosen with --kinds"
        raise UserError(f"--limit is for --pictures and --prompts; {way}")
    if args.out is None and (args.quick or args.prompts is not None):
        args.out = _name(QUICK_OUT if args.quick else OWN_OUT, model, args)
    own = _OF_PICTURES if args.pictures else _OF_PROMPTS
    for name, default in (own | {name: both[args.pictures] for name, both in _COMMON.items()}).items():
        if getattr(args, name) is None and not (name == "seeds" and args.prompts is not None):
            setattr(args, name, _name(default, model, args) if name == "out" else default)


def _check_model(args: argparse.Namespace) -> str:
    """What the names of another model's files end in. UserError where only the embedded model has a meaning."""
    given = [name for name in MODEL_OPTIONS if getattr(args, name)]
    if given and (args.pictures or args.protocol is not None):
        what = "--protocol" if args.protocol is not None else "--pictures"
        raise UserError(f"--{given[0].replace('_', '-')} with {what}, which is about the world of the embedded model")
    if not given:
        return ""
    parts = [args.model, args.vae, *(args.lora or []), args.clip_skip and f"skip {args.clip_skip}"]
    return "-" + slug(" ".join(str(part) for part in parts if part))


def _name(default: str, model: str, args: argparse.Namespace) -> str:
    path = Path(default)
    return out_of_shard(path.stem + model + path.suffix, args.shard)


def _check_foreign(args: argparse.Namespace) -> None:
    other = _OF_PROMPTS if args.pictures else _OF_PICTURES
    foreign = [f"--{name.replace('_', '-')}" for name in other if getattr(args, name) is not None]
    if args.pictures and args.protocol in PROTOCOLS:
        foreign.append("--protocol")
    if foreign and args.protocol in PICTURE_PROTOCOLS:
        raise UserError(f"{', '.join(foreign)} is for prompts, and --protocol {args.protocol} is about pictures")
    if foreign and args.protocol in PROTOCOLS and not args.pictures:
        raise UserError(f"{', '.join(foreign)} is for pictures, and --protocol {args.protocol} is about prompts")
    if foreign:
        advice = "leave --pictures out" if args.pictures else "add --pictures"
        raise UserError(f"{', '.join(foreign)} is for {'prompts' if args.pictures else 'pictures'}; {advice}")


def _follow(args: argparse.Namespace) -> None:
    """Gives the options that were left out the protocol's values. UserError for those that would change its table."""
    protocol = PROTOCOLS.get(args.protocol) or PICTURE_PROTOCOLS[args.protocol]
    for name in ("rows", "kinds", "prompts", "inversions", "half", "all_pairs"):
        if getattr(args, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} with --protocol {protocol.name}, which has its own; leave one of them out")
    if args.quick:
        args.steps = min(QUICK_STEPS, protocol.steps) if args.steps is None else args.steps
        args.seeds = QUICK_SEEDS if args.seeds is None and not args.pictures else args.seeds
        args.limit = QUICK_PICTURES if args.limit is None and args.pictures else args.limit
    for name in ("steps", "start", "seeds"):
        if getattr(args, name) is None and hasattr(protocol, name):
            setattr(args, name, getattr(protocol, name))
    name = f"{protocol.name}-quick.jsonl" if args.quick else f"{protocol.name}.jsonl"
    args.out = args.out or out_of_shard(name, args.shard)


def _shorten(args: argparse.Namespace) -> None:
    """What --quick takes of the built-in tables. Options that the user gave stand."""
    if args.rows is not None and args.rows != "methods":
        raise UserError(f"--quick with --rows {args.rows}; it has rows of its own, leave one of them out")
    args.steps = QUICK_STEPS if args.steps is None else args.steps
    if args.pictures:
        args.limit = QUICK_PICTURES if args.limit is None else args.limit
        return
    args.only = list(QUICK_ROWS) if args.only is None else args.only
    if args.prompts is None:
        args.seeds = QUICK_SEEDS if args.seeds is None else args.seeds
    elif args.limit is None:
        args.limit = QUICK_PICTURES
