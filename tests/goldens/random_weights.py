"""Random weights that any program can make again from the names and shapes of its tensors alone.

The full-size goldens (sd14.safetensors) were made with these weights.  They stand in for a checkpoint
of several gigabytes: whoever has a module whose state-dict names and shapes are those of the checkpoint
files can call `fill` and must then get the outputs stored there.

The rule, for each tensor on its own: seed a CPU generator with the CRC-32 of the name, draw
torch.randn(shape) in float32, scale by the kind of tensor, round to float16.

    kind                                                     value
    name ends in `embedding.weight`                          0.02 * randn
    two or more dimensions                                   GAIN / sqrt(fan_in) * randn
    one dimension, `norm` in the name and ends in `weight`   1 + 0.1 * randn
    anything else (biases)                                   0.02 * randn

fan_in is the product of all dimensions but the first.  Names: for UNet and VAE the diffusers state-dict
names (VAE attention as to_q, to_k, to_v, to_out.0, all of them matrices); for the text encoder those of
the checkpoint file, which begin with `text_model.`.  Needs nothing but torch.
"""

import math
import zlib
from collections.abc import Mapping

import torch
from torch import Tensor

GAIN = 1.0
EMBEDDING_STD = 0.02
BIAS_STD = 0.02
NORM_STD = 0.1


def noise(name: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 values that depend on the name and the shape only."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))


def tensor_for(name: str, shape: tuple[int, ...]) -> Tensor:
    """The float16 weight of this name and shape."""
    values = noise(name, shape)
    if name.endswith("embedding.weight"):
        values *= EMBEDDING_STD
    elif len(shape) >= 2:
        values *= GAIN / math.sqrt(math.prod(shape[1:]))
    elif "norm" in name and name.endswith("weight"):
        values = 1 + NORM_STD * values
    else:
        values *= BIAS_STD
    return values.to(torch.float16)


def fill(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    """A state dict for these names and shapes; the values are rounded to float16 whatever the dtype."""
    return {name: tensor_for(name, tuple(shape)).to(dtype) for name, shape in shapes.items()}
