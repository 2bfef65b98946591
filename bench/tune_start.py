"""Which start step R suits a checkpoint: the largest with a mean DetScore of the target of at most 0.05.

    python -m bench.tune_start            # prints a table
    python -m bench.tune_start --write    # and stores R, with what was measured, in weights/tiny/defaults.json

R late keeps the original's layout, R early removes more; the official code's .2 leaves glasses in half of the
embedded model's pictures.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import minisd
import suppress
from suppress.metrics import Detector

PROMPT, TARGET, SEEDS, BOUND = "a man without glasses", "glasses", 16, 0.05
SHARES = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2)  # one step apart up to .1, for 50 steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="store the result in the checkpoint's defaults.json")
    args = parser.parse_args()
    sd = minisd.load("tiny", device="cpu")
    detector = Detector.of(sd)
    name = detector.match(TARGET).name
    published = suppress.SuppressEOT()
    scores: dict[float, float] = {}
    for share in SHARES:
        settings = replace(published, start=share)
        result = suppress.run(sd, PROMPT, TARGET, seed=list(range(SEEDS)), settings=settings)
        assert isinstance(result.image, list)  # one a seed
        scores[share] = round(float(detector.scores(result.image)[name].mean()), 4)
        print(f"R = {share:<5} step {settings.start_step:<3} mean DetScore {scores[share]:.4f}", flush=True)
    fitting = [share for share, score in scores.items() if score <= BOUND]
    if not fitting:
        raise SystemExit(f"no R reaches a mean DetScore of {BOUND}")
    best = replace(published, start=max(fitting))
    print(f"largest R with a mean DetScore of at most {BOUND}: {best.start}")
    if args.write:
        assert sd.folder is not None
        content = {
            "all": {"start": best.start},  # every method that is no published preset
            "measured": {
                "by": "python -m bench.tune_start",
                "prompt": PROMPT,
                "target": TARGET,
                "seeds": SEEDS,
                "mean DetScore by R": {str(k): v for k, v in scores.items()},
            },
        }
        (sd.folder / "defaults.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
