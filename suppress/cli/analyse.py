"""`suppress analyse PROMPT`: the figures and tables of the paper's analyses, for any prompt and checkpoint.

The parser needs no PyTorch: help comes at once.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minisd import UserError
from minisd.cli import options
from minisd.cli.answer import add_answer_options, wrote

from ..analysis.catalogue import ANALYSES

if TYPE_CHECKING:
    from minisd import StableDiffusion

    from ..analysis.findings import Findings
    from ..analysis.study import Study

PROGRAM = "suppress analyse"


def main(argv: Sequence[str] | None = None) -> int:
    return options.run(PROGRAM, _analyse, options.parse(_parser(), argv))


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, ANALYSES))
    names = "\n".join(f"  {name:<{width}}  {a.about} ({a.source})" for name, a in ANALYSES.items())
    p = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Look into a prompt: where the target hides, and how the picture changes when it is removed there."
        "\nWrites a CSV for each analysis into a folder, and a figure if matplotlib is installed.",
        epilog=f"analyses:\n{names}\n\nWithout --remove the target is what the prompt has in [brackets] or negates.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("prompt", metavar="PROMPT", help='e.g. "a man without glasses"')
    p.add_argument("--remove", metavar="WORD", action="append", help="a word or phrase of the prompt; may be repeated")
    p.add_argument("--only", metavar="NAME", nargs="+", action="extend", help="these analyses (default: all)")
    p.add_argument("--methods", metavar="NAME", nargs="+", action="extend", help="the methods that `moved` compares")
    options.add_seed_option(p, "one row of pictures per seed: 3, or several: 0 3 5, 0,3,5, 0-7 (default 0)", [0])
    options.add_sampling_options(p)
    options.add_model_options(p)
    group = p.add_argument_group("output")
    group.add_argument("--out", metavar="DIR", help="default: the next free name made of the prompt")
    group.add_argument("--overwrite", action="store_true", help="replace files of --out")
    add_answer_options(p)
    return p


def _analyse(args: argparse.Namespace) -> None:
    from ..analysis.figures import MISSING, can_draw
    from ..analysis.output import choose_folder
    from ..analysis.study import open_study
    from ..prompt import read_request, token_table

    names = _names(args.only)
    request = read_request(args.prompt, args.remove)
    folder = choose_folder(args.out, request.prompt, names, args.overwrite)
    sd = options.load_model(args)
    study = open_study(
        sd,
        request.prompt,
        request,
        args.seed,
        steps=args.steps,
        guidance=args.guidance,
        progress=options.progress_bar("drawing"),
        methods=args.methods or (),
    )
    s = study.settings
    print(f"target: {request.describe()}")
    print(token_table(sd, request.prompt, study.prompt.target))
    print(f"{sd.name}: γ = {s.gamma:g}, R = {s.start_step} of {s.steps} ({study.origin})")
    if not can_draw():
        print(f"no figures, tables alone: {MISSING}", flush=True)
    _run_all(args, names, study, folder, _parameters(sd, args, study))


def _names(only: Sequence[str] | None) -> list[str]:
    unknown = sorted(set(only or ()) - set(ANALYSES))
    if unknown:
        raise UserError(f"--only {' '.join(unknown)}: there is {', '.join(ANALYSES)}")
    return [name for name in ANALYSES if not only or name in only]


def _run_all(args: argparse.Namespace, names: Sequence[str], study: Study, folder: Path, parameters: str) -> None:
    """Each is written when it is done, so that what is done stays when a later one is stopped."""
    from ..metrics import Unavailable

    written: list[str] = []
    reasons: list[str] = []
    remarks: list[str] = []
    try:
        for name in names:
            start = time.perf_counter()
            try:
                findings = ANALYSES[name].run(study)
            except Unavailable as reason:
                reasons.append(f"{name}: {reason}")
                print(f"{name:<12}left out: {reason}", flush=True)
                continue
            wrote(args, *_write(name, findings, folder, study.prompt.text, parameters))
            written.append(name)
            print(f"{name:<12}{time.perf_counter() - start:6.1f} s  {ANALYSES[name].about}", flush=True)
            if told := ANALYSES[name].tell(findings):
                print(told, flush=True)
            for remark in findings.remarks:
                if remark not in remarks:
                    remarks.append(remark)
                    print(f"{'':<12}{remark}", flush=True)
    except KeyboardInterrupt:
        if not written:
            raise
        print(f"\n{PROGRAM}: interrupted; {folder} has {', '.join(written)}", file=sys.stderr)
        raise SystemExit(130) from None
    if not written:
        raise UserError(f"nothing to write: {'; '.join(reasons)}")
    print(folder)


def _write(name: str, findings: Findings, folder: Path, prompt: str, parameters: str) -> list[Path]:
    from minisd.base.picture_files import save_png

    from ..analysis.figures import can_draw, to_image
    from ..analysis.output import files, write_csv

    analysis = ANALYSES[name]
    folder.mkdir(exist_ok=True)
    figure, table = files(folder, name)
    written = [write_csv(table, findings.rows)]
    if can_draw():
        picture = to_image(analysis.draw(findings, f"{prompt!r}: {analysis.about} ({analysis.source})"))
        written.append(save_png(picture, figure, parameters))
    return written


def _parameters(sd: StableDiffusion, args: argparse.Namespace, study: Study) -> str:
    from minisd.cli import parameters

    s = study.settings
    fields = options.drawing_fields(sd, args, s.steps, s.guidance, study.seeds[0], (sd.side, sd.side)) | {
        "Suppress": ", ".join(study.prompt.request.named),
        "Suppress start": s.start_step,
    }
    return parameters.to_text(study.prompt.text, "", fields)


if __name__ == "__main__":
    raise SystemExit(main())
