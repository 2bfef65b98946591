"""The names of a LoRA's tensors -> layers of the UNet and of the text encoder.

    lora_unet_mid_block_attentions_0_proj_in.lora_down.weight, .lora_up.weight, .alpha      kohya (sd-scripts)
    unet.mid_block.attentions.0.proj_in.lora_A.weight, .lora_B.weight                       diffusers with PEFT
    unet.mid_block.….attn1.processor.to_q_lora.down.weight, .up.weight                      diffusers before PEFT

kohya's names have "_" for ".", so they can only be found in a table of all layers. Some programs use CompVis' names of
the layers there (lora_unet_middle_block_1_proj_in).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import nn

from ..unet import UNet
from . import compvis


class Layer(NamedTuple):
    part: str  # "unet" or "text_encoder"
    name: str  # "mid_block.attentions.0.proj_in"


_FACTOR = re.compile(r"(.+?)(?:\.lora_|[._]lora\.|\.lora_linear_layer\.)(down|up|A|B)(?:\.default)?\.weight")
_ALPHA = re.compile(r"(.+?)(?:\.lora)?\.alpha")


def read_key(key: str) -> tuple[str, str] | None:
    """(the layer's name in the file, "down", "up" or "alpha"); None for a name that is not of a LoRA."""
    key = key.replace(".processor.", ".")
    if match := _FACTOR.fullmatch(key):
        return match[1], {"A": "down", "B": "up"}.get(match[2], match[2])
    match = _ALPHA.fullmatch(key)
    return (match[1], "alpha") if match else None


def layers(modules: Mapping[str, nn.Module]) -> dict[str, Layer]:
    """Every spelling of a layer's name in files -> the layer. modules: the UNet and the text encoder by their names."""
    found: dict[str, Layer] = {}
    for part in ("unet", "text_encoder"):
        module = modules[part]
        spellings = _unet_spellings(module) if isinstance(module, UNet) else _text_spellings
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                found |= dict.fromkeys(spellings(name), Layer(part, name))
    return found


def _unet_spellings(unet: UNet):
    c = unet.config
    rules = compvis.unet_rules(c.layers, len(c.channels), c.attention)

    def spellings(name: str) -> Iterator[str]:
        for each in dict.fromkeys((name, name.replace("to_out.0", "to_out"))):
            yield from (each, f"unet.{each}", f"lora_unet_{each.replace('.', '_')}")
        single = compvis.rename(f"{name}.weight", rules).removesuffix(".weight")
        yield f"lora_unet_{single.replace('.', '_')}"

    return spellings


def _text_spellings(name: str) -> Iterator[str]:
    old = re.sub(r"self_attn\.([qkv])_proj", r"self_attn.to_\1", name).replace("self_attn.out_proj", "self_attn.to_out")
    for each in dict.fromkeys((name, old)):
        yield from (f"text_encoder.text_model.{each}", f"text_encoder.{each}")
    # sd-scripts writes te1 for the first text encoder of a model with two; some programs write it for SD v1, too
    yield from (f"{prefix}_text_model_{name.replace('.', '_')}" for prefix in ("lora_te", "lora_te1"))
