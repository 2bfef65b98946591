"""A LoRA changes the layers that it names by exactly scale · α/r · B A, and nothing else, in every spelling."""

import json
from copy import deepcopy

import pytest
import torch
from checkpoints import modules
from safetensors.torch import save_file

import minisd
from minisd import CheckpointError, UserError
from minisd.loading.lora import open_lora, read_specs
from minisd.loading.lora_names import Layer, layers
from suppress.edits.fingerprint import fingerprint
from suppress.evaluation.provenance import weights_of

pytestmark = pytest.mark.quick

TO_K = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
TO_OUT = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
Q_PROJ = "encoder.layers.1.self_attn.q_proj"
R = 3


@pytest.fixture(scope="module")
def parts():
    """A UNet and a text encoder with few and narrow layers, and random weights."""
    torch.manual_seed(0)
    unet = minisd.UNetConfig(channels=(32, 64), attention=(True, True), layers=1, context_dim=192)
    text = minisd.TextConfig(vocab_size=9, dim=32, hidden=64, layers=2, heads=2)
    modules = {"unet": minisd.UNet(unet), "text_encoder": minisd.TextEncoder(text)}
    for module in modules.values():
        for weight in module.requires_grad_(False).parameters():
            weight.normal_()  # those of the embeddings are not set yet
    return modules


def factors(module, name, rank=R, seed=0):
    """(A, B) for a layer: A has the layer's kernel."""
    shape = module.get_parameter(f"{name}.weight").shape
    random = torch.Generator().manual_seed(seed)
    down = torch.randn(rank, *shape[1:], generator=random)
    return down, torch.randn(shape[0], rank, *[1] * (len(shape) - 2), generator=random)


def write(path, tensors, metadata=None):
    save_file({key: x.contiguous() for key, x in tensors.items()}, path, metadata)
    return str(path)


def changed(parts, path, scale=1.0):
    """The weights that the LoRA changes: Layer -> (before, after)."""
    copies = {part: deepcopy(module) for part, module in parts.items()}
    open_lora(path, scale, parts).merge(copies)
    found = {}
    for part, module in parts.items():
        for (name, before), weight in zip(module.state_dict().items(), copies[part].state_dict().values(), strict=True):
            if not torch.equal(before, weight):
                found[Layer(part, name.removesuffix(".weight"))] = before, weight
    return found


def refused(parts, path, *words):
    with pytest.raises(CheckpointError) as caught:
        open_lora(str(path), 1.0, parts)
    for word in words:
        assert word in str(caught.value)


def test_loading_adds_exactly_the_product(tmp_path, sd):
    """The README's claim, on a whole model: two layers change by scale · α/r · B A, all others by no bit."""
    tensors, products = {}, {}
    spellings = ((Layer("unet", TO_K), "lora_unet_"), (Layer("text_encoder", Q_PROJ), "lora_te_text_model_"))
    for layer, prefix in spellings:
        down, up = factors(getattr(sd, layer.part), layer.name)
        key = prefix + layer.name.replace(".", "_")
        tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(2.0)}
        products[layer] = (0.8 * 2.0 / R) * (up @ down)
    path = write(tmp_path / "style.safetensors", tensors)
    found = minisd.load("tiny", device="cpu", lora=f"{path}:0.8")
    for part, module in modules(sd).items():
        loaded = modules(found)[part].state_dict()
        for name, weight in module.state_dict().items():
            product = products.get(Layer(part, name.removesuffix(".weight")))
            assert torch.equal(loaded[name], weight if product is None else weight + product)
    assert weights_of(found) != weights_of(sd)
    assert fingerprint(found.unet, torch.float32) != fingerprint(sd.unet, torch.float32)


