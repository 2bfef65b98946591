"""The training loop: resumed = unbroken, which parameters move, Ctrl-C at a bad moment, and unusable settings."""

import os
import signal
from dataclasses import replace

import pytest
import torch

from minisd import UserError
from suppress.training.concept_ablation import ConceptAblation
from suppress.training.esd import ESD
from suppress.training.objective import Training, generator, undivided
from suppress.training.parameters import GROUPS, chosen
from suppress.training.state import StateFile

ESD_SHORT = ESD(concept="glasses", iterations=4, lr=1e-3, sampling_steps=2, size=32, seed=3)
ABLATION = ConceptAblation(
    concept="with glasses",
    prompts=("a man with glasses", "a girl with glasses"),
    iterations=4,
    lr=1e-3,
    batch=2,
    pictures=3,
    drawing_steps=2,
    size=32,
)


@pytest.mark.parametrize("objective", [ESD_SHORT, ABLATION], ids=["esd", "ablation"])
def test_a_resumed_training_equals_an_unbroken_one_to_the_bit(small, tmp_path, stopped, objective):
    whole = objective.fit(small)
    state = StateFile(tmp_path / "a.state.safetensors", {"settings": "same", "prompts": ("a", "b")})
    with pytest.raises(KeyboardInterrupt, match="2 iterations kept; go on with --resume"):
        objective.fit(small, state, stopped(2))
    resumed = objective.fit(small, state)
    assert whole.notes == resumed.notes and whole.notes["iterations"] == 4
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[name])
        assert not torch.equal(tensor, small.unet.get_parameter(name))


def test_the_state_is_written_again_and_again(small, tmp_path):
    state = StateFile(tmp_path / "a.state.safetensors", {}, every=3)
    ESD_SHORT.fit(small, state)
    assert state.read().iteration == 3


@pytest.mark.parametrize("group", GROUPS)
def test_only_the_chosen_parameters_move(small, group):
    before = {name: p.clone() for name, p in small.unet.named_parameters()}
    training = Training(small, replace(ESD_SHORT, weights=group))
    training.step()
    expected = {
        "kv": {n for n in before if "attn2.to_k" in n or "attn2.to_v" in n},
        "cross": {n for n in before if "attn2" in n},
        "others": {n for n in before if "attn2" not in n and n.split(".")[0] not in NOT_OTHERS},
        "full": set(before),
    }[group]
    assert set(training.parameters) == expected == set(chosen(small.unet, group))
    moved = {name for name, p in training.unet.named_parameters() if not torch.equal(p, before[name])}
    assert moved == expected
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in small.unet.named_parameters())


NOT_OTHERS = ("time_embedding", "conv_norm_out", "conv_out")


def test_the_seed_and_the_iteration_give_what_is_random():
    first = [torch.rand(1, generator=generator(*at)).item() for at in ((0, 0), (0, 1), (1, 0), (0, -1))]
    assert len(set(first)) == 4
    assert torch.rand(1, generator=generator(0, 1)).item() == first[1]


def test_the_gradient_is_clipped_and_the_weights_decay(small):
    plain, clipped, decayed = (
        Training(small, replace(ESD_SHORT, **changes)) for changes in ({}, {"clip": 1e-9}, {"weight_decay": 0.5})
    )
    for training in (plain, clipped, decayed):
        training.step()
    name = chosen(small.unet, "cross")[0]
    old = small.unet.get_parameter(name)
    moves = [(training.parameters[name] - old).abs().max() for training in (plain, clipped)]
    assert moves[1] < 0.2 * moves[0]  # Adam's first step is lr · g / (|g| + 1e-8)
    # AdamW: W (1 - lr · decay), then the same step
    assert torch.allclose(decayed.parameters[name], plain.parameters[name] - 1e-3 * 0.5 * old, atol=1e-7)


def test_ctrl_c_inside_the_update_waits_for_its_end():
    done = []
    with pytest.raises(KeyboardInterrupt), undivided():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("the update")
    assert done == ["the update"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_bad_settings(small, sd):
    for changes, message in (
        ({"concept": " "}, "the concept is empty"),
        ({"weights": "unet"}, "weights = 'unet'; expected one of kv, cross, others, full"),
        ({"iterations": 0}, "iterations = 0; expected a whole number, 1 or more"),
        ({"lr": -1}, "lr = -1; expected a finite number"),
        ({"prompts": "a man"}, "prompts = 'a man'; expected a list of prompts"),
        ({"seed": -1}, "seed -1; expected a whole number"),
        ({"size": 33}, "multiples of 8"),
    ):
        with pytest.raises(UserError, match=message):
            replace(ESD_SHORT, **changes).fit(small)
    with pytest.raises(UserError, match=r"are torch.bfloat16; training needs float32"):
        ESD_SHORT.fit(replace(sd, unet=sd.unet.__class__(small.config.unet).bfloat16()))
    with pytest.raises(UserError, match="the loss of iteration 1 is nan; lower the learning rate"):
        replace(ESD_SHORT, lr=1e30).fit(small)


def test_a_state_of_other_settings_is_refused(small, tmp_path, stopped):
    path = tmp_path / "a.state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        ESD_SHORT.fit(small, StateFile(path, {"lr": 1, "seed": 0}), stopped(1))
    with pytest.raises(UserError, match=r"other settings \(lr = 1, now 2\); give the same ones"):
        ESD_SHORT.fit(small, StateFile(path, {"lr": 2, "seed": 0}))
    path.write_bytes(b"x" * 30)
    with pytest.raises(UserError, match="cannot be read"):
        ESD_SHORT.fit(small, StateFile(path, {}))


def test_nothing_is_kept_before_the_first_iteration(small, tmp_path, stopped):
    state = StateFile(tmp_path / "a.state.safetensors", {})
    with pytest.raises(KeyboardInterrupt) as error:
        ESD_SHORT.fit(small, state, stopped(0))
    assert not error.value.args and state.read() is None
