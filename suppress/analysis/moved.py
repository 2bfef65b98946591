"""How far each method moves each token: the rows of the context that the edited branch reads, against the prompt's.

    moved_j = mean over cross layers of |c'_j - c_j| / |c_j|          c': the context of the keys, or of the values

This is not in the papers. It shows what a method takes for the carriers of the target, and what else it changes: a word
far from the target that moves is collateral damage. c' is what the method gives the UNet at its first step R, as its
second context, or as a context for keys or values by a tap (suppress/edits/taps.py). A method that acts in another way
(on maps, on the output, on the noise, by other weights) moves nothing here, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minisd import Part, Tap
from minisd.taps.compose import Composed

from ..defaults import default_settings
from ..edits.taps import KContext, VContext, cross_layers
from ..loop import Run
from ..protocol import Inputs, Method
from ..start.noise import from_noise
from .embeddings import token_names
from .findings import Findings
from .leak import part_of
from .study import Study

METHODS = ("suppress-eot", "unread", "safree", "safree-word", "uce", "uce-word", "adavd", "adavd-word")
STILL = 1e-6  # a method that moves no row farther than this moves nothing; rounding moves it by less


class Moves(NamedTuple):
    """How far the rows moved, (77,) each."""

    keys: Tensor
    values: Tensor


def moved(study: Study) -> Findings:
    """One line for each method and each of the 77 rows. The methods are `study.methods`, or those above."""
    names, notes, rows = token_names(study), [], []
    for spec in study.methods or METHODS:
        settings, _ = default_settings(study.sd, spec, steps=study.settings.steps)
        moves = measure(study, settings)
        rows += [
            {"method": spec, "position": j, "token": token, "part": part_of(study, j)}
            | {"keys": float(moves.keys[j]), "values": float(moves.values[j])}
            for j, token in enumerate(names)
        ]
        if max(moves.keys.max(), moves.values.max()) < STILL:
            notes.append(f"{spec} moves no token of this prompt; it acts in another way, or not at all")
    return Findings(rows, notes=notes)


@torch.no_grad()
def measure(study: Study, settings: Method) -> Moves:
    """What the method's edit shows the UNet at step R, against the prompt."""
    sd, prompts = study.sd, [study.prompt]
    run = Run(sd, prompts, from_noise(prompts, sd.noise(study.seeds[:1], sd.side, sd.side)), settings)
    i, edit = min(settings.start_step, settings.steps - 1), settings.edit(run)
    original = run.original(i, run.start.z)
    maps = run.read_maps(i, original.z, run.ctx, edit.maps) if edit.maps and edit.reads_maps(i) else None
    return compare(study, edit.inputs(i, original, original, maps))


def compare(study: Study, inputs: Inputs) -> Moves:
    c = study.prompt.ctx[0].float()
    keys: list[Tensor] = []
    values: list[Tensor] = []
    for attn in cross_layers(study.sd.unet):
        k = v = inputs.contexts[1]
        for tap in _taps(inputs.tap):
            if isinstance(tap, KContext | VContext) and tap.wants(attn.site):
                k, v = (tap.ctx, v) if isinstance(tap, KContext) else (k, tap.at(attn.site))
        for found, ctx in ((keys, k), (values, v)):
            found.append((ctx[0].float() - c).norm(dim=-1) / c.norm(dim=-1))
    return Moves(*(torch.stack(found).mean(dim=0).cpu() for found in (keys, values)))


def _taps(tap: Tap | None) -> Iterator[Tap]:
    """The taps inside a composition, in order. (There is one sample, and each of them sees it.)"""
    if isinstance(tap, Part):
        yield from _taps(tap.tap)
    elif isinstance(tap, Composed):
        for one in tap.taps:
            yield from _taps(one)
    elif tap is not None:
        yield tap


# ---------------------------------------------------------------------- as text


class Column(NamedTuple):
    """A column of the table: a method, or its keys or values if they move differently."""

    name: str
    cells: dict[str, float]  # position -> how far; [EOT] is one cell, the mean over its rows


def columns(findings: Findings) -> list[Column]:
    found = []
    for method, group in groupby(findings.rows, key=lambda row: row["method"]):
        rows = list(group)
        same = all(abs(row["keys"] - row["values"]) < STILL for row in rows)
        for of in ("values",) if same else ("keys", "values"):
            cells = _cells(rows, of)
            if same or max(cells.values()) >= STILL:
                found.append(Column(method if same else f"{method}, {of}", cells))
    return found


def labels(findings: Findings) -> dict[str, tuple[str, bool]]:
    """position -> (token, whether it is the target's); [EOT] is one line, "5-76"."""
    first = next(group for _, group in groupby(findings.rows, key=lambda row: row["method"]))
    return {position: (row["token"], row["part"] == "target") for position, row in _positions(list(first))}


def table(findings: Findings) -> str:
    """For the terminal: one line per token, one column per method."""
    shown = columns(findings)
    lines = [f"{'':>6}  {'moved by':<22}" + "".join(f"  {column.name:>8}" for column in shown)]
    for position, (token, is_target) in labels(findings).items():
        cells = "".join(f"  {column.cells[position]:>{max(len(column.name), 8)}.0%}" for column in shown)
        lines.append(f"{position:>6}  {token + ('   <- target' if is_target else ''):<22}{cells}")
    return "\n".join([*lines, *findings.notes])


def _positions(rows: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    words = [row for row in rows if row["part"] != "eot"]
    eot = rows[len(words)]
    span = f"{eot['position']}-{rows[-1]['position']}"
    return [*((str(row["position"]), row) for row in words), (span, eot | {"token": "[EOT]"})]


def _cells(rows: list[dict[str, Any]], of: str) -> dict[str, float]:
    eot = [row[of] for row in rows if row["part"] == "eot"]
    named = {position: row[of] for position, row in _positions(rows)}
    return named | {list(named)[-1]: sum(eot) / len(eot)}
