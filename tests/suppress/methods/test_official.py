"""`SuppressEOT.official()` equals an independent implementation on diffusers' UNet: tests/goldens/make_suppress_eot.py.

The case `long` is compared for only three iterations: its descent overshoots, and one iteration later the rounding
errors are ten times larger.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import suppress
from suppress.edits.ito import DROP_THRESHOLD, KEEP_THRESHOLD, AttentionLoss, LossWeights, descend
from suppress.edits.maps import LayerMean, MapSpec, map_grid
from suppress.engine import Fast, Plan, Reference
from suppress.engine.ito import masks
from suppress.prompt import encode
from suppress.start.noise import from_noise

OFFICIAL = LossWeights(1, 0.5, 1, 0.5)


def read_maps(sd, z, t, ctx, spec):
    means = LayerMean(spec)
    sd.unet(z, t, ctx, tap=means)
    return means.maps(map_grid(z, spec.scale))


@pytest.fixture(scope="module")
def golden():
    with safe_open(Path(__file__).parents[2] / "goldens" / "suppress_eot.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        return tensors | {key: json.loads(file.metadata()[key]) for key in ("cases", "prompts")}


def prompt_of(sd, golden, case):
    text = golden["prompts"][golden["cases"][case]["prompt"]]
    prompt = encode(sd, text, ["glasses"])
    assert list(prompt.target) == golden["cases"][case]["targets"]
    return prompt


@pytest.mark.parametrize("name", ["short", "long"])
def test_contexts(sd, golden, name):
    prompt = encode(sd, golden["prompts"][name], ["glasses"])
    assert (prompt.ctx[0] - golden[f"c.{name}"]).abs().max() < 1e-5
    weighted = suppress.soft_weight(prompt.ctx[0], (*prompt.target, *prompt.eot))
    assert (weighted - golden[f"swr.{name}"]).abs().max() < 1e-5


@pytest.mark.parametrize("case", ["half", "all", "long"])
def test_first_step_of_ito(sd, golden, case):
    """At step 10 (t = 781): maps, masks, and at each iteration the loss and the new context."""
    heads = golden["cases"][case]["heads"]
    prompt, z, t = prompt_of(sd, golden, case), golden[f"{case}.start"], 781
    spec = MapSpec(4, heads)
    attention_loss = AttentionLoss(spec, (prompt.others,), (prompt.target,), OFFICIAL, "cosine")
    with torch.no_grad():
        ref = read_maps(sd, z, t, prompt.ctx, spec)
    assert (ref.cross[0] - golden[f"{case}.cross"]).abs().max() < 1e-5
    assert (ref.self_[0] - golden[f"{case}.self"]).abs().max() < 1e-5
    words = list(range(1, prompt.eot[0]))
    thresholds = torch.tensor([DROP_THRESHOLD if i in prompt.target else KEEP_THRESHOLD for i in words])
    assert torch.equal(masks(ref.cross[:, :, words], ref.grid, thresholds)[0].bool(), golden[f"{case}.masks"])

    def loss_of(ctx):
        return attention_loss(ref, read_maps(sd, z, t, ctx, spec))

    ctx = suppress.soft_weight(prompt.ctx, (*prompt.target, *prompt.eot))
    step = suppress.SuppressEOT.official().step_length(10)
    losses = golden[f"{case}.loss"][0]
    for k in range(3 if case == "long" else len(losses)):
        loss = loss_of(ctx).item()
        assert loss == pytest.approx(losses[k].item(), rel=1e-3, abs=1e-5)
        ctx = descend(ctx, loss_of, 1, step)
        want = golden[f"{case}.context"][k]
        assert (ctx[0, : len(want)] - want).abs().max() < 2e-3 * want.std()


@pytest.mark.parametrize("side", [4, 16])
def test_masks_of_random_maps(golden, side):
    for name, threshold in (("target", DROP_THRESHOLD), ("kept", KEEP_THRESHOLD)):
        maps = golden[f"mask{side}.map"]
        got = masks(maps.T[None], (side, side), torch.full((len(maps),), threshold))
        assert torch.equal(got[0].bool(), golden[f"mask{side}.{name}"])


@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize(
    "case", ["brief", *(pytest.param(name, marks=pytest.mark.slow) for name in ("swr", "half", "all", "long2"))]
)
def test_final_latents(sd, golden, case, engine):
    """After all steps (10 in the case `brief`, 50 in the others), the error is below 2e-3 standard deviations."""
    setting = golden["cases"][case]
    method = suppress.SuppressEOT.official(
        steps=setting["steps"],
        start=setting["first_step"],
        stop=setting["end_step"],
        iterations=setting["iterations"],
        heads=setting["heads"],
    )
    prompts, z = [prompt_of(sd, golden, case)], sd.noise([setting["seed"]], 128, 128)
    runner = Reference(sd) if engine == "reference" else Fast(sd, Plan())
    *_, (original, edited) = runner.two_branches(prompts, from_noise(prompts, z), method)
    for got, want in ((original, golden[f"{case}.original"]), (edited, golden[f"{case}.edited"])):
        assert (got - want).abs().max() < 2e-3 * want.std()
    if case != "swr":  # the golden's edited branch is not just its original
        assert (golden[f"{case}.edited"] - golden[f"{case}.original"]).abs().max() > 0.1


def test_ito_changes_the_picture(golden):
    assert (golden["half.edited"] - golden["swr.edited"]).abs().max() > 0.05 * golden["swr.edited"].std()
    assert (golden["half.edited"] - golden["all.edited"]).abs().max() > 1e-3


def test_presets():
    official, paper = suppress.SuppressEOT.official(), suppress.SuppressEOT.paper()
    assert (official.start_step, official.ito_end, official.iterations, official.heads) == (10, 20, 10, 4)
    assert official.step_length(10) == pytest.approx(18.07, abs=0.01)  # the code's figures
    assert official.step_length(19) == pytest.approx(16.14, abs=0.01)
    assert (paper.start_step, paper.ito_end, paper.loss, paper.after, paper.maps_of) == (
        0,
        20,
        "l2",
        "original",
        "edited",
    )
    assert (paper.lambda_pl, paper.lambda_nl, paper.gamma, paper.iterations) == (1, 0.5, 1, 10)
    assert suppress.SuppressEOT.paper(after="swr").after == "swr"
