"""CLIP: the text encoder that the UNet reads, and the judge that says how well a picture fits a text.

Radford et al. 2021, figure 3, with B pictures x_i and their captions c_i, and vectors v, t of length 1:

    logits_ij = s t_i·v_j,   loss = (CE(rows of logits, i) + CE(columns of logits, i)) / 2,   s learned, at most 60

A drawn world repeats its captions: those that are equal share the target in equal parts.

A second loss, this project's own, asks that a word's state hardly depends on the words before it. One word of each
caption is swapped for another, and the states h_k of the later words, without [EOT], should stay as they are:

    locality = mean over k of ‖h_k - h'_k‖² / ‖h_k‖²

Without it, a model so small writes each word into all words that follow. Adjectives may colour their noun: the two
tokens after them do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minisd.base.inputs import read_json
from minisd.loading.config_json import text_json
from minisd.loading.tokenizer import load_tokenizer
from minisd.text import MLP, SelfAttention
from suppress.metrics.clip import Clip
from suppress.world.palette import BACKS, COLORS, FURS, HAIRS

from .configs import clip_json
from .drawings import Batch
from .files import MODEL, write_json, write_weights
from .randomness import first_weights
from .stage import Job, PictureStage

_HIGHEST_SCALE = 60.0  # of the logits; Radford et al. have 100
_AUGMENTATION = 0.05  # standard deviation of the noise that is added to a picture, and of the change of its brightness
# words after which a noun may follow. Colours come from the world's palettes
_ADJECTIVES = (
    *("round", "square", "striped", "long", "short", "curly", "spiky", "bald", "gold", "bearded"),
    *("smiling", "sad", "surprised", "happy", "pencil", "pixel", "watercolor", "van"),
    *("top", "cowboy", "bow", "face", "medical", "birthday", "living", "blond"),
)


class Towers(nn.Module):
    """A CLIP while it is trained: its towers, and the scale of the logits."""

    def __init__(self, clip: Clip, eot: int):
        super().__init__()
        self.clip = clip
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # as in Radford et al., section 2.5
        self.eot = eot

    def forward(self, x: Tensor, ids: Tensor, swapped: Tensor) -> tuple[Tensor, ...]:
        """x (B,3,side,side), ids and swapped (B,77) -> text and picture vectors (B,P), states (B,77,D) of both, s."""
        states, others = self.clip.text_model(torch.cat([ids, swapped])).chunk(2)
        at_end = states[torch.arange(len(ids), device=ids.device), first_eot(ids, self.eot)]
        text, picture = self.clip.text_projection(at_end), self.clip.picture(x)
        scale = self.logit_scale.exp().clamp(max=_HIGHEST_SCALE)
        return F.normalize(text.float(), dim=-1), F.normalize(picture.float(), dim=-1), states, others, scale


class ClipStage(PictureStage):
    name = "clip"

    def __init__(self, job: Job):
        super().__init__(job)
        tokenizer = load_tokenizer(job.out / "tokenizer")
        self.text = replace(job.recipe.model.text, vocab_size=tokenizer.size)
        known = read_json(job.work / "words.json")
        self.words = torch.tensor(sorted(known.values()), device=self.device)
        adjectives = {known[word] for word in (*_ADJECTIVES, *_colours()) if word in known}
        self.adjectives = torch.tensor(sorted(adjectives), device=self.device)
        self.eot = tokenizer.eot
        with first_weights(job.seed, self.name):
            clip = Clip(self.text, job.recipe.vision, job.recipe.projection)
            initialise(clip)
        self.model = Towers(clip, self.eot)

    def losses(self, forward: Callable[..., Any], batch: Batch, random: torch.Generator) -> dict[str, Tensor]:
        x = augmented(batch.x(self.device), random)
        ids = one_caption(batch.ids.to(self.device), random)
        swapped, first = self.swap(ids, random)
        text, picture, states, others, scale = forward(x, ids, swapped)
        gather = self.job.processes.gather  # pictures are compared with the captions of all processes
        contrast = contrastive(gather(text), gather(picture), gather(ids), scale)
        local = locality(states.float(), others.float(), first, first_eot(ids, self.eot))
        return {"loss": contrast + local, "contrastive": contrast, "locality": local}

    def swap(self, ids: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """(ids with one word of each caption swapped, the first position (B,) that must not change for it)."""
        b, device = len(ids), ids.device
        length = (first_eot(ids, self.eot) - 1).clamp(min=1)  # tokens between [SOT] and [EOT]
        place = 1 + (torch.rand(b, generator=random, device=device) * length).long()
        new = self.words[torch.randint(len(self.words), (b,), generator=random, device=device)]
        old = ids.gather(1, place[:, None])[:, 0]
        spared = 2 * torch.isin(old, self.adjectives)
        return ids.scatter(1, place[:, None], new[:, None]), place + 1 + spared

    def export(self, model: nn.Module) -> None:
        assert isinstance(model, Towers)
        out, projection = self.job.out, self.job.recipe.projection
        text = {f"text_model.{name}": x for name, x in model.clip.text_model.state_dict().items()}
        write_json(out / "text_encoder" / "config.json", text_json(self.text, projection))
        write_weights(out / "text_encoder" / MODEL, text)
        write_json(out / "clip" / "config.json", clip_json(self.text, self.job.recipe.vision, projection))
        write_weights(out / "clip" / MODEL, model.clip.state_dict() | {"logit_scale": model.logit_scale})


def _colours() -> set[str]:
    return {*COLORS, *BACKS, *HAIRS, *(colour for furs in FURS.values() for colour in furs)}


def initialise(clip: Clip) -> None:
    """The first weights, as in the code that Radford et al. released: normal, narrower in wide and deep towers."""
    for tower in (clip.text_model, clip.vision_model):
        layers = tower.encoder.layers
        for module in tower.modules():
            if isinstance(module, SelfAttention):
                dim = module.q_proj.in_features
                for linear in (module.q_proj, module.k_proj, module.v_proj):
                    nn.init.normal_(linear.weight, std=dim**-0.5)
                nn.init.normal_(module.out_proj.weight, std=(2 * dim * len(layers)) ** -0.5)
            elif isinstance(module, MLP):
                dim = module.fc1.in_features
                nn.init.normal_(module.fc1.weight, std=(2 * dim) ** -0.5)
                nn.init.normal_(module.fc2.weight, std=(2 * dim * len(layers)) ** -0.5)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
    text, vision = clip.text_model.embeddings, clip.vision_model.embeddings
    dim = vision.class_embedding.shape[0]
    nn.init.normal_(text.token_embedding.weight, std=0.02)
    nn.init.normal_(text.position_embedding.weight, std=0.01)
    nn.init.normal_(vision.class_embedding, std=dim**-0.5)
    nn.init.normal_(vision.position_embedding.weight, std=dim**-0.5)
    for projection in (clip.text_projection, clip.visual_projection):
        nn.init.normal_(projection.weight, std=projection.in_features**-0.5)
    clip.requires_grad_(True)  # embeddings that are made for a file's weights are frozen


def augmented(x: Tensor, random: torch.Generator) -> Tensor:
    """Pictures (B,3,h,w) with noise, and each a little darker or brighter."""
    brightness = torch.randn(len(x), 1, 1, 1, generator=random, device=x.device)
    noise = torch.randn(x.shape, generator=random, device=x.device)
    return x + _AUGMENTATION * (brightness + noise)


def one_caption(ids: Tensor, random: torch.Generator) -> Tensor:
    """ids (B,4,77) int16 -> (B,77) int64: one of each picture's captions."""
    b, captions, _ = ids.shape
    chosen = torch.randint(captions, (b,), generator=random, device=ids.device)
    return ids[torch.arange(b, device=ids.device), chosen].long()


def first_eot(ids: Tensor, eot: int) -> Tensor:
    """(B,) positions of the first [EOT] in ids (B,77)."""
    return (ids == eot).int().argmax(dim=1)


def contrastive(text: Tensor, picture: Tensor, ids: Tensor, scale: Tensor) -> Tensor:
    """The loss of vectors (B,P) of length 1; rows of ids (B,77) that are equal share their target."""
    logits = scale * text @ picture.T
    same = (ids[:, None] == ids[None]).all(dim=-1).float()
    target = same / same.sum(dim=1, keepdim=True)  # symmetric: equal captions have equal sums
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def locality(states: Tensor, others: Tensor, first: Tensor, end: Tensor) -> Tensor:
    """The relative change between states (B,77,D) and others, from position `first` (B,) until before `end` (B,)."""
    k = torch.arange(states.shape[1], device=states.device)
    counts = (k >= first[:, None]) & (k < end[:, None])
    change = (states - others).square().sum(dim=-1) / states.square().sum(dim=-1).clamp(min=1e-6)
    return (change * counts).sum() / counts.sum().clamp(min=1)