@pytest.mark.parametrize(
    "name",
    [
        "conv_in",
        "down_blocks.0.downsamplers.0.conv",
        "up_blocks.0.upsamplers.0.conv",
        "up_blocks.1.resnets.0.conv_shortcut",
        "mid_block.resnets.1.time_emb_proj",
        "mid_block.attentions.0.proj_in",
        "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
        TO_OUT,
    ],
)
def test_every_kind_of_layer(tmp_path, parts, name):
    """Linear layers, 1x1 and 3x3 convolutions. Without an α in the file, α is r."""
    down, up = factors(parts["unet"], name)
    key = "lora_unet_" + name.replace(".", "_")
    path = write(tmp_path / "l.safetensors", {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up})
    [(layer, (before, after))] = changed(parts, path, scale=0.5).items()
    assert layer == Layer("unet", name)
    product = torch.einsum("or,ri->oi", up.reshape(-1, R), 0.5 * down.reshape(R, -1)).reshape(before.shape)
    torch.testing.assert_close(after - before, product, rtol=1e-4, atol=1e-5)


PAIRS = {  # the layer's name in the file, and the endings of A and B
    "PEFT": (TO_K, f"unet.{TO_K}", ".lora_A.weight", ".lora_B.weight"),
    "PEFT, adapter": (TO_K, f"unet.{TO_K}", ".lora_A.default.weight", ".lora_B.default.weight"),
    "diffusers": (TO_K, f"unet.{TO_K}", ".lora.down.weight", ".lora.up.weight"),
    "processors": (TO_K, "unet." + TO_K.replace("to_k", "processor.to_k"), "_lora.down.weight", "_lora.up.weight"),
    "bare": (TO_K, TO_K.replace("to_k", "processor.to_k"), "_lora.down.weight", "_lora.up.weight"),
    "to_out": (
        TO_OUT,
        "unet." + TO_OUT.replace("to_out.0", "processor.to_out"),
        "_lora.down.weight",
        "_lora.up.weight",
    ),
    "CompVis": (
        TO_K,
        "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k",
        ".lora_down.weight",
        ".lora_up.weight",
    ),
    "text, PEFT": (Q_PROJ, f"text_encoder.text_model.{Q_PROJ}", ".lora_A.weight", ".lora_B.weight"),
    "text, transformers 5": (Q_PROJ, f"text_encoder.{Q_PROJ}", ".lora_A.weight", ".lora_B.weight"),
    "text, diffusers": (
        Q_PROJ,
        f"text_encoder.text_model.{Q_PROJ}",
        ".lora_linear_layer.down.weight",
        ".lora_linear_layer.up.weight",
    ),
    "text, old": (
        Q_PROJ,
        "text_encoder.text_model.encoder.layers.1.self_attn.to_q",
        "_lora.down.weight",
        "_lora.up.weight",
    ),
    "text, te1": (
        Q_PROJ,
        "lora_te1_text_model_encoder_layers_1_self_attn_q_proj",
        ".lora_down.weight",
        ".lora_up.weight",
    ),
}


@pytest.mark.parametrize("name, key, a, b", PAIRS.values(), ids=list(PAIRS))
def test_every_spelling(tmp_path, parts, name, key, a, b):
    layer = Layer("text_encoder" if name == Q_PROJ else "unet", name)
    down, up = factors(parts[layer.part], name)
    path = write(tmp_path / "l.safetensors", {key + a: down, key + b: up})
    [(found, (before, after))] = changed(parts, path).items()
    assert found == layer and torch.equal(after, before + up @ down)


def test_no_two_layers_share_a_name(parts, sd):
    """The table is a dict: of two layers with one spelling, one would be lost."""
    for each in (parts, modules(sd)):
        known = layers(each)
        convolutions_and_linears = [
            Layer(part, name)
            for part in ("unet", "text_encoder")
            for name, m in each[part].named_modules()
            if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)
        ]
        assert set(known.values()) == set(convolutions_and_linears)
        for prefix in ("lora_unet_", "lora_te_", "unet.", "text_encoder.text_model."):
            of = [layer for key, layer in known.items() if key.startswith(prefix)]
            assert len(set(of)) == sum(layer.part == of[0].part for layer in convolutions_and_linears)


