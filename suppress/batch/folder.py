"""The folder of a batch: a picture for each line, and their scores as scores.jsonl and scores.csv.

Both lists are written anew after each picture, in the order of the lines. A batch that was stopped goes on: lines whose
picture is there, and that ask for the same as before, are not drawn again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minisd import UserError
from minisd.base.outputs import check_folder, write_output, write_text
from minisd.base.picture_files import png_writer

from ..evaluation.spreadsheet import write_sheet
from ..metrics.judge import SUPPRESSED, Scores
from ..result import Result
from .lines import Line

JSONL, CSV = "scores.jsonl", "scores.csv"
SCORES = ("detscore_before", "detscore_after", "clip_before", "clip_after")
COLUMNS = (
    *("line", "prompt", "target", "seed", "negative", "steps", "guidance", "size", "picture", "mask"),
    *("file", *SCORES, "reason"),
)


class Folder:
    """What is drawn of a batch. run: the model and the method; a folder with those of another run is refused."""

    def __init__(self, path: Path, run: Mapping[str, Any]):
        self.path, self.run = path, dict(run)
        self.done: dict[str, dict[str, Any]] = {}  # by the lines' keys
        if self.jsonl.exists():
            self._read()

    @property
    def jsonl(self) -> Path:
        return self.path / JSONL

    def has(self, line: Line) -> bool:
        """Whether the line's picture is drawn and there."""
        known = self.done.get(line.key)
        return known is not None and (self.path / known["file"]).is_file()

    def keep(self, line: Line, about: Mapping[str, Any], result: Result, scores: Scores, parameters: str) -> Path:
        """Writes the picture of a line, and the lists with it. Returns the picture's path."""
        assert not isinstance(result.image, list)
        files = {".png": png_writer(result.image, parameters)}
        path = write_output(files, None, line.stem, folder=self.path)
        self.done[line.key] = {**about, "file": path.name, "scores": scores, "key": line.key, "run": self.run}
        return path

    def write(self, order: Sequence[Line]) -> list[Path]:
        """Writes both lists, in the order of the lines; pictures of lines that are no longer asked for stay in them."""
        keys = [line.key for line in order if line.key in self.done]
        entries = [self.done[key] for key in dict.fromkeys([*keys, *self.done])]
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        lines = [{name: entry.get(name, "") for name in COLUMNS} | figures(entry["scores"]) for entry in entries]
        return [write_text(self.jsonl, text), write_sheet(self.path / CSV, COLUMNS, lines)]

    def _read(self) -> None:
        # lines of bytes: a text's splitlines() also splits at U+2028, which a prompt may have
        for n, text in enumerate(self.jsonl.read_bytes().splitlines(), 1):
            try:
                entry = json.loads(text)
                key, run = entry["key"], entry["run"]
                entry["file"], entry["scores"]
            except (ValueError, TypeError, KeyError):
                raise UserError(f"{self.jsonl}, line {n}: no line of this command; name another --out") from None
            if run != self.run:
                raise UserError(f"{self.path} is a batch of {told(run)}, not of {told(self.run)}; name another --out")
            self.done[key] = entry


def told(run: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in run.items())


def figures(scores: Scores) -> dict[str, Any]:
    """The columns of scores.csv. Of several targets the one that is seen best counts, as in `Judge.det_scores`."""
    row: dict[str, Any] = {}
    for column, name in (("detscore", "DetScore "), ("clip", "CLIP score ")):
        found = [values for key, values in scores.items() if key.startswith(name)]
        for when, branch in (("before", "original"), ("after", SUPPRESSED)):
            known = [values[branch][0] for values in found if isinstance(values.get(branch), list)]
            row[f"{column}_{when}"] = max(known) if known and len(known) == len(found) else ""
    reasons = dict.fromkeys(str(values["reason"]) for values in scores.values() if "reason" in values)
    return row | {"reason": "; ".join(reasons)}


def open_folder(name: str, run: Mapping[str, Any]) -> Folder:
    """The folder, which is made if it does not exist. UserError for one that holds other files than a batch's."""
    path = check_folder(name)
    if path.is_dir() and not (path / JSONL).exists() and any(path.iterdir()):
        raise UserError(f"--out {path} holds other files; give the name of a new folder")
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {path} cannot be made: {error.strerror}; give another folder") from None
    return Folder(path, run)
