"""Which methods `suppress` runs, with which settings, and what it says about them: for noise and pictures alike."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from minisd import StableDiffusion, UserError

from ..defaults import default_settings
from ..methods import DEFAULT, METHODS, parse_method
from ..prompt import Prompt, Request, token_table
from ..protocol import Method
from ..report.files import Report, Row

# the paper's own first, which is the default
STRENGTHENING = sorted((name for name, entry in METHODS.items() if entry.strengthens), key=lambda n: n != "strengthen")


def choose(args: argparse.Namespace) -> list[str]:
    """The methods to run, as specs: "name" or "name:field=value"."""
    name, colon, rest = (args.method or "suppress-eot").partition(":")
    if args.preset and name != "suppress-eot":
        raise UserError(f"--preset {args.preset} is of suppress-eot, not of {name}")
    _check_direction(args)
    if args.strengthen and args.sheet is None:
        return [args.method or "strengthen"]
    if args.sheet is not None:
        if args.method or args.preset:
            raise UserError("--sheet names its methods itself; leave out --method and --preset")
        usual = STRENGTHENING if args.strengthen else ["zero", "suppress-eot", "official", "paper", "unread"]
        return args.sheet or usual
    if args.preset:
        return [args.preset + colon + rest]
    swr = any(value is not None for value in (args.gamma, args.iterations, args.stop))
    return [args.method or ("suppress-eot" if swr else DEFAULT)]  # --gamma, --iterations and --stop are SuppressEOT's


def _check_direction(args: argparse.Namespace) -> None:
    """UserError if a method that removes is to strengthen, or the other way round."""
    chosen = [spec.partition(":")[0] for spec in (args.method, args.preset, *(args.sheet or [])) if spec]
    removing = [name for name in chosen if name not in STRENGTHENING]
    if args.strengthen and removing:
        raise UserError(
            f"{removing[0]} draws less of its words; --strengthen takes the methods {', '.join(STRENGTHENING)} "
            "(a larger factor: --method strengthen:value=2)"
        )
    strengthening = [name for name in chosen if name in STRENGTHENING]
    if not args.strengthen and strengthening:
        option = "--method" if args.method else "--sheet"
        raise UserError(f"{option} {strengthening[0]} draws more of what it is given; name that with --strengthen WORD")


def find_settings(sd: StableDiffusion, args: argparse.Namespace, spec: str, repeated: bool) -> tuple[Method, str]:
    """A method's settings, with the values that the user gave, and a phrase that says where R comes from.

    repeated: the spec is that of a picture that is drawn again. It holds all settings, so the checkpoint's defaults
    are not used.
    """
    names = ("steps", "guidance", "start", "gamma", "iterations", "stop", "keep")
    given = {k: getattr(args, k) for k in names if getattr(args, k) is not None}
    name = spec.partition(":")[0]
    if args.sheet is not None:  # an option may be meant for other rows than this one
        known = {f.name for f in fields(METHODS[name].kind)} if name in METHODS else set()
        given = {k: v for k, v in given.items() if k in known}
    if repeated:
        same = parse_method(spec, steps=given.pop("steps"), guidance=given.pop("guidance"))
        settings = parse_method(name, **{k: getattr(same, k) for k in METHODS[name].settings} | given)
        return settings, "R as given" if "start" in given else f"R of {args.params_from}"
    settings, origin = default_settings(sd, spec, picture=args.image is not None, **given)
    for field, value in given.items():
        if args.sheet is None and getattr(settings, field) != value:
            own = getattr(settings, field)
            raise UserError(f"--method {spec} and {option_of(field)} {value} contradict each other: {own} or {value}")
    in_spec = {part.partition("=")[0].strip() for part in spec.partition(":")[2].split(",")}
    return settings, "R as given" if "start" in {*given, *in_spec} else f"R {origin}"


def option_of(field: str) -> str:
    """The option that gives a setting."""
    return "--keep-outside" if field == "keep" else f"--{field}"


def describe(row: Row, prompt: Prompt) -> str:
    """The method and its most important settings, in one line."""
    settings, parts = row.settings, [row.spec]
    remark = settings.remark(prompt)
    parts += [remark] if remark else []
    if settings.keep:
        parts.append(f"what it does not concern is kept, rate {settings.keep:g}")
    return ", ".join([*parts, f"from step R = {settings.start_step} of {settings.steps}"]) + f" ({row.origin})"


def introduce(sd: StableDiffusion, args: argparse.Namespace, request: Request, prompt: Prompt) -> None:
    """Says what is removed or strengthened, and where it stands among the prompt's tokens."""
    print(f"{'strengthening' if args.strengthen else 'removing'} {request.describe()}")
    print(token_table(sd, request.prompt, prompt.target))


@contextmanager
def told(report: Report) -> Iterator[None]:
    """If the work stops inside, by Ctrl-C or an error, the user is told what has been written."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(report.progress()) from None
    except Exception:
        if report.path:
            print(f"suppress: {report.progress()}", file=sys.stderr)
        raise