def test_alpha_in_the_metadata_of_diffusers(tmp_path, parts):
    """diffusers writes PEFT's settings beside the tensors: α, and other α for some layers."""
    down, up = factors(parts["unet"], TO_K)
    tensors = {f"unet.{TO_K}.lora_A.weight": down, f"unet.{TO_K}.lora_B.weight": up}

    def difference(**settings):
        about = {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in settings.items()})}
        [(before, after)] = changed(parts, write(tmp_path / "l.safetensors", tensors, about)).values()
        return after - before

    for settings, factor in [
        ({"lora_alpha": 6, "r": R}, 2),
        ({"lora_alpha": 6, "alpha_pattern": {"attn2.to_k": 1.5}}, 0.5),
        ({"lora_alpha": 6, "alpha_pattern": {"k": 1.5}}, 2),  # the end of a name, at a dot
        ({"use_rslora": False}, 1),
    ]:
        torch.testing.assert_close(difference(**settings), factor * up @ down, rtol=1e-5, atol=1e-5)
    for settings, text in [
        ({"use_rslora": True}, "rsLoRA or DoRA"),
        ({"lora_alpha": "much"}, "lora_alpha = 'much'"),
        ({"alpha_pattern": 3}, "cannot be read"),
    ]:
        with pytest.raises(CheckpointError, match=text):
            difference(**settings)


def test_scale_0_and_two_files(tmp_path, parts):
    down, up = factors(parts["unet"], TO_K)
    tensors = {f"unet.{TO_K}.lora_A.weight": down, f"unet.{TO_K}.lora_B.weight": up}
    path = write(tmp_path / "l.safetensors", tensors)
    assert changed(parts, path, scale=0.0) == {}
    copies = {part: deepcopy(module) for part, module in parts.items()}
    for scale in (1.0, -1.0):
        open_lora(path, scale, parts).merge(copies)
    weight = f"{TO_K}.weight"
    torch.testing.assert_close(copies["unet"].get_parameter(weight), parts["unet"].get_parameter(weight))


def test_half_precision_is_computed_in_float32(tmp_path, parts):
    half = {"unet": deepcopy(parts["unet"]).half(), "text_encoder": parts["text_encoder"]}
    weight = half["unet"].get_parameter(f"{TO_K}.weight")
    before, (down, up) = weight.clone(), factors(parts["unet"], TO_K)
    path = write(tmp_path / "l.safetensors", {f"{TO_K}.lora_A.weight": down, f"{TO_K}.lora_B.weight": up})
    open_lora(path, 1.0, half).merge(half)
    assert torch.equal(weight, (before.float() + up @ down).half())


def test_pickles(tmp_path, parts):
    down, up = factors(parts["unet"], TO_K)
    torch.save({f"unet.{TO_K}.lora_A.weight": down, f"unet.{TO_K}.lora_B.weight": up}, tmp_path / "l.bin")
    [(before, after)] = changed(parts, str(tmp_path / "l.bin")).values()
    assert torch.equal(after, before + up @ down)


# ---------------------------------------------------------------- what does not fit

