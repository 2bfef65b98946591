"""Erasers without a training: `suppress train uce --concept glasses --out FILE.safetensors`, and rece and casteer.

UCE and RECE are one matrix, which is solved at once: a file for `--method context-map:FILE`. CASteer's vectors come
from pairs of pictures that are drawn first: a file for `--method casteer:FILE`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from minisd import StableDiffusion, UserError
from minisd.base.counted import counted
from minisd.cli import options
from minisd.cli.answer import wrote

if TYPE_CHECKING:
    from ..methods.casteer import CASteer
    from ..methods.uce import UCE

SOLVED = ("uce", "uce-official", "rece", "casteer")  # names of methods
# options of `suppress train` that say nothing to them, with what they are if they were not given
_OF_TRAINING = dict.fromkeys(("prompts", "file", "anchor", "weights", "iterations", "lr", "batch", "seed")) | {
    "rank": 0,
    "resume": False,
}
_NAMES = {"prompts": "--from", "file": "--prompts"}  # the others have their own name
_OF_VECTORS = ("steps", "guidance", "pairs", "subjects")  # settings of CASteer on which its vectors depend


def solve(args: argparse.Namespace) -> None:
    """Writes the file. UserError for options of a training, and for a setting that does not change the file."""
    from ..edits.tensor_file import new_file
    from ..methods import parse_method
    from ..methods.casteer import CASteer
    from ..methods.uce import COMMON, UCE

    name = args.name.partition(":")[0]
    given = [_NAMES.get(o, f"--{o}") for o, absent in _OF_TRAINING.items() if getattr(args, o) != absent]
    if given:
        raise UserError(f"{name} needs no training; leave out {', '.join(given)}")
    settings, usual = parse_method(args.name), parse_method(name)
    changed = [field for field in vars(settings) if getattr(settings, field) != getattr(usual, field)]
    foreign = [f for f in changed if (f in COMMON if isinstance(settings, UCE) else f not in _OF_VECTORS)]
    if foreign:
        raise UserError(f"{name}:{foreign[0]} does not change the file; leave it out. The concepts are --concept's")
    if not args.concept.strip(" ,"):
        raise UserError("the concept is empty; name what is to be forgotten, as in --concept glasses")
    out = new_file(args.out, args.overwrite)
    sd, begin = options.load_model(args), time.perf_counter()
    if isinstance(settings, UCE):
        about = _matrix(sd, settings, args.concept, out)
    else:
        assert isinstance(settings, CASteer)
        about = _vectors(sd, settings, args.concept, out)
    print(f"{name}: forgetting {about}, {time.perf_counter() - begin:.1f} s")
    wrote(args, out)
    print(out)


def _matrix(sd: StableDiffusion, settings: UCE, concept: str, out: Path) -> str:
    from ..edits.concepts import phrases
    from ..edits.context_map import write_map
    from ..methods.uce import fit

    concepts = phrases(concept)
    write_map(out, fit(sd, concepts, settings))
    return ", ".join(map(repr, concepts))


def _vectors(sd: StableDiffusion, settings: CASteer, concept: str, out: Path) -> str:
    from ..edits.steering import find_vectors, write_vectors
    from ..methods.casteer import prompt_pairs

    pairs = prompt_pairs(concept, settings.pairs, settings.subjects)
    write_vectors(out, find_vectors(sd, concept, pairs, settings.steps, settings.guidance))
    return f"{concept!r}, {counted(len(pairs), 'pair')} of pictures"
