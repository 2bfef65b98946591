"""Scores of what a run has drawn: by the detector and the CLIP that fit the checkpoint, or the reason for none."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from minisd import StableDiffusion

from ..job import Result
from . import ClipScore, Detector, Unavailable

DASH = "–"
SUPPRESSED, STRENGTHENED = "suppressed", "strengthened"  # what the picture beside the original is called
THERE = 0.5  # the DetScore above which a detector says that something is in the picture
Scores = dict[
    str, dict[str, list[float] | str]
]  # "DetScore glasses" -> {"original": […], "suppressed": […]} or a reason


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


def both(result: Result) -> list[list[Image.Image]]:
    """(originals, suppressed), as lists whatever the seed was."""
    return [p if isinstance(p, list) else [p] for p in (result.original, result.image)]


def join_scores(before: Scores, after: Scores) -> Scores:
    """The scores of more seeds behind those of the first."""
    if not before:
        return after
    return {
        name: {k: [*before[name][k], *v] if isinstance(v, list) else v for k, v in values.items()}
        for name, values in after.items()
    }


def table(scores: Scores, title: str = "", side: str = SUPPRESSED) -> str:
    """A line a score: means over the seeds, or a dash and the reason."""
    lines = [f"{title:<27} original  {side}"]
    for name, values in scores.items():
        sides = [values.get("original"), values.get(side)]
        cells = [f"{sum(v) / len(v):.3f}" if isinstance(v, list) else DASH for v in sides]
        remark = values.get("reason") or values.get("remark")
        lines.append(f"{name:<28}{cells[0]:>8}    {cells[1]:>8}" + (f"  ({remark})" if remark else ""))
    return "\n".join(lines)


def failures(scores: Scores, targets: Sequence[str], seeds: Sequence[int], side: str = SUPPRESSED) -> list[str]:
    """A line for each target that is still there, or that was to be strengthened and is not there, with its seeds."""
    lines = []
    for target in targets:
        values = scores.get(f"DetScore {target}", {}).get(side)
        if not isinstance(values, list):
            continue
        failed = {
            seed: value
            for seed, value in zip(seeds, values, strict=True)
            if (value > THERE if side == SUPPRESSED else value < THERE)
        }
        if failed:
            told = ", ".join(f"{seed} ({value:.3f})" for seed, value in failed.items())
            state = "is still there" if side == SUPPRESSED else "is not there"
            lines.append(f"{target!r} {state} by DetScore, with seed {told}")
    return lines
