"""Which prompts imply an attribute of the drawn world without naming it: DetScore of everything that they do not name.

    python -m bench.implied        # prints a table, and writes bench/results/implied-prompts.md

The words are those that the captions use for a thing beside its plain name (suppress/world/phrases.py), kinds of hats,
and nouns that might bring something along. suppress/evaluation/implied.py has the prompts that the evaluation uses.
"""

from __future__ import annotations

from pathlib import Path

import minisd
from suppress.metrics import Detector
from suppress.prompt import find_places

SEEDS, STEPS, BOUND = 8, 12, 0.5
OUT = Path(__file__).parent / "results" / "implied-prompts.md"
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
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
