"""The text encoder, compared with transformers' CLIPTextModel on the same weights."""

import json
import os
import subprocess
import sys

import pytest
import torch
from checkpoints import TINY, V1_4, change_json, tiny_folder
from hypothesis import given
from hypothesis import strategies as st

import minisd
from minisd import CheckpointError, UserError
from minisd.config import TextConfig
from minisd.loading.config_files import text_config
from minisd.text import TextEncoder

PROMPTS = ["a man without glasses", "", "a woman with a hat and a beard, as a pencil sketch"]


def references(folder, dtype=torch.float32):
    from transformers import CLIPTextModel

    return CLIPTextModel.from_pretrained(folder, dtype=dtype).eval()


@torch.no_grad()
def test_tiny_is_equal_to_transformers(sd):
    want = references(TINY / "text_encoder")(input_ids=sd.token_ids(PROMPTS)).last_hidden_state
    assert (sd.encode_text(PROMPTS) - want).abs().max() < 1e-5


@torch.no_grad()
def test_float16_is_as_close_as_transformers_in_float16(sd):
    half = minisd.load("tiny", device="cpu", dtype=torch.float16)
    exact = sd.encode_text(PROMPTS)
    theirs = references(TINY / "text_encoder", torch.float16)(input_ids=sd.token_ids(PROMPTS)).last_hidden_state
    ours = half.encode_text(PROMPTS)
    assert ours.dtype == torch.float16
    # half precision rounds both: their distances to float32 must be similar, and they must be equal to rounding
    assert (ours.float() - exact).abs().max() < 1.5 * (theirs.float() - exact).abs().max()
    assert (ours.float() - theirs.float()).norm() / exact.norm() < 2e-3


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_vit_l_14_with_random_weights(dtype):
    """The text encoder of SD v1.4 in full size: 12 layers of width 768."""
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    theirs = CLIPTextModel(CLIPTextConfig(**V1_4["text_encoder"])).to(dtype).eval()
    state = {k.removeprefix("text_model."): t for k, t in theirs.state_dict().items() if "position_ids" not in k}
    ours = TextEncoder(text_config(V1_4["text_encoder"]))
    ours.load_state_dict(state, strict=True, assign=True)
    ids = torch.randint(0, 49406, (2, 77), generator=torch.Generator().manual_seed(1))
    want = theirs(input_ids=ids).last_hidden_state.float()
    error = (ours(ids).float() - want).abs().max()
    assert error < (1e-5 if dtype == torch.float32 else 2e-2), float(error)


@torch.no_grad()
def test_hidden_positions_are_a_mask_in_transformers(sd):
    """No token reads them in any layer. The causal mask stays."""
    ids = sd.token_ids(PROMPTS)
    mask = torch.ones_like(ids)
    mask[:, [2, 4]] = 0
    want = references(TINY / "text_encoder")(input_ids=ids, attention_mask=mask).last_hidden_state
    got = sd.encode_text(PROMPTS, hidden=(2, 4))
    assert (got - want).abs().max() < 1e-5
    assert (got - sd.encode_text(PROMPTS)).abs().max() > 0.1


@pytest.mark.parametrize("hidden", [(0,), (77,), (-1,), (1.5,), (True,)])
def test_positions_that_cannot_be_hidden(sd, hidden):
    with pytest.raises(UserError, match="expected positions from 1 to 76"):
        sd.encode_text("a man", hidden=hidden)


def test_gelu_of_later_clips():
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    fields = sizes | {"vocab_size": 20, "hidden_act": "gelu"}
    torch.manual_seed(0)
    theirs = CLIPTextModel(CLIPTextConfig(**fields, bos_token_id=0, eos_token_id=1)).eval()
    ours = TextEncoder(text_config(fields))
    ours.load_state_dict(
        {k.removeprefix("text_model."): t for k, t in theirs.state_dict().items() if "position_ids" not in k}
    )
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(ours(ids), theirs(input_ids=ids).last_hidden_state, atol=1e-5)


# ---------------------------------------------------------------------- configs


def test_absent_fields_have_the_defaults_of_the_library_that_wrote_them():
    from transformers import CLIPTextConfig

    theirs, ours = CLIPTextConfig(), text_config({})
    assert (ours.dim, ours.heads, ours.layers) == (theirs.hidden_size, theirs.num_attention_heads, 12)
    assert (ours.hidden, ours.vocab_size, ours.eps) == (theirs.intermediate_size, theirs.vocab_size, 1e-5)
    assert (ours.positions, ours.activation) == (theirs.max_position_embeddings, theirs.hidden_act)
    assert TextConfig() == text_config(V1_4["text_encoder"])


# fields with an effect in transformers: names of code, of packages, and sizes
HOSTILE = {
    "attn_implementation": "somebody/kernel",
    "_attn_implementation": "somebody/kernel",
    "quantization_config": {"quant_method": "gptq", "bits": 4},
    "auto_map": {"AutoModel": "code.Model"},
    "trust_remote_code": True,
    "torch_dtype": "float4",
    "id2label": 5,
    "problem_type": [],
}
RUN = """
import socket, sys
def refuse(*args, **kwargs):
    raise SystemExit("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import minisd
sd = minisd.load(sys.argv[1], device="cpu")
sd.encode_text("a man")
print(sorted({name.split(".")[0] for name in sys.modules} & {"transformers", "kernels", "huggingface_hub", "code"}))
"""


def test_no_code_and_no_network_from_a_config(sd, tmp_path):
    """Fields that name code, kernels or packages have no effect, and nothing is downloaded."""
    folder = tiny_folder(tmp_path / "model")
    change_json(folder / "text_encoder" / "config.json", **HOSTILE)
    change_json(folder / "tokenizer" / "tokenizer_config.json", auto_map={"AutoTokenizer": ["code.T", None]})
    done = subprocess.run([sys.executable, "-c", RUN, str(folder)], capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize(
    "fields",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": "12"},
        {"num_attention_heads": 0},
        {"num_attention_heads": 7},
        {"hidden_size": 10**30},
        {"vocab_size": -1},
        {"max_position_embeddings": 5},
        {"hidden_act": "relu"},
        {"hidden_act": ["gelu"]},
        {"layer_norm_eps": float("nan")},
        {"layer_norm_eps": "x"},
        {"intermediate_size": 1.5},
        {"model_type": ["clip"]},
    ],
    ids=json.dumps,
)
def test_odd_values_name_their_field(tmp_path, fields):
    folder = tiny_folder(tmp_path / "model")
    change_json(folder / "text_encoder" / "config.json", **fields)
    with pytest.raises(CheckpointError, match=r"text_encoder|heads"):
        minisd.load(folder, device="cpu")


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from(sorted(V1_4["text_encoder"])), values, max_size=8))
def test_any_value_is_read_or_refused(fields):
    try:
        text_config(V1_4["text_encoder"] | fields)
    except CheckpointError as error:
        assert "text_encoder/config.json" in str(error)
