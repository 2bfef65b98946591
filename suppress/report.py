"""What `suppress` leaves behind: a picture, a table of scores on the terminal, and a JSON file beside the picture."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from minisd import StableDiffusion, UserError, options, parameters
from minisd.outputs import free_name, slug, write_text
from minisd.picture import overlay, save, sheet

from .job import Result
from .metrics import ClipScore, Detector, Unavailable

DASH = "–"
SUPPRESSED, STRENGTHENED = "suppressed", "strengthened"  # what the picture beside the original is called
Scores = dict[
    str, dict[str, list[float] | str]
]  # "DetScore glasses" -> {"original": […], "suppressed": […]} or a reason


def write(
    sd: StableDiffusion, args: argparse.Namespace, specs: Sequence[str], results: Sequence[Result], out: Path | None
) -> None:
    """Prints the scores of each result, writes the sheet and the JSON, prints the picture's name."""
    judges = Judges(sd)
    side = STRENGTHENED if args.strengthen else SUPPRESSED
    scores = [judges.scores(result, side) for result in results]
    for spec, score in zip(specs, scores, strict=True):
        print(table(score, spec if len(specs) > 1 else "", side))
    picture = draw(results[0], side) if args.sheet is None else draw_sheet(specs, results, scores)
    stem = f"{slug(results[0].prompt)}-s{'-'.join(map(str, args.seed))}" + ("-sheet" if args.sheet is not None else "")
    path = out or free_name(stem, beside=(".json",))
    save(picture, path, describe(sd, args, specs, results))
    content = {
        "prompt": results[0].prompt,
        "targets": results[0].targets,
        "model": sd.name,
        "precision": args.dtype or "fp32",
        "engine": args.engine or "fast",
        "seeds": args.seed,
        "results": [
            {"method": spec, "settings": asdict(r.settings), "scores": score, "seconds": r.timings}
            for spec, r, score in zip(specs, results, scores, strict=True)
        ],
    }
    write_text(path.with_suffix(".json"), json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    print(path)


# ---------------------------------------------------------------------- pictures


def draw(result: Result, side: str = SUPPRESSED) -> Image.Image:
    """Two rows a seed: the original and the suppressed picture, under each the targets' cross-attention map.

    Both maps of a seed share one scale, so that a target that is gone is dark.
    """
    if result.maps is None or result.original_maps is None:
        raise UserError("this result has no maps; run with maps=True")
    name, rows = ", ".join(result.targets), list(result.rows)
    cells: list[list[Image.Image]] = []
    labels: list[list[str]] = []
    for k, pictures in enumerate(zip(*both(result), strict=True)):
        heats = [maps[k, rows].sum(dim=0) for maps in (result.original_maps, result.maps)]
        span = (float(heats[0].min()), float(heats[0].max()))
        cells += [list(pictures), [overlay(p, heat, span) for p, heat in zip(pictures, heats, strict=True)]]
        labels += [["original", side], [f"{name} {float(heat.mean()):.1%}" for heat in heats]]
    return sheet(cells, labels)


def draw_sheet(specs: Sequence[str], results: Sequence[Result], scores: Sequence[Scores]) -> Image.Image:
    """A row a method, a column a seed; the originals on top. Labels: the first target's DetScore and the method, or of
    a method with settings these alone, as rows may differ in nothing else and labels are cut."""
    cells, labels = [both(results[0])[0]], [_labels("original", scores[0], "original", len(both(results[0])[0]))]
    for spec, result, score in zip(specs, results, scores, strict=True):
        pictures = both(result)[1]
        cells.append(pictures)
        labels.append(_labels(spec.partition(":")[2] or spec, score, SUPPRESSED, len(pictures)))
    return sheet(cells, labels)


def _labels(name: str, score: Scores, side: str, count: int) -> list[str]:
    values = next(iter(score.values())).get(side)
    return [f"{values[k]:.2f} {name}" if isinstance(values, list) else name for k in range(count)]


def both(result: Result) -> list[list[Image.Image]]:
    """(originals, suppressed), as lists whatever the seed was."""
    return [p if isinstance(p, list) else [p] for p in (result.original, result.image)]


def describe(sd: StableDiffusion, args: argparse.Namespace, specs: Sequence[str], results: Sequence[Result]) -> str:
    """The picture's `parameters`: what repeats it."""
    s = results[0].settings
    first = both(results[0])[0][0]
    fields = {
        "Steps": s.steps,
        "Sampler": "DDIM",
        "CFG scale": s.guidance,
        "Seed": args.seed[0],
        "Size": f"{first.width}x{first.height}",
        **options.model_fields(sd, args),
        "Strengthen" if args.strengthen else "Suppress": ", ".join(results[0].targets),
        "Suppress method": ", ".join(specs),
        "Suppress start": s.first,
    }
    return parameters.to_text(results[0].prompt, "", fields)


# ---------------------------------------------------------------------- scores


class Judges:
    """The detector and the CLIP that fit a checkpoint, loaded once; where there is none, the reason why."""

    def __init__(self, sd: StableDiffusion):
        self.detector: Detector | Unavailable = _try(Detector, sd)
        self.clip: ClipScore | Unavailable = _try(ClipScore, sd)

    def scores(self, result: Result, side: str = SUPPRESSED) -> Scores:
        """For each target DetScore and CLIP score of "original" and `side`, or the reason for none."""
        found: Scores = {}
        sides = dict(zip(("original", side), both(result), strict=True))
        for target in result.targets:
            found[f"DetScore {target}"] = self._det_score(target, sides)
            if isinstance(self.clip, Unavailable):
                found[f"CLIP score {target}"] = {"reason": str(self.clip)}
            else:
                clip = self.clip
                found[f"CLIP score {target}"] = {side: clip(p, target).tolist() for side, p in sides.items()}
        return found

    def _det_score(self, target: str, sides: dict[str, list[Image.Image]]) -> dict[str, list[float] | str]:
        if isinstance(self.detector, Unavailable):
            return {"reason": str(self.detector)}
        try:
            match = self.detector.match(target)
        except Unavailable as reason:
            return {"reason": str(reason)}
        detector = self.detector
        values: dict[str, list[float] | str] = {s: detector.scores(p)[match.name].tolist() for s, p in sides.items()}
        return values | ({"remark": f"the whole class {match.name.replace('_', ' ')}"} if match.whole else {})


def _try(judge, sd: StableDiffusion):
    try:
        return judge.of(sd)
    except Unavailable as reason:
        return reason


def table(scores: Scores, title: str = "", side: str = SUPPRESSED) -> str:
    """A line a score: means over the seeds, or a dash and the reason."""
    lines = [f"{title:<27} original  {side}"]
    for name, values in scores.items():
        sides = [values.get("original"), values.get(side)]
        cells = [f"{sum(v) / len(v):.3f}" if isinstance(v, list) else DASH for v in sides]
        remark = values.get("reason") or values.get("remark")
        lines.append(f"{name:<28}{cells[0]:>8}    {cells[1]:>8}" + (f"  ({remark})" if remark else ""))
    return "\n".join(lines)
