"""What delta files remove and what they change: DetScores with and without them, on prompts that they did not see.

    python -m bench.erasers FILE.safetensors …          # prints the table, and writes bench/results/erasers-CONCEPT.md

All files forget the same concept (`suppress train NAME --concept WORDS --out FILE.safetensors`). Every prompt is drawn
with the model's own weights and with the changed ones, from the same noise. The last prompts do not name glasses: what
changes there has spilled.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import minisd
from suppress.edits.weights import read_about
from suppress.evaluation.table import other_attributes, words
from suppress.job import run
from suppress.methods import parse_method
from suppress.metrics import Detector

SEEDS, STEPS, START = 8, 25, 0.0
RESULTS = Path(__file__).parent / "results"
# {}: the concept. No file of this project was trained or tuned on these
NAMING = (
    "a man without {}",
    "a man with a beard wearing {} and a hat in a blue shirt",
    "a woman wearing {} and a hat",
    "a robot with {} in the forest",
    "a cat with {} and a scarf",
)
NOT_NAMING = ("a girl with a hat", "a man with a beard")

Scores = dict[str, NDArray[np.float64]]  # attribute -> (seeds,)


@dataclass(frozen=True)
class Drawn:
    """One prompt with one file."""

    prompt: str
    before: Scores
    after: Scores

    def moves(self, names: Sequence[str]) -> dict[str, float]:
        """Attribute -> the change of its mean over the seeds."""
        return {name: float(self.after[name].mean() - self.before[name].mean()) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.erasers", description=__doc__.splitlines()[0])
    parser.add_argument("files", metavar="FILE", nargs="+", help="delta files of one concept")
    parser.add_argument("--start", type=float, default=START, help=f"R: the first step with the new weights ({START})")
    args = parser.parse_args()
    sd = minisd.load("tiny", device="cpu")
    abouts = {file: read_about(Path(file)) for file in args.files}
    unknown = [file for file, about in abouts.items() if not about]
    if unknown:
        parser.error(f"{unknown[0]} is no file that `suppress train` wrote, or it cannot be read")
    concepts = {about["concept"] for about in abouts.values()}
    if len(concepts) > 1:
        parser.error(f"the files forget {', '.join(sorted(concepts))}; give files of one concept")
    concept = concepts.pop()
    text = "\n".join(table(sd, concept, args.files, args.start))
    path = RESULTS / f"erasers-{concept.replace(' ', '-')}.md"
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{text}\n\n{path}")


def table(sd: minisd.StableDiffusion, concept: str, files: Sequence[str], start: float) -> list[str]:
    detector = Detector.of(sd)
    target = detector.match(concept).name
    lines = [
        f"<!-- made by `python -m bench.erasers`, R = {start:g}, {STEPS} steps, {SEEDS} seeds a prompt, on the CPU -->",
        "",
        f"DetScore of {concept}, before → after; in brackets, the other attribute whose mean moved most.",
        "",
        f"| | training, CPU s | {' | '.join(p.format(concept) for p in NAMING)} | **all five** | "
        f"{' | '.join(NOT_NAMING)} |",
        "|---" * (len(NAMING) + len(NOT_NAMING) + 3) + "|",
    ]
    for file in files:
        about = read_about(Path(file))
        drawn = [draw(sd, detector, p.format(concept), concept, file, start) for p in (*NAMING, *NOT_NAMING)]
        naming, spilled = drawn[: len(NAMING)], drawn[len(NAMING) :]
        cells = [
            described(about),
            f"{about['cpu seconds']:.0f}",
            *(cell([one], target) for one in naming),
            cell(naming, target),
            *(cell([one], target) for one in spilled),
        ]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def draw(sd: minisd.StableDiffusion, detector: Detector, prompt: str, concept: str, file: str, start: float) -> Drawn:
    method = parse_method(f"delta:{file}", steps=STEPS, start=start)
    result = run(sd, prompt, concept, seed=list(range(SEEDS)), settings=method)
    assert isinstance(result.original, list) and isinstance(result.image, list)
    before, after = (
        {name: values.double().numpy() for name, values in detector.scores(pictures).items()}
        for pictures in (result.original, result.image)
    )
    return Drawn(prompt, before, after)


def cell(drawn: Sequence[Drawn], target: str) -> str:
    """The target's mean before and after, and the largest move of another attribute's mean, all over these prompts."""
    names = other_attributes(target, drawn[0].before)
    moves = [one.moves([target, *names]) for one in drawn]
    means = {name: float(np.mean([move[name] for move in moves])) for name in names}
    worst = max(means, key=lambda name: abs(means[name]))
    before, after = (
        float(np.mean([getattr(one, side)[target].mean() for one in drawn])) for side in ("before", "after")
    )
    return f"{before:.2f} → {after:.2f} ({words(worst)} {means[worst]:+.2f})"


def described(about: dict) -> str:
    """The eraser, and the settings that tell it from others of its kind."""
    settings = about["settings"]
    shown = [f"{name} {settings[name]}" for name in ("eta", "frozen", "iterations") if name in settings]
    return ", ".join([about["trainer"], *shown, *([f"rank {about['rank']}"] if about["rank"] else [])])


if __name__ == "__main__":
    main()
