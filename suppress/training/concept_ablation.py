"""Concept ablation: the target concept is to be drawn as its anchor (Kumari et al. 2023, "Ablating Concepts in
Text-to-Image Diffusion Models").

c*: a prompt with the target ("a grumpy cat"); c: the same prompt with the anchor ("a cat"); θ: the trained weights.
Once: pictures z_0 are drawn for the prompts c. Per iteration, with sg: no gradient goes through:

    z_t = √ᾱ_t z_0 + √(1-ᾱ_t) ε
    loss = mean (ε_θ(z_t, c*) - sg(ε_θ(z_t, c)))²  +  λ mean (ε_θ(z_t, c) - ε)²

The first term is the paper's "model-based" form. By the paper's derivation its target is the frozen model's prediction
ε_θ*(z_t, c) (`frozen`); to save a second model, paper and code take the model that is trained, and stop the gradient.
Then the target drifts with θ. The second term (λ = 1) keeps the anchor; the code has it for a target that contains the
anchor ("grumpy cat"), and leaves it out otherwise.

Not here: the code's crops and flips of the pictures, and that its first code ([SOT] apart) trains no key and value of
[SOT]. Its pictures go through the VAE and JPEG, these stay latents.

`MaxLoss` is the baseline that the paper argues against: it raises the loss on pictures of the target itself,

    loss = -mean (ε_θ(z_t, c*) - ε)²,          z_0 drawn for c*,

which has no minimum: the training diverges, and near concepts go with the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import StableDiffusion, UNet, UserError
from minisd.base.arguments import check_prompt, number

from ..prompt import without_targets
from .drawn import Drawn
from .objective import Weights


@dataclass(frozen=True)
class ConceptAblation(Drawn):
    """Settings, from the authors' diffusers code for objects and styles.

    A prompt's anchor is the prompt with `anchor` in the place of the concept, or of its phrase in [brackets].
    """

    weights: Weights = "kv"
    anchor: str = ""  # the words in the place of the concept; empty: its phrase is taken out
    iterations: int = 100
    lr: float = 1.6e-5  # 2e-6 × batch 4 × 2 GPUs (`--scale_lr`)
    weight_decay: float = 0.01
    clip: float = 1.0
    batch: int = 8  # 4 on each of 2 GPUs
    pictures: int = 200  # 1000 in the paper
    preserve: float = 0.0  # λ; 1 in the code for "grumpy cat"
    frozen: bool = False  # the target of the loss is ε_θ*(z_t, c), as the paper derives it; False: as in the code

    def __post_init__(self) -> None:
        super().__post_init__()
        check_prompt(self.anchor)
        object.__setattr__(self, "preserve", number("preserve", self.preserve))
        if not all(self.drawn_texts()):
            raise UserError(
                f"nothing is left of a prompt without {self.concept!r}; give an anchor (--anchor 'a cat'), or prompts "
                "that say more (--prompts FILE)"
            )

    def targets(self) -> list[str]:
        """The prompts c*."""
        return [request.prompt for request in self.requests()]

    def drawn_texts(self) -> list[str]:
        """The prompts c."""
        return [without_targets(request, self.anchor) for request in self.requests()]

    def loss(self, sd: StableDiffusion, unet: UNet, prepared: dict[str, Tensor], random: torch.Generator) -> Tensor:
        noised, targets, anchors = self.noised(sd, prepared, random), self.targets(), self.drawn_texts()
        ctx_target = sd.encode_text([targets[n] for n in noised.texts])
        ctx_anchor = sd.encode_text([anchors[n] for n in noised.texts])
        model = sd.unet if self.frozen else unet
        with torch.no_grad():
            eps_anchor = model(noised.z, noised.t, ctx_anchor)
        loss = F.mse_loss(unet(noised.z, noised.t, ctx_target), eps_anchor)
        if self.preserve:
            loss = loss + self.preserve * F.mse_loss(unet(noised.z, noised.t, ctx_anchor), noised.eps)
        return loss


@dataclass(frozen=True)
class MaxLoss(Drawn):
    """Settings, as concept ablation's. The pictures are drawn for the prompts themselves.

    On the embedded model, with a learning rate of 5e-4 and 60 iterations, the loss is -1.06 and still falls, and every
    picture is torn.
    """

    weights: Weights = "kv"
    iterations: int = 100
    lr: float = 1.6e-5
    weight_decay: float = 0.01
    clip: float = 1.0
    batch: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self.requests()  # a UserError if a prompt does not name the concept

    def loss(self, sd: StableDiffusion, unet: UNet, prepared: dict[str, Tensor], random: torch.Generator) -> Tensor:
        noised, texts = self.noised(sd, prepared, random), self.texts()
        ctx = sd.encode_text([texts[n] for n in noised.texts])
        return -F.mse_loss(unet(noised.z, noised.t, ctx), noised.eps)
