"""`suppress batch FILE.csv`: a picture for each line of a file. The parser needs no PyTorch: help comes at once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from minisd import UserError
from minisd.base.counted import counted
from minisd.cli import options
from minisd.cli.answer import add_answer_options, wrote
from minisd.cli.completion import completing
from minisd.cli.model_choice import OPTIONS
from minisd.cli.prompts import add_weights_option
from minisd.cli.stopping import Stopping

from ..engine import ENGINES
from ..methods import DEFAULT, check_removes, parse_method
from ..methods.catalogue import METHODS

if TYPE_CHECKING:
    from minisd import StableDiffusion

    from ..batch.folder import Folder
    from ..batch.lines import Line
    from ..result import Result
    from ..task import Job

PROGRAM = "suppress batch"
AT_ONCE = 8  # pictures drawn at once


def main(argv: Sequence[str] | None = None) -> int:
    return options.run(PROGRAM, _batch, options.parse(_parser(), argv))


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Draw one picture for each line of a .csv file, without the line's target. Writes the pictures "
        "and their scores (scores.jsonl, scores.csv) into a folder. The same command goes on with a batch that was "
        "stopped.",
        epilog="columns: prompt; and if you like target (or remove; several with semicolons), seed, negative, steps, "
        "guidance, size, picture, mask. All lines are checked before the first one is drawn.",
    )
    p.add_argument("file", metavar="FILE.csv", help="the lines, in UTF-8, below a line with the names of the columns")
    about = f"of all lines, with settings as in suppress-eot:gamma=2 (default: {DEFAULT})"
    completing(p.add_argument("--method", metavar="NAME", help=about), METHODS)
    p.add_argument("--negative", metavar="PROMPT", default="", help="for lines without one of their own")
    add_weights_option(p, square=False)
    p.add_argument("--engine", choices=ENGINES, help="as for `suppress` (default: fast)")
    options.add_sampling_options(p)
    options.add_size_options(p)
    options.add_model_options(p)
    p.add_argument("--out", metavar="DIR", help="the folder (default: the file's name without .csv)")
    add_answer_options(p)
    p.set_defaults(strengthen=None)
    return p


def _batch(args: argparse.Namespace) -> None:
    from ..batch.folder import open_folder
    from ..batch.lines import check_lines, read_lines
    from ..evaluation.lock import owned

    file = Path(args.file)
    method = args.method or DEFAULT
    parse_method(method)  # a UserError now, not after the model is loaded
    check_removes(method, "--method", "a batch removes the targets of its lines")
    lines = read_lines(file, _usual(args), bool(args.weights))
    sd = options.load_model(args)
    check_lines(sd, lines, method)
    folder = open_folder(args.out or file.stem, _run(sd, args, method))
    with owned(folder.jsonl):
        todo = [line for line in lines if not folder.has(line)]
        print(f"{counted(len(lines), 'line')}, {len(todo)} to draw, into {folder.path}", flush=True)
        drawing = _Drawing(sd, args, method, folder, lines)
        for pictures in (False, True):  # a method may have other settings for pictures
            drawing.draw([line for line in todo if bool(line.values["picture"]) is pictures])
        wrote(args, *folder.write(lines))
    args.answer["scores"] = [folder.done[line.key] for line in lines]
    print(folder.path)


def _usual(args: argparse.Namespace) -> dict[str, str]:
    """The values of lines that leave them empty, from the options."""
    if (args.width is None) != (args.height is None):
        raise UserError("--width or --height alone; a batch takes both, or --size WxH")
    size = "" if args.width is None else f"{args.width}x{args.height}"
    given = {"steps": args.steps, "guidance": args.guidance}
    return {"negative": args.negative, "size": size} | {k: str(v) for k, v in given.items() if v is not None}


def _run(sd: StableDiffusion, args: argparse.Namespace, method: str) -> dict[str, Any]:
    """What all pictures of the folder have in common, because no line names it."""
    run = {"model": sd.name, "method": method, "precision": args.dtype or "fp32", "engine": args.engine or "fast"}
    return run | {name: value for name in (*OPTIONS, "weights") if (value := getattr(args, name))}


class _Drawing:
    """Draws lines, some at once, and keeps each at once."""

    def __init__(
        self, sd: StableDiffusion, args: argparse.Namespace, method: str, folder: Folder, lines: Sequence[Line]
    ):
        from ..engine import find_engine
        from ..metrics import Judge

        self.sd, self.args, self.method, self.folder, self.lines = sd, args, method, folder, lines
        self.engine, self.judge = find_engine(sd, args.engine), Judge(sd)

    def draw(self, todo: Sequence[Line]) -> None:
        """A KeyboardInterrupt says how many lines are drawn."""
        try:
            for k in range(0, len(todo), AT_ONCE):
                some = todo[k : k + AT_ONCE]
                first, last = some[0].number, some[-1].number
                self._draw_some(some, f"line {first}" if first == last else f"lines {first} to {last}")
        except KeyboardInterrupt:
            done = sum(self.folder.has(line) for line in self.lines)
            told = (
                f"drawn: {done} of {counted(len(self.lines), 'line')}, in {self.folder.path}; the same command goes on"
            )
            raise KeyboardInterrupt(told) from None

    def _draw_some(self, some: Sequence[Line], label: str) -> None:
        from ..batch.lines import about
        from ..job import run_batch

        jobs = [line.make() for line in some]
        with Stopping() as stopping:
            results = run_batch(
                self.sd,
                jobs,
                self.method,
                engine=self.engine,
                batch_size=AT_ONCE,
                progress=options.progress_bar(label),
                callback=stopping,
            )
        for result in results:
            if result.stopped_at is not None:
                continue  # the next run draws it
            line, job = some[result.job], jobs[result.job]
            scores = result.scores(self.judge)
            path = self.folder.keep(line, about(line, job), result, scores, self._parameters(line, job, result))
            wrote(self.args, path)
            print(path, flush=True)
            self.folder.write(self.lines)
        if stopping.pressed:
            raise KeyboardInterrupt

    def _parameters(self, line: Line, job: Job, result: Result) -> str:
        """The parameters that repeat the picture with `suppress --params-from`."""
        from minisd.cli import parameters
        from minisd.cli.repeat import image_fields

        from ..prompt import Request
        from ..start.catalogue import DEFAULT as INVERSION
        from .repeat import suppress_fields

        assert isinstance(result.image, Image.Image) and isinstance(job.remove, Request)
        s, name = result.settings, self.method.partition(":")[0]
        fields = options.drawing_fields(self.sd, self.args, s.steps, s.guidance, job.seed, result.image.size)
        fields |= suppress_fields(self.args, job.remove, [(name, s)], [job.seed])
        if isinstance(job.image, Image.Image):
            fields |= {"Seed": None, "Inversion": INVERSION} | image_fields(line.values["picture"], job.image)
        if job.mask is not None:
            mask = image_fields(line.values["mask"], job.mask)
            fields |= {f"Mask{key[5:]}": value for key, value in mask.items()}
        return parameters.to_text(job.prompt, job.negative_prompt, fields)