A, B = torch.zeros(2, 192), torch.zeros(64, 2)  # of attn2.to_k, whose output has 64 channels
KEY = f"unet.{TO_K}"
WRONG = [
    ({f"{KEY}.lora_A.weight": A}, "its other factor is missing (up)"),
    ({f"{KEY}.alpha": torch.tensor(1.0)}, "its other factor is missing (down)"),
    (
        {f"{KEY}.lora_A.weight": A, f"{KEY}.lora_B.weight": torch.zeros(64, 3)},
        "the ranks of A (2, 192) and B (64, 3) differ",
    ),
    ({f"{KEY}.lora_A.weight": A[:0], f"{KEY}.lora_B.weight": B[:, :0]}, "the ranks of A (0, 192) and B (64, 0) differ"),
    ({f"{KEY}.lora_A.weight": A[0], f"{KEY}.lora_B.weight": B}, "the ranks of A (192,) and B (64, 2) differ"),
    (
        {f"{KEY}.lora_A.weight": torch.zeros(2, 768), f"{KEY}.lora_B.weight": B},
        "B A has the shape (64, 768); this layer has",
    ),
    ({f"{KEY}.lora_A.weight": A.int(), f"{KEY}.lora_B.weight": B}, "numbers of the kind I32"),
    (
        {f"{KEY}.lora_A.weight": A, f"{KEY}.lora_B.weight": B, f"{KEY}.alpha": torch.ones(2)},
        "alpha has the shape (2,); expected one number",
    ),
    (
        {f"{KEY}.lora_A.weight": A, f"{KEY}.lora_B.weight": B, f"{TO_K}.lora_A.weight": A.clone()},
        "for the same layer",
    ),
    (
        {"unet.mid.lora_A.weight": A, "more": B, "bundle_emb.x.string_to_param.*": B.clone()},
        "no tensor of a LoRA (3): bundle_emb.x.string_to_param.*, more, unet.mid.lora_A.weight",
    ),
    ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": A}, "it looks like an SDXL LoRA"),
    ({"lora_unet_mid_block_attentions_0_proj_in.hada_w1_a": A}, "it looks like LoHa"),
    (
        {f"{KEY}.lora_magnitude_vector": torch.zeros(64)},
        "it looks like DoRA",
    ),
    ({"model.diffusion_model.input_blocks.1.1.attn2.to_k.weight": B}, "it looks like Stable Diffusion v1.x"),
    ({}, "does not fit this model as a LoRA"),
]


@pytest.mark.parametrize("tensors, text", WRONG, ids=[text for _, text in WRONG])
def test_what_does_not_fit_is_told(tmp_path, parts, tensors, text):
    refused(parts, write(tmp_path / "l.safetensors", tensors), "does not fit this model as a LoRA", text)


def test_numbers_that_are_none(tmp_path, parts):
    down, up = factors(parts["unet"], TO_K)
    down[1, 2] = torch.nan
    path = write(tmp_path / "l.safetensors", {f"{KEY}.lora_A.weight": down, f"{KEY}.lora_B.weight": up})
    with pytest.raises(CheckpointError, match=r"infinite values or NaN in unet\.mid_block"):
        changed(parts, path)


def test_specs(tmp_path):
    assert read_specs(None) == read_specs([]) == []
    assert read_specs("a.safetensors") == read_specs(["a.safetensors:1"]) == [("a.safetensors", 1.0)]
    assert read_specs(tmp_path / "x") == [(str(tmp_path / "x"), 1.0)]
    assert read_specs(["a:0.8", r"C:\b.safetensors", "c:-1e-1"]) == [
        ("a", 0.8),
        (r"C:\b.safetensors", 1.0),
        ("c", -0.1),
    ]
    (tmp_path / "odd:3").touch()
    assert read_specs(str(tmp_path / "odd:3")) == [(str(tmp_path / "odd:3"), 1.0)]


@pytest.mark.parametrize("lora", [3, [3], [None], b"x", "a.safetensors:much", "a:nan", "a:", ["a", ["b"]]], ids=repr)
def test_specs_that_are_none(lora):
    with pytest.raises(UserError, match="lora = "):
        minisd.load("tiny", device="cpu", lora=lora)


@pytest.mark.parametrize("name", ["nowhere.safetensors", "nul\0", "", "x" * 5000, "tests"])
def test_files_that_are_not_there(name):
    with pytest.raises(UserError, match=r"for a LoRA: expected a \.safetensors"):
        minisd.load("tiny", device="cpu", lora=name)
