"""Clip skip is the hidden state before the last layers, after the final LayerNorm."""

import pytest
import torch

import minisd
from minisd import UserError
from minisd.loading.clip_skip import skip_layers
from suppress.evaluation.provenance import weights_of

pytestmark = pytest.mark.quick

PROMPTS = ["a man without glasses", ""]


def test_none_and_0_change_nothing(sd):
    assert skip_layers(sd, None) is sd and skip_layers(sd, 0) is sd
    assert minisd.load("tiny", device="cpu", clip_skip=0).encode_text(PROMPTS).equal(sd.encode_text(PROMPTS))


def test_it_is_the_hidden_state_before_the_last_layers(sd):
    """Computed layer by layer here; test_diffusers_parity.py compares with diffusers."""
    text = sd.text_encoder
    hidden = [text.embeddings(sd.token_ids(PROMPTS))]
    for layer in text.encoder.layers:
        hidden.append(layer(hidden[-1], torch.ones(77, 77, dtype=torch.bool).tril()))
    for skip in (1, 3):
        found = skip_layers(sd, skip)
        torch.testing.assert_close(found.encode_text(PROMPTS), text.final_layer_norm(hidden[-(skip + 1)]))
        assert found.config.text.layers == sd.config.text.layers - skip
    assert len(text.encoder.layers) == 4 and weights_of(skip_layers(sd, 1)) != weights_of(sd)


def test_of_a_pipeline(pipe, sd):
    assert minisd.from_pipeline(pipe, clip_skip=2).encode_text(PROMPTS).equal(skip_layers(sd, 2).encode_text(PROMPTS))


def test_an_exported_model_keeps_it(tmp_path, sd):
    found = skip_layers(sd, 2)
    again = minisd.load(minisd.export(found, tmp_path / "model"), device="cpu")
    assert again.encode_text(PROMPTS).equal(found.encode_text(PROMPTS)) and again.config == found.config


@pytest.mark.parametrize("skip", [-1, 4, 1.5, "2", True])
def test_a_layer_must_be_left(skip):
    with pytest.raises(UserError, match=r"clip_skip = .*; expected a whole number from 0 to 3"):
        minisd.load("tiny", device="cpu", clip_skip=skip)
