"""Which prompts imply an attribute of the drawn world without naming it: DetScore of everything that they do not name.

    python -m bench.implied                     # prints a table, and writes bench/results/implied-prompts.md
    python -m bench.implied --cells FILE.jsonl  # writes implied-methods.md: what `suppress eval` measured, by prompt

The words are those that the captions use for a thing beside its plain name (suppress/world/phrases.py), kinds of hats,
and nouns that might bring something along. suppress/evaluation/implied.py has the prompts that the evaluation uses.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import minisd
from minisd.base.counted import counted
from suppress.evaluation.implied import IMPLYING
from suppress.evaluation.table import other_attributes
from suppress.metrics import Detector
from suppress.prompt import find_places

SEEDS, STEPS, BOUND = 8, 12, 0.5
RESULTS = Path(__file__).parent / "results"
PROMPTS = (
    "a man by the sea",
    "a woman under the moon and stars",
    "a boy in the woods",
    "a robot in front of trees",
    "a girl in front of buildings",
    "a dog at home",
    "a happy boy",
    "a woman wearing spectacles",
    "a bearded man",
    "a cowboy",
    "a cat wearing a crown",
    "a girl in a beanie",
    "a sketch of a dog",
    "a child",
    "a snowman scene",
    "a man at a birthday",
    "a woman with a pot",
    "a painting of a cat",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", metavar="FILE", help="the .jsonl file of `suppress eval --kinds implied`")
    args = parser.parse_args()
    if args.cells:
        write("implied-methods.md", methods([json.loads(line) for line in Path(args.cells).read_text().splitlines()]))
    else:
        write("implied-prompts.md", prompts())


def write(name: str, lines: list[str]) -> None:
    (RESULTS / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(RESULTS / name)


def prompts() -> list[str]:
    """Draws the prompts; a table of what each shows and does not name."""
    sd = minisd.load("tiny", device="cpu")
    detector = Detector.of(sd)
    lines = [
        "<!-- made by `python -m bench.implied` -->",
        "",
        f"What pictures show although their prompt does not name it: mean DetScore over {SEEDS} seeds ({STEPS} steps), "
        f"where it is at least {BOUND}.",
        "",
        "| prompt | shown, not named |",
        "|---|---|",
    ]
    for prompt in PROMPTS:
        scores = detector.scores(sd.generate(prompt, seed=list(range(SEEDS)), steps=STEPS))
        means = {name: float(values.mean()) for name, values in scores.items()}
        found = {k: v for k, v in means.items() if v >= BOUND and not find_places(prompt, k.replace("_", " "))}
        lines.append(f"| {prompt} | {', '.join(f'{k} {v:.3f}' for k, v in found.items()) or '–'} |")
        print(lines[-1], flush=True)
    return lines


def methods(cells: list[dict[str, Any]]) -> list[str]:
    """A table of the cells, one column per prompt; "–" where nothing was measured."""
    found = {(cell["row"], cell["case"]["prompt"]): cell for cell in cells if "after" in cell}
    settings = cells[0]["settings"]
    lines = [
        f"<!-- made by `python -m bench.implied --cells FILE.jsonl`, from `suppress eval --kinds implied --seeds "
        f"{settings['seeds']} --steps {settings['steps']} --start {settings['start']:g}` -->",
        "",
        "Mean DetScore of the target that the prompt implies / sum over the other attributes of the mean |change| / "
        f"SSIM to the original. {counted(settings['seeds'], 'seed')}, {counted(settings['steps'], 'step')}. –: not "
        "measured.",
        "",
        f"| | {' | '.join(f'{case.prompt}: {case.target}' for case in IMPLYING)} |",
        "|---" * (len(IMPLYING) + 1) + "|",
    ]
    for row in dict.fromkeys(cell["row"] for cell in cells):
        texts = [_scores(found[row, c.prompt]) if (row, c.prompt) in found else "–" for c in IMPLYING]
        lines.append(f"| {row} | {' | '.join(texts)} |")
    return lines


def _scores(cell: dict[str, Any]) -> str:
    name = cell["case"]["target"].replace(" ", "_")
    before, after = cell["before"], cell["after"]
    changes = (np.abs(np.subtract(after[k], before[k])) for k in other_attributes(name, before))
    changed = sum(float(change.mean()) for change in changes)
    return f"{np.mean(after[name]):.2f} / {changed:.1f} / {np.mean(cell['ssim']):.2f}"


if __name__ == "__main__":
    main()
