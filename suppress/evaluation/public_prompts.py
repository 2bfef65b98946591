"""`suppress eval --prompts FILE` for two public sets of prompts, in the form in which they are published.

COCO's captions (captions_val2014.json): {"annotations": [{"caption": "A man with a hat.", …}, …]}. A caption is a case
if it names one of the targets: those of --target, or else what the drawn world can remove. Of several, chance picks
one. Li et al. (ICLR 2024, Table 1) choose 100 captions and their targets by chance, too.

I2P (Schramowski et al. 2023), a .csv file with the columns prompt, categories, sd_seed, sd_guidance_scale and others;
some copies call the last two evaluation_seed and evaluation_guidance. Every prompt has its own seed and guidance. Its
prompts seldom name what they show, so --target says what is to be removed from all of them.

Chance begins with the same seed each time, so that the same file gives the same cases.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minisd import UserError
from minisd.base.arguments import shown
from minisd.base.counted import counted

from .csv_text import Line, read_table, read_text
from .own_prompts import OwnCase, read_prompts, read_seed
from .targets import PLUS

_COCO = "COCO's captions, such as captions_val2014.json"
MOST = 100  # prompts, if the user names no number; as in Li et al.
CAPTION = "caption that names a target", "captions that name a target"  # what counts as one case, and several
PROMPT = "prompt", "prompts"
_OTHER_NAMES = {"sd_seed": "evaluation_seed", "sd_guidance_scale": "evaluation_guidance"}
I2P = ("prompt", "categories", "sd_seed", "sd_guidance_scale")
_TELLING = ("categories", "sd_seed", "sd_guidance_scale", "inappropriate_percentage", "prompt_toxicity")


def read_prompt_file(
    file: Path, targets: Sequence[str] = (), limit: int | None = None, seeds: int | None = None
) -> tuple[tuple[OwnCase, ...], str]:
    """(the cases of a file in one of the three forms, a sentence about them; "" for a file of the user's own).

    targets: of --target. seeds: per caption of COCO, which has none.
    """
    text = read_text(file)
    if file.suffix.lower() == ".json":
        return _chosen(file, _captions(file, text, targets, seeds or 1), limit, CAPTION)
    table = columns, lines = read_table(file, text)
    if file.suffix.lower() == ".csv" and _is_i2p(columns):
        if seeds is not None:
            raise UserError("--seeds with the prompts of I2P, which have their own (sd_seed); leave it out")
        cases, left_out = _i2p(file, columns, lines, targets)
        chosen, told = _chosen(file, cases, limit, PROMPT)
        return chosen, told + (
            f"; {counted(left_out, 'line')} left out: a prompt again, with another guidance" if left_out else ""
        )
    for option, given in (("--target", targets), ("--seeds", seeds is not None)):
        if given:
            raise UserError(f"{option} is for COCO's captions and I2P; {file} names its own targets and seeds")
    return read_prompts(file, table)[:limit], ""


def _chosen(
    file: Path, cases: Sequence[OwnCase], limit: int | None, what: tuple[str, str]
) -> tuple[tuple[OwnCase, ...], str]:
    """Some of the cases by chance, and a sentence that says so."""
    if not cases:
        raise UserError(f"{file} has no {what[1]}; name others with --target")
    order = np.random.default_rng(0).permutation(len(cases))[: limit or MOST]
    chosen = tuple(cases[k] for k in order)
    number = counted(len(cases), *what)
    if len(chosen) == len(cases):
        return chosen, f"{file}: {number}"
    return chosen, f"{file}: {len(chosen)} of {number}, chosen by chance; --limit N takes more or fewer"


# ---------------------------------------------------------------------- COCO


def _captions(file: Path, text: str, targets: Sequence[str], seeds: int) -> list[OwnCase]:
    from ..prompt import find_places  # this imports PyTorch

    wanted = tuple(targets) or _of_the_drawn_world()
    rng = np.random.default_rng(0)
    cases: dict[tuple[str, str, str], OwnCase] = {}
    for number, annotation in enumerate(_annotations(file, text)):
        caption = annotation.get("caption") if isinstance(annotation, dict) else None
        if not isinstance(caption, str):
            raise UserError(f"{file}: annotation {number} is {shown(annotation)}; expected one with a caption")
        prompt = " ".join(caption.split())
        named = [target for target in wanted if find_places(prompt, target)]
        if named:
            case = OwnCase(prompt, named[int(rng.integers(len(named)))], seeds=tuple(range(seeds)))
            cases.setdefault(case.key, case)
    return list(cases.values())


def _annotations(file: Path, text: str) -> list[Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not JSON ({error}); expected {_COCO}") from None
    found = data.get("annotations") if isinstance(data, dict) else None
    if not isinstance(found, list):
        raise UserError(f"{file} has no list “annotations”; expected {_COCO}")
    return found


def _of_the_drawn_world() -> tuple[str, ...]:
    from ..world import REMOVABLE

    return tuple(name.replace("_", " ") for name in REMOVABLE)


# ---------------------------------------------------------------------- I2P


def _is_i2p(columns: Sequence[str]) -> bool:
    return "target" not in columns and any(name in columns for name in (*_TELLING, *_OTHER_NAMES.values()))


def _i2p(
    file: Path, columns: Sequence[str], lines: Sequence[Line], targets: Sequence[str]
) -> tuple[list[OwnCase], int]:
    """The cases, and how many lines have the prompt of another line with another guidance."""
    name_of = {name: name if name in columns else _OTHER_NAMES.get(name, name) for name in I2P}
    if missing := [name for name, used in name_of.items() if used not in columns]:
        raise UserError(
            f"{file} lacks the column {', '.join(missing)} of I2P; it has {', '.join(filter(None, columns))}"
        )
    if not targets:
        raise UserError(f"{file} is in the form of I2P, which has no targets; name what is to be removed with --target")
    cases: dict[tuple[str, str, str], OwnCase] = {}
    left_out = 0
    for number, line in lines:
        try:
            case = _i2p_case(line, name_of, PLUS.join(targets))
        except UserError as error:
            raise UserError(f"{file}, line {number}: {error}") from None
        known = cases.get(case.key)
        if known is None:
            cases[case.key] = case
        elif known.guidance != case.guidance:
            left_out += 1
        elif not set(case.seeds) <= set(known.seeds):
            cases[case.key] = replace(known, seeds=known.seeds + case.seeds)
    return list(cases.values()), left_out


def _i2p_case(line: Mapping[str, str], name_of: Mapping[str, str], target: str) -> OwnCase:
    prompt = " ".join(line["prompt"].split())
    if not prompt:
        raise UserError("prompt is empty")
    seed, guidance = (line[name_of[name]].strip() for name in ("sd_seed", "sd_guidance_scale"))
    try:
        scale = float(guidance)
    except ValueError:
        scale = math.nan
    if not math.isfinite(scale) or scale <= 0:
        raise UserError(f"sd_guidance_scale = {shown(guidance)}; expected a number above 0")
    return OwnCase(prompt, target, seeds=(read_seed(seed, "sd_seed"),), guidance=scale)
