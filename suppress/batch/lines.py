"""The lines of a batch. Each is one picture:

    prompt,target,seed,negative,steps,guidance,size,picture,mask
    a man with glasses and a hat,glasses,0,,,,,,
    a man with glasses and a hat,glasses; hat,1,blurry,30,,192x128,,
    a woman with a red scarf,red scarf,,,,,,photos/woman.png,photos/scarf.png

Only the column `prompt` is needed. `target` (or `remove`) may have several phrases, with semicolons; if it is empty,
the target is what the prompt has in brackets or negates. A line without a seed has seed 0. A line with a picture edits
it. Names of files are relative to the folder of the .csv file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from minisd import StableDiffusion, UserError
from minisd.base.arguments import shown
from minisd.base.outputs import slug
from minisd.base.picture_files import open_picture
from minisd.cli.options import picture_size
from minisd.emphasis import markup

from ..evaluation.csv_text import check_count, csv_lines
from ..evaluation.own_prompts import checksum, read_seed
from ..prompt import find_rows, read_request, read_text
from ..task import Job, check_jobs

TARGETS = ("target", "remove")  # two names of one column
COLUMNS = (*TARGETS, "seed", "negative", "steps", "guidance", "size", "picture", "mask")
LISTED = 20  # faults in one error
T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """A line of the file, as text: what `make` makes a job of."""

    number: int
    values: Mapping[str, str]  # by column; empty: not given
    folder: Path  # of the file
    weights: bool = False  # whether (word:1.3) is a weight

    @cached_property  # because it reads the files
    def key(self) -> str:
        """16 hexadecimal digits that tell whether a line asks for the same picture as one that was drawn."""
        files = checksum(self.folder, self.values["picture"], self.values["mask"])
        return hashlib.sha256(json.dumps([sorted(self.values.items()), files]).encode()).hexdigest()[:16]

    @property
    def stem(self) -> str:
        """What its picture's file is called, without ending."""
        seed = "" if self.values["picture"] else f"-s{self.values['seed'] or 0}"
        return f"{self.number:04}-{slug(self.values['prompt'])}{seed}"

    def make(self) -> Job:
        """The job, with the picture read. UserError for a value that cannot be used, and for a file that is missing."""
        v = self.values
        remove = [phrase.strip() for phrase in v["target"].split(";") if phrase.strip()] or None
        width, height = _read("size", v["size"], picture_size, "width × height, such as 192x128") or (None, None)
        picture, mask = (open_picture(self.folder / v[name]) if v[name] else None for name in ("picture", "mask"))
        if mask is not None and picture is None:
            raise UserError("a mask belongs to a picture, and there is none")
        if picture is not None and v["seed"]:
            raise UserError(f"seed = {shown(v['seed'])} with a picture, which is edited without noise; leave it empty")
        prompt, negative = (read_text(v[name], self.weights) for name in ("prompt", "negative"))
        request = read_request(prompt, remove)
        return Job(
            request.prompt,
            request,
            read_seed(v["seed"]) if v["seed"] else 0,
            height,
            width,
            image=picture,
            mask=mask,
            negative_prompt=negative,
            steps=_read("steps", v["steps"], int, "a whole number"),
            guidance=_read("guidance", v["guidance"], float, "a number"),
        )


def read_lines(file: Path, usual: Mapping[str, str], weights: bool = False) -> list[Line]:
    """The lines of the file. usual: values for columns that are empty. UserError for the file's columns.

    What is wrong with a line is told by `check_lines`, for all lines at once.
    """
    lines = []
    for number, given in csv_lines(file, ("prompt",), COLUMNS):
        if all(name in given for name in TARGETS):
            raise UserError(f"{file} has the columns target and remove, which mean the same; leave one of them out")
        values = {name: (given.get(name) or "").strip() for name in ("prompt", *COLUMNS)}
        values["target"] = values["target"] or values.pop("remove", "")
        values = {name: value or usual.get(name, "") for name, value in values.items() if name != "remove"}
        lines.append(Line(number, values | ({"": "more"} if "" in given else {}), file.parent, weights))
    if not lines:
        raise UserError(f"{file} has no line after the names of its columns")
    return lines


def check_lines(sd: StableDiffusion, lines: list[Line], method: str | None) -> None:
    """One UserError names every line that cannot be drawn, and why. No picture stays in memory."""
    faults = []
    for line in lines:
        try:
            _check(sd, line, method)
        except UserError as error:
            faults.append(f"line {line.number}: {str(error).splitlines()[0]}")
    if faults:
        more = [f"and {len(faults) - LISTED} more"] if len(faults) > LISTED else []
        raise UserError("nothing was drawn:\n" + "\n".join(f"  {fault}" for fault in [*faults[:LISTED], *more]))


def _check(sd: StableDiffusion, line: Line, method: str | None) -> None:
    check_count(line.values)
    if not line.values["prompt"]:
        raise UserError("prompt is empty")
    job = line.make()
    [task] = check_jobs(sd, [job], method, None)
    if task.settings.needs_words:
        find_rows(sd, job.prompt, job.remove)


def _read(name: str, text: str, kind: Callable[[str], T], expected: str) -> T | None:
    """The value, or None if there is no text."""
    try:
        return kind(text) if text else None
    except (ValueError, argparse.ArgumentTypeError):
        raise UserError(f"{name} = {shown(text)}; expected {expected}") from None


def about(line: Line, job: Job) -> dict[str, Any]:
    """What the lists say about a line, beside its scores."""
    assert not isinstance(job.remove, str) and job.remove is not None
    values = {name: line.values[name] for name in ("seed", "negative", "steps", "guidance", "size", "picture", "mask")}
    return {"line": line.number, "prompt": markup(job.prompt), "target": line.values["target"], **values}
