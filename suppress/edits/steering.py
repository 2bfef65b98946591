"""Steering vectors: the direction in which a concept moves the outputs of the cross layers, and the file that keeps it.

For each pair of prompts, one with the concept and one without, both pictures are drawn from the same noise. With h the
output of a cross layer ℓ at step i (after W_out), in the pass with the prompt,

    s_ℓi = d / |d|,    d = mean over pairs and pixels of  h(with) - h(without)

(CASteer, Gaintseva et al. 2025.) A file of vectors belongs to one model and one number of steps: `read` compares.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from safetensors import SafetensorError
from torch import Tensor, nn

from minisd import Part, Site, StableDiffusion, UNet, UserError, ddim
from minisd.attention import Attention

from .fingerprint import dtype_name, fingerprint, fingerprints
from .taps import CrossTap
from .tensor_file import existing, read_tensors, write_tensors

FORMAT = "minisd steering vectors 1"
AT_ONCE = 4  # pairs drawn at once; this bounds the memory
Pairs = Sequence[tuple[str, str]]  # (prompt with the concept, the same without it)


@dataclass(frozen=True)
class About:
    """What the vectors were made of; a file holds it as metadata."""

    concept: str
    pairs: tuple[tuple[str, str], ...]
    steps: int
    guidance: float
    fingerprints: Mapping[str, str]  # of the UNet, by dtype: a file of float32 also serves half precision


@dataclass(frozen=True, eq=False)
class Vectors:
    about: About
    sites: Mapping[str, Tensor]  # name of a cross site -> s (steps,C), float32, each of length 1


@torch.no_grad()
def find_vectors(
    sd: StableDiffusion,
    concept: str,
    pairs: Pairs,
    steps: int = 50,
    guidance: float = 7.5,
    height: int | None = None,
    width: int | None = None,
) -> Vectors:
    """Draws all pairs, which costs as much as their pictures. Pair k is drawn from the noise of seed k.

    height, width: pixels (default: the size on which the model was trained).
    """
    if not pairs:
        raise UserError("pairs = []; expected at least one pair of prompts, with the concept and without it")
    size = sd.check_size(*(sd.side if value is None else value for value in (height, width)))
    differences: dict[str, Tensor] = {}
    for k in range(0, len(pairs), AT_ONCE):
        some = pairs[k : k + AT_ONCE]
        texts = [text for pair in zip(*some, strict=True) for text in pair]  # those with the concept first
        noise = sd.noise(range(k, k + len(some)), *size).repeat(2, 1, 1, 1)
        for name, means in _outputs(sd, texts, noise, steps, guidance).items():
            with_it, without = means.chunk(2, dim=1)
            differences[name] = differences.get(name, 0) + (with_it - without).sum(dim=1)
    about = About(
        concept, tuple((with_it, without) for with_it, without in pairs), steps, guidance, fingerprints(sd.unet)
    )
    return Vectors(about, {name: F.normalize(d, dim=-1) for name, d in differences.items()})


def _outputs(sd: StableDiffusion, texts: Sequence[str], z: Tensor, steps: int, guidance: float) -> dict[str, Tensor]:
    """The mean output of each cross site while the texts are drawn: site name -> (steps,B,C)."""
    means = MeanOutputs()
    schedule = ddim.Schedule(steps, sd.config.schedule)
    ctx, uncond = sd.encode_text(texts), sd.encode_text("")
    for i, t in enumerate(schedule.t):
        eps = sd.predict(z, t, ctx, uncond, guidance, tap=Part(means, slice(len(z), None)))
        z = ddim.step(z, eps, schedule.alpha[i], schedule.alpha[i + 1])
    return {name: torch.stack(outputs) for name, outputs in means.found.items()}


class MeanOutputs(CrossTap):
    """Keeps the mean over the pixels of each cross site's output after W_out: (B,C) for each pass, float32."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[Tensor]] = {}

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        out = F.scaled_dot_product_attention(q, k, v)
        mean = rearrange(out.mean(dim=2), "b h d -> b (h d)")  # W_out is linear: the mean may come first
        self.found.setdefault(site.name, []).append(attn.to_out[0](mean).float())
        return out


