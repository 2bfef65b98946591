"""GIE's adapter: what is labelled, how it is fitted, and that a training that was stopped goes on."""

import json

import pytest
import torch

import suppress
from minisd import UserError
from suppress.evaluation.cases import CASES
from suppress.loop import Run
from suppress.methods import GIE
from suppress.metrics import Detector
from suppress.prompt import encode, find_places
from suppress.start.noise import from_noise
from suppress.training import gie_adapter
from suppress.training.gie_adapter import (
    LADDER,
    Sample,
    fit,
    held_out,
    label,
    label_all,
    prompts_for,
    scale_of,
    summary,
)


def sample(costs, means=None, concept="hat"):
    means = torch.rand(1, 16) if means is None else means
    return Sample(concept, "a hat", means, torch.tensor(costs), torch.tensor(costs) / 2)


def test_the_prompts_name_their_concept_and_are_none_of_the_protocol():
    found = prompts_for("bow tie", 8, 0)
    assert len(set(found)) == 8 and all(find_places(text, "bow tie") for text in found)
    assert not set(found) & {case.prompt for case in CASES} and not any("without" in text for text in found)
    assert prompts_for("bow tie", 3, 0) == found[:3] and prompts_for("bow tie", 3, 1) != found[:3]
    assert not set(gie_adapter.TRAINED) & set(gie_adapter.UNSEEN)


def test_the_label_is_the_weakest_scale_that_is_as_good_as_the_best():
    assert sample([0.0, 0.9, 0.24, 0.2, 0.5, 0.5, 0.5]).label == -1.5  # .24 is as good as .2; 0 is no label
    assert sample([0.0, 0.9, 0.9, 0.26, 0.2, 0.5, 0.5]).label == -3


def test_a_labelled_prompt_is_what_gie_draws_with_each_scale(sd):
    """Two steps. The cost counts the concept, and a quarter of what else changes."""
    detector = Detector.of(sd)
    found = label(sd, detector, "glasses", "a man without glasses", 5, steps=2)
    before = None
    for k in (0, 3):
        settings = GIE(steps=2, scale=LADDER[k])
        picture = suppress.run(sd, "a man without glasses", "glasses", seed=5, settings=settings).image
        scores = {name: float(v) for name, v in detector.scores([picture]).items()}
        before = before or scores
        changes = [abs(scores[n] - before[n]) for n in detector.names if n not in ("glasses", "sunglasses")]
        assert found.scores[k] == pytest.approx(scores["glasses"], abs=2e-3)
        assert found.costs[k] == pytest.approx(scores["glasses"] + sum(changes) / 4, abs=4e-3)
    assert found.costs.shape == found.scores.shape == (len(LADDER),) and found.means.shape == (1, 16)
    prompt = encode(sd, "a man without glasses", "glasses")
    run = Run(sd, [prompt], from_noise([prompt], sd.noise([5], 128, 128)), GIE(steps=2))
    first = run.original(0, run.start.z)
    means = GIE(steps=2).edit(run).features(0, first, first, [])[0, 0, 1:2]
    torch.testing.assert_close(found.means, means, rtol=1e-3, atol=1e-5)


def test_it_learns_what_the_means_say():
    """Half of the samples have large means and need -4, the other half small ones and -1."""
    torch.manual_seed(0)
    costs = {False: [1.0, 0, 1, 1, 1, 1, 1], True: [1.0, 1, 1, 1, 1, 0, 1]}
    samples = [sample(costs[large], torch.rand(1, 16) / 10 + (0.2 if large else 0)) for large in [False, True] * 8]
    adapter = fit(samples, 0)
    scales = [scale_of(adapter, s) for s in samples]
    assert all(abs(scale - s.label) < 0.3 for scale, s in zip(scales, samples, strict=True))
    again, other = (fit(samples, seed, 1)(samples[0].means) for seed in (0, 1))
    torch.rand(1)  # the seed counts, and not how many random numbers were drawn before
    assert torch.equal(again, fit(samples, 0, 1)(samples[0].means)) and not torch.equal(again, other)
    found = summary(samples, {"adapter": scales, "label": [s.label for s in samples], "-2.5": [-2.5] * 16})
    assert found["label"] == {"cost": 0, "DetScore": 0, "|w - y|": 0}
    assert found["-2.5"] == {"cost": 1, "DetScore": 0.5, "|w - y|": 1.5}
    assert found["adapter"]["cost"] < 0.3
    # without the samples of its own group, a sample gets what it gets from the others
    groups = [s.label for s in samples]
    assert all(abs(w - y) > 0.5 for w, y in zip(held_out(samples, groups, 0, 300), groups, strict=True))
    others = held_out(samples, [k % 4 // 2 for k in range(16)], 0, 300)
    assert all(abs(w - y) < 0.5 for w, y in zip(others, groups, strict=True))


def test_a_training_that_was_stopped_goes_on(sd, tmp_path, monkeypatch):
    file, todo, drawn = tmp_path / "a.jsonl", [("hat", "one"), ("hat", "two"), ("hat", "three")], []

    def fake(sd, detector, concept, text, seed):
        drawn.append((text, seed))
        if text == "three" and len(drawn) < 4:
            raise KeyboardInterrupt
        return Sample(concept, text, torch.full((1, 16), 0.125), torch.zeros(7), torch.zeros(7))

    monkeypatch.setattr(gie_adapter, "label", fake)
    with pytest.raises(KeyboardInterrupt):
        label_all(sd, None, file, todo, 0)
    with open(file, "a") as out:
        out.write('\n{"recipe": [')  # the computer stopped here
    samples = label_all(sd, None, file, todo, 0)
    assert drawn == [("one", 0), ("two", 1), ("three", 2), ("three", 2)]
    assert [s.prompt for s in samples] == ["one", "two", "three"] and samples[0].means.tolist() == [[0.125] * 16]
    assert sum(bool(line) and line.endswith("}") for line in file.read_text().splitlines()) == 3
    label_all(sd, None, file, todo, 0)
    assert len(drawn) == 4
    with pytest.raises(UserError, match="another training"):
        label_all(sd, None, file, todo, 1)
    assert json.loads(file.read_text().splitlines()[1])["prompt"] == "one"


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.png", "ends in .safetensors"), ("no/a.safetensors", "no folder"), ("there.safetensors", "exists")],
)
def test_an_output_that_cannot_be_written_is_refused_first(tmp_path, capsys, name, message):
    (tmp_path / "there.safetensors").touch()
    with pytest.raises(SystemExit):
        raise SystemExit(gie_adapter.main(["--out", str(tmp_path / name)]))
    assert message in capsys.readouterr().err
