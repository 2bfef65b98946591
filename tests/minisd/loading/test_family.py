"""The family of a file, from its keys: wrong files that people often download are refused with their family's name."""

import pytest
import torch
from checkpoints import tiny_compvis, tiny_tensors, write

import minisd
from minisd import CheckpointError
from minisd.loading.family import SD1, SD1_UNET, family, has_ema
from minisd.loading.weight_files import Header

pytestmark = pytest.mark.quick

UNET, VAE = "model.diffusion_model.", "first_stage_model."
TEXT = "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight"


def compvis(channels=4, width=768, **more):
    """The names and shapes by which single files are told apart."""
    return {
        f"{UNET}input_blocks.0.0.weight": (320, channels, 3, 3),
        f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, width),
        f"{VAE}decoder.conv_in.weight": (512, 4, 3, 3),
        TEXT: (768, 768),
        **more,
    }


FILES = {
    "LoRA, kohya": ("LoRA", {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (4, 320, 1, 1)}),
    "LoRA, peft": ("LoRA", {"unet.down_blocks.0.attentions.0.proj_in.lora_A.weight": (4, 320)}),
    "LoRA, old diffusers": (
        "LoRA",
        {"down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight": (4, 320)},
    ),
    "LoRA, diffusers": ("LoRA", {"unet.mid_block.attentions.0.to_q.lora.down.weight": (4, 320)}),
    "LoHa": ("LoRA", {"lora_unet_mid_block_attentions_0_proj_in.hada_w1_a": (320, 4)}),
    "ControlNet": ("ControlNet", {"control_model.input_blocks.0.0.weight": (320, 4, 3, 3)}),
    "ControlNet, whole": ("ControlNet", compvis(**{"control_model.zero_convs.0.0.weight": (320, 320, 1, 1)})),
    "ControlNet, diffusers": ("ControlNet", {"controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3)}),
    "SDXL": ("SDXL", {"conditioner.embedders.0.transformer.x": (1,), f"{UNET}input_blocks.0.0.weight": (320, 4, 3, 3)}),
    "SDXL, diffusers": ("SDXL", {"add_embedding.linear_1.weight": (1280, 2816), "conv_in.weight": (320, 4, 3, 3)}),
    "SD 2": ("2.x", compvis(width=1024, **{"cond_stage_model.model.ln_final.weight": (1024,)})),
    "SD 2 UNet": ("2.x", {"down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (320, 1024)}),
    "SD 3": ("SD 3", {f"{UNET}joint_blocks.0.context_block.mlp.fc1.weight": (1, 1)}),
    "FLUX": ("FLUX", {"double_blocks.0.img_mod.lin.weight": (1, 1)}),
    "inpainting": ("inpainting", compvis(channels=9)),
    "inpainting UNet": (
        "inpainting",
        {
            "conv_in.weight": (320, 9, 3, 3),
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        },
    ),
    "instruct-pix2pix": ("instruct-pix2pix", compvis(channels=8)),
    "VAE": (
        "only a VAE",
        {"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.up.0.block.0.conv1.weight": (1, 1, 3, 3)},
    ),
    "VAE, diffusers": ("only a VAE", {"decoder.up_blocks.0.resnets.0.conv1.weight": (1, 1, 3, 3)}),
    "VAE, prefixed": ("only a VAE", {f"{VAE}encoder.conv_in.weight": (128, 3, 3, 3)}),
    "text encoder": ("only a text encoder", {"text_model.embeddings.token_embedding.weight": (49408, 768)}),
    "UNet, diffusers": (
        SD1_UNET,
        {
            "conv_in.weight": (320, 4, 3, 3),
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        },
    ),
    "unconditional UNet": ("without cross attention", {"down_blocks.0.resnets.0.conv1.weight": (128, 128, 3, 3)}),
    "textual inversion": ("textual-inversion", {"emb_params": (2, 768)}),
    "textual inversion, hub": ("textual-inversion", {"<cat-toy>": (768,)}),
    "textual inversion, SDXL": ("textual-inversion", {"clip_l": (8, 768), "clip_g": (8, 1280)}),
    "something": ("unknown", {"layer.weight": (10, 10)}),
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("ending", [".safetensors", ".ckpt"])
def test_other_families_are_refused_by_name(tmp_path, what, ending):
    name, shapes = FILES[what]
    file = write(tmp_path / f"m{ending}", {k: torch.zeros(1).expand(s).clone() for k, s in shapes.items()})
    with pytest.raises(CheckpointError) as caught:
        minisd.load(file, device="cpu")
    message = str(caught.value)
    assert f"{file} looks like" in message and name in message
    assert f"expected {SD1}" in message and sorted(shapes)[0] in message
    assert ("Give the folder" in message) == (name == SD1_UNET)


@pytest.mark.parametrize("shape", [(), (5,)])
def test_cross_attention_that_is_no_matrix_is_no_crash(shape):
    key = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    assert family({key: Header(shape, "F32")}) == SD1_UNET


def test_textual_inversion_of_the_webui(tmp_path):
    file = tmp_path / "m.pt"
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": torch.zeros(2, 768)}, "name": "x"}, file)
    with pytest.raises(CheckpointError, match="textual-inversion"):
        minisd.load(file, device="cpu")


def headers(tensors):
    return {k: Header(tuple(t.shape), "F16") for k, t in tensors.items()}


def test_the_right_ones():
    assert family(headers(tiny_compvis())) == SD1
    assert family(headers(tiny_tensors("unet"))) == SD1_UNET
    assert family(headers(tiny_tensors("vae"))) == "only a VAE"
    assert family(headers(tiny_tensors("text_encoder"))) == "only a text encoder"
    assert family({k: Header(s, "F32") for k, s in compvis().items()}) == SD1
    assert family({}) == "unknown"


def test_ema_is_seen():
    assert has_ema(headers(tiny_compvis(ema=True)))
    assert not has_ema(headers(tiny_compvis()))
    assert not has_ema({"model_ema.decay": Header((), "F32"), "model_ema.num_updates": Header((), "I32")})


def test_a_part_of_another_family_in_a_folder_is_named(tmp_path):
    """The VAE's file is a ControlNet's: the error says what each file looks like."""
    from checkpoints import put, tiny_folder

    folder = tiny_folder(tmp_path / "model")
    put(
        folder / "vae" / "diffusion_pytorch_model.safetensors",
        {"controlnet_cond_embedding.conv_in.weight": torch.zeros(16, 3, 3, 3)},
    )
    with pytest.raises(CheckpointError, match=r"vae.*looks like a ControlNet"):
        minisd.load(folder, device="cpu")
