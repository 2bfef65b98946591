"""The eraser that comes with the embedded model."""

from pathlib import Path

import suppress
from suppress.metrics import Detector

ERASER = Path("weights/tiny/erasers/glasses.safetensors")


def test_it_is_small_and_removes_glasses_alone(sd):
    result = suppress.run(
        sd, "a woman wearing glasses and a hat", "glasses", method="delta:glasses", seed=[1, 2], batch_size=2
    )
    detector = Detector.of(sd)
    before, after = detector.scores(result.original), detector.scores(result.image)
    assert before["glasses"].min() > 0.8 and after["glasses"].max() < 0.2
    assert before["hat"].min() > 0.8 and after["hat"].min() > 0.8
    assert (Path(__file__).parents[3] / ERASER).stat().st_size < 2**20
