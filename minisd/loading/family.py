"""The family of models that a weight file belongs to, from the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping

from .weight_files import Header

SD1 = "Stable Diffusion v1.x, single file (CompVis)"
SD1_UNET = "a UNet of Stable Diffusion v1.x (diffusers)"

# (family, pieces of keys that only this family has); the first match wins
_MARKS = (
    (
        "a LoRA, not a whole model",
        ("lora_up", "lora_down", "lora_A", "lora_B", "lora.", "hada_w1", "lokr_w1"),
    ),
    ("a ControlNet, not a whole model", ("control_model.", "controlnet_", "zero_convs")),
    ("an SDXL model", ("conditioner.embedders.", "add_embedding.linear_1")),
    ("an SD 3 model", ("joint_blocks.",)),
    ("a FLUX model", ("double_blocks.", "single_transformer_blocks.")),
    ("a Stable Diffusion 2.x model", ("cond_stage_model.model.",)),
    ("a latent-consistency model, whose UNet reads the guidance", ("time_embedding.cond_proj", "time_embed_cond")),
)
# of an embedding; a whole model that was trained with an embedding may contain it too
_EMBEDDING_MARKS = ("emb_params", "string_to_param")

_TOKEN_WIDTHS = ((768,), (1024,), (1280,))  # of the text encoders of SD 1, SD 2, SDXL


def family(shapes: Mapping[str, Header]) -> str:
    """The family as a phrase: "a LoRA, not a whole model", "an SDXL model", …"""
    for name, marks in _MARKS:
        if any(mark in key for key in shapes for mark in marks):
            return name
    single = any(key.startswith("model.diffusion_model.") for key in shapes)
    cross = [h.shape for k, h in shapes.items() if k.endswith("attn2.to_k.weight")]
    conv_in = shapes.get("model.diffusion_model.input_blocks.0.0.weight") or shapes.get("conv_in.weight")
    if single or any(key.startswith("down_blocks.") for key in shapes):
        if cross and cross[0][1:] == (1024,):
            return "a Stable Diffusion 2.x model"
        if conv_in is not None and len(conv_in.shape) == 4 and conv_in.shape[1] in (8, 9):
            kind = {8: "instruct-pix2pix (8 latent channels)", 9: "inpainting (9 latent channels)"}
            return f"a Stable Diffusion model for {kind[conv_in.shape[1]]}"
        if not cross:
            return "a UNet without cross attention"
        return SD1 if single else SD1_UNET
    if any(k.startswith(("first_stage_model.", "encoder.", "decoder.", "post_quant_conv.")) for k in shapes):
        return "only a VAE"
    if any("text_model." in key for key in shapes):
        return "only a text encoder"
    if any(mark in key for key in shapes for mark in _EMBEDDING_MARKS):
        return "a textual-inversion embedding"
    if 0 < len(shapes) <= 2 and all(h.shape[-1:] in _TOKEN_WIDTHS for h in shapes.values()):
        return "a textual-inversion embedding"  # its key is any token, so that only the width tells
    return "unknown"


def has_ema(shapes: Mapping[str, Header]) -> bool:
    """Whether a single file also holds the moving average of the weights."""
    return any(key.startswith("model_ema.diffusion_model") for key in shapes)