class Steered(nn.Module):
    """W_out of a cross layer, and after it the removal of directions from its output h, position by position:

        h' = h - β max(⟨h, s⟩, 0) s,    then rescaled to the length of h

    vectors: s (B,n,steps,C), n directions for each sample, removed one after the other; a direction of zeros removes
    nothing. The samples of a pass are blocks of B samples, each in the same order (suppress/engine/batch.py).
    clock: says the step.
    """

    def __init__(self, layer: nn.Linear, vectors: Tensor, beta: float, clock: Clock):
        super().__init__()
        self.layer, self.vectors, self.beta, self.clock = layer, vectors, beta, clock

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        h = out.float()  # (blocks · B,N,C); in half precision, a sum of squares could overflow
        length, blocks = h.norm(dim=-1, keepdim=True), len(h) // len(self.vectors)
        for s in self.vectors[:, :, self.clock.step].repeat(blocks, 1, 1).unbind(1):
            along = (h * s[:, None]).sum(dim=-1, keepdim=True).clamp(min=0)  # (blocks · B,N,1)
            h = h - self.beta * along * s[:, None]
        return (h * (length / h.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(h.dtype).tiny))).to(out.dtype)


@dataclass
class Clock:
    """The step at which the steered layers are."""

    step: int = 0


# ---------------------------------------------------------------------- the file


def write_vectors(path: str | os.PathLike[str], vectors: Vectors) -> None:
    """Writes a .safetensors file; its metadata say what the vectors were made of."""
    write_tensors(Path(path), vectors.sites, _metadata(vectors.about))


def read_vectors(path: str | os.PathLike[str], sd: StableDiffusion, concept: str, steps: int) -> Vectors:
    """UserError if the file is missing or damaged, or if it is of another concept, number of steps or model."""
    file = existing(path, "a .safetensors file with steering vectors")
    try:
        metadata, tensors = read_tensors(file)
        about, sites = _about(metadata), {name: x.float() for name, x in tensors.items()}
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} is damaged, or no .safetensors file: {error}") from None
    except (KeyError, ValueError, TypeError):
        raise UserError(
            f"{file} holds no steering vectors; make them with suppress.edits.steering.find_vectors"
        ) from None
    for name, found, wanted in (
        ("concept", about.concept.lower(), concept.lower()),
        ("steps", about.steps, steps),
        ("model", about.fingerprints.get(dtype_name(sd.dtype)), fingerprint(sd.unet, sd.dtype)),
    ):
        if found != wanted:
            raise UserError(f"{file} has steering vectors for {name} {found!r}, not {wanted!r}; make others")
    shapes = {site.name: (steps, w_out.out_features) for site, w_out in output_layers(sd.unet).values()}
    if {name: tuple(s.shape) for name, s in sites.items()} != shapes:
        raise UserError(f"{file} is damaged: its tensors are not those of this model's cross layers")
    return Vectors(about, {name: s.to(sd.device) for name, s in sites.items()})


def _metadata(about: About) -> dict[str, str]:
    return {"format": FORMAT} | {name: json.dumps(value) for name, value in asdict(about).items()}


def _about(metadata: Mapping[str, str]) -> About:
    if metadata["format"] != FORMAT:
        raise ValueError
    values = {name: json.loads(metadata[name]) for name in About.__dataclass_fields__}
    return About(**values | {"pairs": tuple((with_it, without) for with_it, without in values["pairs"])})


def output_layers(unet: UNet) -> dict[str, tuple[Site, nn.Linear]]:
    """The cross layers by their names in the UNet: the site, and W_out."""
    return {
        name: (layer.site, cast(nn.Linear, layer.to_out[0]))
        for name, layer in unet.named_modules()
        if isinstance(layer, Attention) and layer.site.kind == "cross"
    }
