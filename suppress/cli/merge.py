"""`suppress eval merge A.jsonl B.jsonl --out C.jsonl`: joins the files of several processes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minisd import UserError
from minisd.base.counted import counted
from minisd.base.outputs import check_file, write_output
from minisd.cli import options
from minisd.cli.answer import add_answer_options, wrote

if TYPE_CHECKING:
    from ..evaluation.merge import Merged


def main(argv: Sequence[str] | None = None) -> int:
    return options.run("suppress eval merge", _merge, options.parse(_parser(), argv))


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="suppress eval merge",
        description="Join the files of cells that several processes have measured, such as those of --shard. The same "
        "`suppress eval` without --shard makes the table of the joined file: give its name as --out.",
    )
    p.add_argument("files", metavar="FILE.jsonl", nargs="+", help="files of one run")
    p.add_argument("--out", metavar="FILE.jsonl", required=True, help="the joined file")
    p.add_argument("--overwrite", action="store_true", help="replace an existing --out")
    add_answer_options(p)
    return p


def _merge(args: argparse.Namespace) -> None:
    from ..evaluation.lock import owned
    from ..evaluation.merge import merge

    out = check_file(args.out, args.overwrite, ".jsonl")
    files = [Path(name) for name in args.files]
    for file in files:
        if not file.is_file():
            raise UserError(f"there is no file {file}")
    with owned(out):
        merged = merge(files)
        path = _write(merged, out, args.overwrite)
    wrote(args, path)
    args.answer |= {"cells": len(merged.cells), "twice": merged.twice, "replaced": merged.replaced}
    print(f"{path}: {counted(len(merged.cells), 'cell')} of {counted(len(files), 'file')}")
    if merged.twice:
        print(f"{counted(merged.twice, 'cell')} found in several files with the same scores, and taken once")
    if merged.replaced:
        print(f"{counted(merged.replaced, 'line')} left out: the file has a later line of the same row and case")


def _write(merged: Merged, out: Path, overwrite: bool) -> Path:
    lines = b"".join(json.dumps(each.cell, ensure_ascii=False).encode() + b"\n" for each in merged.cells.values())
    return write_output({".jsonl": lambda file: file.write(lines)}, out, out.stem, overwrite)
