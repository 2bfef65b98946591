"""`suppress eval --prompts FILE.csv`: the prompts of a user, for drawings or for pictures of their own.

    prompt,target,seed,deleted,picture,mask
    a man with glasses and a hat,glasses,0,a man with a hat,,
    a man with glasses and a hat,glasses,1,a man with a hat,,
    a woman with a red scarf,red scarf,,,photos/woman.png,photos/scarf.png

A line is one picture. Lines that differ only in the seed are one case. `deleted` is the control, the prompt after the
target was deleted by hand. A line with a picture edits it, has no seed, and may have a mask, as `suppress` takes it.
Names of files are relative to the folder of the .csv file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from minisd import UserError
from minisd.base.arguments import check_seed, shown

from .csv_text import Table, check_count, csv_lines

KIND = "own"
NEEDED, OPTIONAL = ("prompt", "target", "seed"), ("deleted", "picture", "mask")


@dataclass(frozen=True)
class OwnCase:
    prompt: str
    target: str  # several are written "glasses + hat"
    deleted: str = ""  # empty: there is no control
    picture: str = ""  # its file as the user names it; empty: the prompt is drawn
    mask: str = ""
    files: str = ""  # a checksum of picture and mask, so that a changed picture is another case
    seeds: tuple[int, ...] = ()  # none for a picture
    kind: str = KIND
    guidance: float = 0.0  # of its pictures; 0: the method's own

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the other cases."""
        return self.prompt, self.target, self.picture


def read_prompts(file: Path, table: Table | None = None) -> tuple[OwnCase, ...]:
    """The cases of a .csv file, in its order. UserError, with the line, if one of them cannot be measured.

    table: the file's, if it was read already.
    """
    cases: dict[tuple[str, str, str], OwnCase] = {}
    for number, line in csv_lines(file, NEEDED, OPTIONAL, table):
        try:
            case = _case(line, file.parent)
            known = cases.get(case.key)
            cases[case.key] = case if known is None else _joined(known, case)
        except UserError as error:
            raise UserError(f"{file}, line {number}: {error}") from None
    if not cases:
        raise UserError(f"{file} has no line after the names of its columns")
    return tuple(cases.values())


def _case(line: Mapping[str, str], folder: Path) -> OwnCase:
    check_count(line)
    values = {name: (line.get(name) or "").strip() for name in NEEDED + OPTIONAL}
    for name in ("prompt", "target"):
        if not values[name]:
            raise UserError(f"{name} is empty")
    seed = values.pop("seed")
    case = OwnCase(values["prompt"], values["target"], values["deleted"], values["picture"], values["mask"])
    if case.mask and not case.picture:
        raise UserError("a mask belongs to a picture, and there is none")
    if case.picture:
        if seed:
            raise UserError(f"seed = {shown(seed)} with a picture, which is edited without noise; leave it empty")
        return replace(case, files=checksum(folder, case.picture, case.mask))
    return replace(case, seeds=(read_seed(seed),))


def read_seed(text: str, column: str = "seed") -> int:
    """The seed that a value of a .csv file names; UserError if it names none."""
    if not (text.isascii() and text.isdecimal()):
        raise UserError(f"{column} = {shown(text)}; expected a whole number, 0 or more")
    return check_seed(int(text[:30]))


def _joined(known: OwnCase, case: OwnCase) -> OwnCase:
    """One case with the seeds of both."""
    if known.deleted != case.deleted:
        raise UserError(f"deleted is {shown(case.deleted)} here and {shown(known.deleted)} in a line before")
    if set(case.seeds) <= set(known.seeds):
        raise UserError("a line before has the same prompt, target and seed or picture")
    return replace(known, seeds=known.seeds + case.seeds)


def checksum(folder: Path, *names: str) -> str:
    """16 hexadecimal digits for the contents of these files. UserError if one cannot be read."""
    digest = hashlib.sha256()
    for name in filter(None, names):
        path = folder / name
        if not path.is_file():  # reading from a pipe would never end
            raise UserError(f"there is no file {path}")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
