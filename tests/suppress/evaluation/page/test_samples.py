"""The pictures of a report are those that the methods draw, with the scores of the cells."""

import numpy as np

import suppress
from suppress.evaluation.cases import CASES
from suppress.evaluation.measure_pictures import Bench
from suppress.evaluation.page.samples import picture_sheets, prompt_sheets
from suppress.evaluation.pairs import Pair
from suppress.evaluation.pictures import picture_cases
from suppress.methods import parse_method
from suppress.metrics import Detector, Judge


def levels(picture) -> np.ndarray:
    return np.asarray(picture, np.float32)


def test_samples_of_prompts_are_drawn_by_seed(sd):
    hat, rain = CASES[9], CASES[10]
    scores = {"before": {"hat": [0.9, 0.8, 0.7]}, "after": {"hat": [0.1, 0.2, 0.3]}, "ssim": [0.5, 0.6, 0.7]}
    done = {("mine", hat.prompt): scores, ("mine", rain.prompt): {"reason": "it cannot"}}
    settings = {"steps": 2, "start": 0, "seeds": 3}
    [sheet] = prompt_sheets(sd, Detector.of(sd), done, {"mine": "zero"}, [hat, rain], settings)
    assert (sheet.prompt, sheet.target) == (hat.prompt, "hat")
    assert [(s.row, s.seed, s.scores) for s in sheet.samples] == [
        ("mine", "seed 0", ("DetScore 0.90 → 0.10", "SSIM 0.50")),
        ("mine", "seed 1", ("DetScore 0.80 → 0.20", "SSIM 0.60")),
    ]
    wanted = suppress.run(sd, hat.prompt, "hat", seed=1, settings=parse_method("zero", steps=2, start=0))
    second = sheet.samples[1]
    assert np.abs(levels(second.before) - levels(wanted.original)).max() <= 1
    assert np.abs(levels(second.after) - levels(wanted.image)).max() <= 1


def test_one_seed_gives_one_sample(sd):
    hat = CASES[9]
    scores = {"before": {"hat": [0.9]}, "after": {"hat": [0.1]}, "ssim": [0.5]}
    settings = {"steps": 1, "start": 0, "seeds": 1}
    [sheet] = prompt_sheets(sd, Detector.of(sd), {("a", hat.prompt): scores}, {"a": "zero"}, [hat], settings)
    assert len(sheet.samples) == 1


def test_samples_of_pictures_show_the_photo_and_its_edit(sd):
    case, pair, other = picture_cases()[0], Pair("zero", "ddim"), Pair("zero", "direct")
    bench = Bench(sd, Judge(sd), 2)
    scores = {"before": {case.name: 0.9}, "after": {case.name: 0.1}, "psnr outside": 21.04}
    [sheet] = picture_sheets(bench, {(pair.row, case.number): scores}, [pair, other], [case], 0)
    [sample] = sheet.samples
    assert (sample.row, sample.scores) == ("zero on ddim", ("DetScore 0.90 → 0.10", "PSNR outside 21.0 dB"))
    assert sample.before.tobytes() == case.photo.tobytes() and sample.after.size == sample.before.size
    settings = parse_method("zero", steps=2, start=0)
    wanted = suppress.run(sd, case.prompt, case.target, settings=settings, image=case.photo, inversion="ddim").image
    assert np.abs(levels(sample.after) - levels(wanted)).max() <= 1
