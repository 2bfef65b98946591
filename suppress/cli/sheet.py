"""`suppress sheet`: one sheet of all methods on six prompts. The parser needs no PyTorch: help comes at once."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from minisd import UserError
from minisd.base.arguments import check_negative, check_seed
from minisd.base.counted import counted
from minisd.base.outputs import check_out
from minisd.base.unfinished import Output
from minisd.cli import options
from minisd.cli.answer import add_answer_options, wrote

from ..evaluation.all_methods import OURS, OURS_SPEC, removing
from ..methods import METHODS, check_removes, parse_method

if TYPE_CHECKING:
    from minisd import StableDiffusion

    from ..engine import Fast
    from ..metrics import Judge
    from ..report.methods_sheet import SheetRow

PROGRAM = "suppress sheet"
STEPS = 25
# target -> the prompt of its column. None of them is a prompt of `suppress eval`
PROMPTS = {
    "glasses": "a man with a beard wearing glasses and a hat",
    "beard": "a man with a beard and headphones in a green shirt",
    "hat": "a girl with a hat and earrings in a living room",
    "rain": "a boy with a red scarf in the rain next to a car",
    "van gogh": "a van gogh painting of a dog with glasses",
    "crown": "a woman with a crown and earrings in the forest",
}


def main(argv: Sequence[str] | None = None) -> int:
    return options.run(PROGRAM, _sheet, options.parse(_parser(), argv))


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Draw what all methods do on one sheet: one row per method, one column per prompt, the originals "
        "on top. Under each picture stands the DetScore of its target, if the model has a detector.",
        epilog="columns: "
        + "; ".join(f"{target}, of “{prompt}”" for target, prompt in PROMPTS.items())
        + ". (The embedded model's detector has no class for crowns: it scores a crown as a hat.)",
    )
    rows = "these methods, with settings as --method takes them (default: the default method with keep=1, and every "
    rows += "method that removes something from words alone)"
    p.add_argument("--methods", metavar="NAME", nargs="+", help=rows)
    p.add_argument("--targets", nargs="+", choices=PROMPTS, default=list(PROMPTS), help="only these columns")
    p.add_argument("--seed", type=int, default=0, help="of all pictures (default 0)")
    p.add_argument("--negative", metavar="PROMPT", default="", help="what guidance leads away from in all pictures")
    p.add_argument("--steps", type=int, default=STEPS, help=f"DDIM steps (default {STEPS})")
    p.add_argument("--start", type=float, help="R of all methods (default: each has its own)")
    options.add_model_options(p)
    options.add_output_options(p)
    add_answer_options(p)
    return p


def _sheet(args: argparse.Namespace) -> None:
    specs = {spec: spec for spec in args.methods} if args.methods else {OURS: OURS_SPEC, **removing()}
    for spec in specs.values():
        parse_method(spec)  # a UserError now, not after minutes
        check_removes(spec, "--methods", "the sheet shows how methods remove a target")
    check_seed(args.seed)
    check_negative(args.negative)
    out = check_out(args.out, args.overwrite)
    sd = options.load_model(args)
    from ..engine import Fast
    from ..metrics import Judge

    sheet = _Sheet(sd, args, Fast(sd), Judge(sd), Output(out, "methods-sheet", args.overwrite))
    begin = time.perf_counter()
    try:
        _add_all(sheet, specs)
    except KeyboardInterrupt:
        if sheet.rows:
            told = f"drawn: {len(sheet.rows)} of {counted(len(specs), 'method')}, in {sheet.output.path}"
            raise KeyboardInterrupt(told) from None
        raise
    if not sheet.rows:
        raise UserError("none of the methods could draw these prompts")
    sheet.write()
    print(f"{counted(len(sheet.rows), 'method')} in {time.perf_counter() - begin:.0f} s: {sheet.output.path}")


def _add_all(sheet: _Sheet, specs: Mapping[str, str]) -> None:
    """Draws all rows, and says after the first one about how long the others take."""
    for n, (name, spec) in enumerate(specs.items()):
        seconds = sheet.add(name, spec)
        if n == 0 and seconds and len(specs) > 1:
            each = seconds / (METHODS[spec.partition(":")[0]].passes or 200)
            rest = sum(METHODS[other.partition(":")[0]].passes or 200 for other in list(specs.values())[1:])
            print(f"{len(specs)} rows; the others take about {each * rest / 60:.1f} minutes", flush=True)


class _Sheet:
    """The rows so far. The file is written after each row, so nothing is lost if the command is stopped."""

    def __init__(self, sd: StableDiffusion, args: argparse.Namespace, engine: Fast, judge: Judge, output: Output):
        self.sd, self.args, self.engine, self.judge, self.output = sd, args, engine, judge, output
        self.originals: SheetRow | None = None
        self.rows: list[SheetRow] = []

    def add(self, name: str, spec: str) -> float:
        """Draws a method, says how long it took, and writes the sheet. Returns the seconds; 0 if it cannot draw."""
        from ..defaults import default_settings
        from ..job import Job, run_batch
        from ..report.methods_sheet import SheetRow

        args = self.args
        jobs = [Job(PROMPTS[word], word, args.seed, negative_prompt=args.negative) for word in args.targets]
        given = {"steps": args.steps} | ({} if args.start is None else {"start": args.start})
        begin = time.perf_counter()
        try:
            settings, _ = default_settings(self.sd, spec, **given)
            results = run_batch(self.sd, jobs, settings=settings, engine=self.engine)
        except UserError as error:
            print(f"{name}: left out, because {' '.join(str(error).split())}", flush=True)
            return 0.0
        seconds = time.perf_counter() - begin
        print(f"{name}: {seconds:.1f} s", flush=True)
        if self.originals is None:
            self.originals = SheetRow("original", *self._scored([r.original for r in results]))
        args.answer.setdefault("seconds", {})[name] = seconds
        self.rows.append(SheetRow(name, *self._scored([r.image for r in results]), f"{seconds:.1f} s"))
        self.write(finished=False)
        return seconds

    def _scored(self, pictures: list) -> tuple[list, list[str]]:
        """The pictures, and the DetScore of each one's target; no scores if the model has no detector for them."""
        from ..metrics.unavailable import Unavailable
        from ..report.methods_sheet import det_scores

        try:
            names = [match.name for match in self.judge.match(self.args.targets)]
            return pictures, det_scores({k: v.tolist() for k, v in self.judge.detector.scores(pictures).items()}, names)
        except Unavailable:
            return pictures, [""] * len(pictures)

    def write(self, finished: bool = True) -> None:
        from minisd.base.picture_files import png_writer

        from ..report.methods_sheet import draw_sheet

        assert self.originals is not None
        args = self.args
        about = {"Seed": args.seed, "Steps": args.steps, "Negative prompt": args.negative or None}
        fields = (about | options.model_fields(self.sd, args)).items()
        text = "suppress sheet, " + ", ".join(f"{name}: {value}" for name, value in fields if value is not None)
        files = {".png": png_writer(draw_sheet(self.args.targets, self.originals, self.rows), text)}
        before = self.output.files
        wrote(args, self.output.write(files, finished), instead_of=before)
