"""`suppress PROMPT --remove WORD`: one picture of the prompt with its target and without, and the scores."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from PIL import Image

from minisd import StableDiffusion, UserError, options

if TYPE_CHECKING:
    from .job import Result
    from .methods import SuppressEOT

DASH = "–"


def main(argv: Sequence[str] | None = None) -> int:
    return options.run("suppress", _suppress, _parser().parse_args(argv))


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="suppress",
        description="Draw a prompt without something it names. Writes one picture: left the original, right the "
        "suppressed, under each where the model looked for the target.",
        epilog="Without --remove the target is what the prompt has in [brackets] or negates (without, no, not).",
    )
    p.add_argument("prompt", metavar="PROMPT", help='what to draw, e.g. "a man without glasses"')
    p.add_argument(
        "--remove",
        metavar="WORD",
        action="append",
        help='a word or phrase of the prompt ("van gogh"); may be repeated',
    )
    p.add_argument("--seed", type=int, default=0, help="of the noise (default 0)")
    method = p.add_argument_group("method (soft-weighted regularisation, Li et al. 2024)")
    method.add_argument("--gamma", type=float, help="strength γ: σ̂ = σ e^(-γσ), 0 does nothing (default 1)")
    method.add_argument(
        "--start",
        metavar="R",
        type=_start,
        help="first step with the edited prompt: a step number, or below 1 a share of the steps. Early removes more, "
        "late keeps more of the layout (default: the published .2; the embedded model's own, measured, is in its "
        "defaults.json)",
    )
    options.add_sampling_options(p)
    options.add_model_options(p)
    options.add_output_options(p)
    return p


def _start(text: str) -> int | float:
    """ "5" is a step, "0.1" and ".0" are shares."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def _suppress(args: argparse.Namespace) -> None:
    from minisd.picture import check_out, free_name, save, slug

    from .job import run
    from .target import find_rows, read_request, token_table

    request = read_request(args.prompt, args.remove)
    out = check_out(args.out, args.overwrite) if args.out else None
    sd = options.load_model(args)
    rows = find_rows(sd, request.prompt, request.targets)
    print(f"removing {', '.join(repr(t) for t in request.targets)} ({request.how})")
    print(token_table(sd, request.prompt, rows))
    settings, origin = _settings(sd, args)
    print(
        f"{sd.name}: SWR with γ = {settings.gamma:g} from step R = {settings.first} of {settings.steps} ({origin})",
        flush=True,
    )
    bar = options.progress_bar("drawing")
    result = run(sd, request.prompt, request.targets, None, args.seed, settings, maps=True, progress=bar)
    _print_scores(sd, result)
    path = out or free_name(f"{slug(request.prompt)}-s{args.seed}")
    print(save(draw(result), path, _parameters(sd, args, result)))


def _settings(sd: StableDiffusion, args: argparse.Namespace) -> tuple[SuppressEOT, str]:
    """The checkpoint's defaults with what the user gave; and a phrase that says where R comes from."""
    from .job import default_settings

    settings, origin = default_settings(sd)
    given = {k: getattr(args, k) for k in ("steps", "guidance", "gamma", "start") if getattr(args, k) is not None}
    return replace(settings, **given), "as given" if "start" in given else f"R {origin}"


def draw(result: Result) -> Image.Image:
    """Two by two: the original and the suppressed picture, under each the targets' cross-attention map.

    Both maps share one scale, so that a target that is gone is dark.
    """
    from minisd.picture import overlay, sheet

    if result.maps is None or result.original_maps is None:
        raise UserError("this result has no maps; run with maps=True")
    assert isinstance(result.original, Image.Image) and isinstance(result.image, Image.Image)
    heats = [maps[0, list(result.rows)].sum(dim=0) for maps in (result.original_maps, result.maps)]
    span = (float(heats[0].min()), float(heats[0].max()))
    pictures = [result.original, result.image]
    name = ", ".join(result.targets)
    labels = [["original", "suppressed"], [f"{name} {float(heat.mean()):.1%}" for heat in heats]]
    return sheet([pictures, [overlay(p, heat, span) for p, heat in zip(pictures, heats, strict=True)]], labels)


def _parameters(sd: StableDiffusion, args: argparse.Namespace, result: Result) -> str:
    from minisd import parameters

    s = result.settings
    assert isinstance(result.image, Image.Image)
    fields = {
        "Steps": s.steps,
        "Sampler": "DDIM",
        "CFG scale": s.guidance,
        "Seed": args.seed,
        "Size": f"{result.image.width}x{result.image.height}",
        "Model": sd.name,
        "Precision": None if args.dtype == "fp32" else args.dtype,
        "Suppress": ", ".join(result.targets),
        "Suppress method": "suppress-eot",
        "Suppress gamma": f"{s.gamma:g}",
        "Suppress start": s.first,
    }
    return parameters.to_text(result.prompt, "", fields)


# ---------------------------------------------------------------------- scores


def _print_scores(sd: StableDiffusion, result: Result) -> None:
    """For each target the detector's score and the CLIP score, before and after; a dash and the reason where none."""
    assert isinstance(result.original, Image.Image) and isinstance(result.image, Image.Image)
    pictures = [result.original, result.image]
    print(f"{'':<24}original  suppressed")
    for target in result.targets:
        print(_line(f"DetScore {target}", *_det_score(sd, pictures, target)))
        print(_line(f"CLIP score {target}", *_clip_score(sd, pictures, target)))


def _line(name: str, scores: list[float] | None, remark: str) -> str:
    cells = f"{scores[0]:8.3f}    {scores[1]:8.3f}" if scores else f"{DASH:>8}    {DASH:>8}"
    return f"{name:<24}{cells}" + (f"  ({remark})" if remark else "")


def _det_score(sd: StableDiffusion, pictures: list[Image.Image], target: str) -> tuple[list[float] | None, str]:
    from .metrics import Detector, Unavailable

    try:
        detector = Detector.of(sd)
        match = detector.match(target)
    except Unavailable as reason:
        return None, str(reason)
    remark = f"the whole class {match.name.replace('_', ' ')}" if match.whole else ""
    return detector.scores(pictures)[match.name].tolist(), remark


def _clip_score(sd: StableDiffusion, pictures: list[Image.Image], target: str) -> tuple[list[float] | None, str]:
    from .metrics import ClipScore, Unavailable

    try:
        return ClipScore.of(sd)(pictures, target).tolist(), ""
    except Unavailable as reason:
        return None, str(reason)


if __name__ == "__main__":
    raise SystemExit(main())
