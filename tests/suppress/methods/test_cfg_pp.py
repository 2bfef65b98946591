"""CFG++: its step by hand, alone and added to other methods, on both engines."""

import numpy as np
import pytest
import torch

import suppress
from minisd import UserError
from suppress.loop import Run
from suppress.methods import CfgPP, ComposableNot, parse_method
from suppress.prompt import encode
from suppress.start.noise import from_noise

LIST = "a man with a beard wearing glasses and a hat"
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 8, 64, 64),
]


@pytest.fixture
def edit_of(sd):
    def make(settings):
        prompts = [encode(sd, LIST, "glasses")]
        return settings.edit(Run(sd, prompts, from_noise(prompts, sd.noise([0], 64, 64)), settings))

    return make


@pytest.mark.parametrize("to", [None, ComposableNot(weight=0.5)], ids=["alone", "added"])
def test_a_step_by_hand(edit_of, to):
    edit = edit_of(CfgPP(steps=20, scale=0.4, guidance=5, to=to))
    alpha, i = edit.run.schedule.alpha, 7
    z, *eps = torch.randn(4, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    eps = eps[: 3 if to else 2]
    got = edit.step(i, z, edit.combine(i, tuple(eps)))
    z, u, c, *n = (x.double().numpy() for x in (z, *eps))
    direction = (c - u) - (0.5 * (n[0] - u) if n else 0)
    clean = (z - np.sqrt(1 - alpha[i]) * (u + 0.4 * direction)) / np.sqrt(alpha[i])
    want = np.sqrt(alpha[i + 1]) * clean + np.sqrt(1 - alpha[i + 1]) * u
    torch.testing.assert_close(got.double(), torch.from_numpy(want), rtol=0, atol=1e-4)


def test_alone_it_draws_the_prompt_without_the_words(sd, edit_of):
    edit = edit_of(CfgPP())
    same = edit.run.original(0, edit.run.start.z)
    _, cond = edit.inputs(0, same, same, None).contexts
    assert torch.equal(cond, sd.encode_text("a man with a beard wearing and a hat"))
    assert CfgPP().remark(edit.run.prompts[0]) == "the edited prompt is 'a man with a beard wearing and a hat'"


def test_any_batch_on_both_engines_is_each_job_alone(check_batch):
    check_batch(JOBS, CfgPP(steps=4, start=1, guidance=2, scale=0.2, to=ComposableNot()), least=0.02)


def test_names_and_bad_settings(sd):
    settings = parse_method('cfg-pp:to="perp-neg:weight=2",scale=0.8', steps=20, start=2)
    assert settings.scale == 0.8 and settings.to.weight == 2 and settings.to.steps == 20 and settings.to.start == 2
    assert settings.remark(encode(sd, LIST, "hat")) == "added to PerpNeg with these steps, guidance and R"
    for bad, message in (
        ({"scale": -1}, "scale = -1"),
        ({"guidance": 0}, r"guidance = 0 with CFG\+\+"),
        ({"to": "perp-neg"}, "to = 'perp-neg'; expected an instance"),
    ):
        with pytest.raises(UserError, match=message):
            CfgPP(**bad)
