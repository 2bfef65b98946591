"""Which start step R suits a checkpoint: the largest with a mean DetScore of the target of at most 0.05.

    python -m bench.tune_start            # prints a table
    python -m bench.tune_start --write    # and stores R, with what was measured, in weights/tiny/defaults.json

A late R keeps the original's layout, an early R removes more. The official code's R of .2 leaves glasses in half of
the embedded model's pictures.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import minisd
import suppress
from minisd.base.inputs import read_json
from suppress.metrics import Detector

PROMPT, TARGET, SEEDS, BOUND = "a man without glasses", "glasses", 16, 0.05
STARTS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2)  # fractions of 50 steps; up to .1 one step apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="store the result in the checkpoint's defaults.json")
    args = parser.parse_args()
    sd = minisd.load("tiny", device="cpu")
    detector = Detector.of(sd)
    name = detector.match(TARGET).name
    published = suppress.SuppressEOT()
    scores: dict[float, float] = {}
    for start in STARTS:
        settings = replace(published, start=start)
        result = suppress.run(sd, PROMPT, TARGET, seed=list(range(SEEDS)), settings=settings)
        assert isinstance(result.image, list)  # one per seed
        scores[start] = round(float(detector.scores(result.image)[name].mean()), 4)
        print(f"R = {start:<5} step {settings.start_step:<3} mean DetScore {scores[start]:.4f}", flush=True)
    fitting = [start for start, score in scores.items() if score <= BOUND]
    if not fitting:
        raise SystemExit(f"no R reaches a mean DetScore of {BOUND}")
    best = replace(published, start=max(fitting))
    print(f"largest R with a mean DetScore of at most {BOUND}: {best.start}")
    if args.write:
        assert sd.folder is not None
        file = sd.folder / "defaults.json"
        content = read_json(file) if file.is_file() else {}  # settings of single methods, which stay
        content |= {
            "all": {"start": best.start},  # every method that is not a published preset
            "measured": {
                "by": "python -m bench.tune_start",
                "prompt": PROMPT,
                "target": TARGET,
                "seeds": SEEDS,
                "mean DetScore by R": {str(k): v for k, v in scores.items()},
            },
        }
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
