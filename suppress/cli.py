"""`suppress PROMPT --remove WORD`: a prompt with its target and without, and the scores.

`suppress methods | analyse | eval` are commands of their own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from minisd import StableDiffusion, UserError, options

from .engine import ENGINES, find_engine

if TYPE_CHECKING:
    from .methods import Method


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    command = argv[0] if argv else None
    if command == "methods":
        listing = argparse.ArgumentParser(prog="suppress methods", description="List the methods and what they do.")
        return options.run("suppress methods", _methods, options.parse(listing, argv[1:]))
    if command == "analyse":
        from .analysis.cli import main as analyse

        return analyse(argv[1:])
    if command == "eval":
        from .evaluation.cli import main as evaluate

        return evaluate(argv[1:])
    return options.run("suppress", _suppress, options.parse(_parser(), argv))


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="suppress",
        description="Draw a prompt without something it names. Writes one picture: left the original, right the "
        "suppressed, under each where the model looked for the target; and a JSON file with settings and scores.",
        epilog="Without --remove the target is what the prompt has in [brackets] or negates (without, no, not). "
        "`suppress methods` lists the methods, `suppress analyse PROMPT` looks into a prompt, `suppress eval` "
        "compares methods on the drawn world.",
    )
    p.add_argument("prompt", metavar="PROMPT", help='what to draw, e.g. "a man without glasses"')
    target = p.add_mutually_exclusive_group()
    target.add_argument(
        "--remove", metavar="WORD", action="append", help='a word or phrase of the prompt ("van gogh"); may be repeated'
    )
    target.add_argument(
        "--strengthen", metavar="WORD", action="append", help="the opposite: draw more of it (the paper's appendix F)"
    )
    options.add_seed_option(p, "one row of pictures a seed: 3, or several: 0 3 5, 0,3,5, 0-7 (default 0)", [0])
    method = p.add_argument_group("method")
    method.add_argument(
        "--method", metavar="NAME", help="see `suppress methods`; with settings: suppress-eot:lambda_nl=0.3,heads=4"
    )
    method.add_argument(
        "--preset", choices=("official", "paper"), help="suppress-eot as its authors' code or its text has it"
    )
    method.add_argument(
        "--start",
        metavar="R",
        type=_number,
        help="first step with the edited prompt: a step number, or below 1 a share of the steps. Early removes more, "
        "late keeps more of the layout (default: the published .2; the embedded model has its own, measured: "
        "weights/tiny/defaults.json)",
    )
    method.add_argument(
        "--engine",
        choices=ENGINES,
        help="how, not what, is computed: fast (default), the loop as the paper has it, or fast by torch.compile, "
        "which takes a minute or more first",
    )
    method.add_argument("--gamma", type=float, help="SWR's strength γ: σ̂ = σ e^(-γσ), 0 does nothing (default 1)")
    method.add_argument("--iterations", type=int, help="gradient steps of ITO at each step (default 0, paper 10)")
    method.add_argument("--stop", metavar="STEP", type=_number, help="the end of ITO: a step or a share (default .4)")
    method.add_argument(
        "--sheet",
        metavar="NAME",
        nargs="*",
        help="compare: one row a method, one column a seed, the original first (default: "
        "zero, suppress-eot, official, paper, unread)",
    )
    options.add_sampling_options(p)
    options.add_model_options(p)
    options.add_output_options(p)
    return p


def _number(text: str) -> int | float:
    """ "5" is a step, "0.1" and ".0" are shares."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number; expected a step such as 5, or a share such as .1"
        ) from None


def _methods(_args: argparse.Namespace) -> None:
    from .methods import describe_methods

    print("\n".join(describe_methods()))


def _suppress(args: argparse.Namespace) -> None:
    from minisd.outputs import check_out

    from .job import run
    from .report import write
    from .target import find_rows, read_request, token_table

    request = read_request(args.prompt, args.strengthen or args.remove)
    out = check_out(args.out, args.overwrite, (".json",))
    specs = _specs(args)
    sd = options.load_model(args)
    chosen = [_settings(sd, args, spec) for spec in specs]
    rows = find_rows(sd, request.prompt, request)
    verb = "strengthening" if args.strengthen else "removing"
    print(f"{verb} {request.describe()}")
    print(token_table(sd, request.prompt, rows))
    engine = find_engine(sd, args.engine) or "reference"  # one for all rows: it keeps what it packed and compiled
    results = []
    for spec, (settings, origin) in zip(specs, chosen, strict=True):
        print(f"{sd.name}: {_describe(spec, settings)} ({origin})", flush=True)
        results.append(
            run(
                sd,
                request.prompt,
                request,
                seed=args.seed,
                settings=settings,
                engine=engine,
                maps=args.sheet is None,
                progress=options.progress_bar(spec),
            )
        )
    write(sd, args, specs, results, out)


def _specs(args: argparse.Namespace) -> list[str]:
    """The methods to run, by name."""
    from .methods import DEFAULT

    name, colon, rest = (args.method or "suppress-eot").partition(":")
    if args.preset and name != "suppress-eot":
        raise UserError(f"--preset {args.preset} is of suppress-eot, not of {name}")
    if args.strengthen:
        if args.method or args.preset or args.sheet is not None:
            raise UserError("--strengthen is a method of its own; leave --method, --preset and --sheet away")
        return ["strengthen"]
    if args.sheet is not None:
        if args.method or args.preset:
            raise UserError("--sheet names its methods itself; leave --method and --preset away")
        return args.sheet or ["zero", "suppress-eot", "official", "paper", "unread"]
    if args.preset:
        return [args.preset + colon + rest]
    swr = any(value is not None for value in (args.gamma, args.iterations, args.stop))
    return [args.method or ("suppress-eot" if swr else DEFAULT)]  # --gamma, --iterations and --stop are SuppressEOT's


def _settings(sd: StableDiffusion, args: argparse.Namespace, spec: str) -> tuple[Method, str]:
    """The checkpoint's defaults with what the user gave; and a phrase that says where they come from."""
    from .job import default_settings
    from .methods import METHODS

    names = ("steps", "guidance", "start", "gamma", "iterations", "stop")
    given = {k: getattr(args, k) for k in names if getattr(args, k) is not None}
    if args.sheet is not None:  # what one row has no use for is for the others
        entry = METHODS.get(spec.partition(":")[0])
        known = {f.name for f in fields(entry.kind)} if entry else set()
        given = {k: v for k, v in given.items() if k in known}
    settings, origin = default_settings(sd, spec, **given)
    in_spec = {part.partition("=")[0].strip() for part in spec.partition(":")[2].split(",")}
    return settings, "R as given" if "start" in {*given, *in_spec} else f"R {origin}"


def _describe(spec: str, settings: Method) -> str:
    """The method and what of its settings a reader looks for first."""
    from .methods import SuppressEOT

    parts = [spec]
    if isinstance(settings, SuppressEOT):
        parts.append(f"γ = {settings.gamma:g}")
        if settings.iterations and settings.first >= settings.last:
            parts.append(f"no ITO, which ends before step {settings.last}")
        elif settings.iterations:
            parts.append(f"ITO × {settings.iterations} before step {settings.last}")
    return ", ".join([*parts, f"from step R = {settings.first} of {settings.steps}"])


if __name__ == "__main__":
    raise SystemExit(main())
