"""MagicRemover (Yang et al. 2023, "MagicRemover: Tuning-free Text-guided Image Inpainting with Diffusion Models").

For step i from R to stop - 1, timestep t, in the edited branch:

    Ã_k     the cross map of the target's word k, from all resolutions     suppress/edits/energy.py
    g_k   = |Ã_k - [min + λ (max - min)] Ã_k|_1                             eq. 7
    δ(ẑ)  = -v Σ_objects (Π_words Ã_k) ⊙ ∇_ẑ Σ_k g_k                        eq. 9: what is added to the noise
    ẑ    <- ẑ + √(1-ᾱ_t) δ(ẑ)          `extra` times, if i < extra_stop     eq. 12, "classifier optimisation"
    ẑ'    = √ᾱ' (ẑ - √(1-ᾱ_t) ε̂) / √ᾱ_t + √(1-ᾱ') (ε̂ + δ(ẑ))               δ only in the direction term

From R to the last step, self attention takes its keys and values from the original branch (eq. 10), in all layers and
with both contexts. ε̂ is the guided noise of the unedited prompt, so with v = 0 the edited branch is the original. At
step R it begins with the original's latents. M, a user's mask, has two forms: M ⊙ takes the place of the product
(eq. 13), or a term pulls to the picture outside M:

    ẑ'   <- ẑ' - √(1-ᾱ') ∇ ½|(ẑ' - z*') (1-M)|²,    ∇ = √(ᾱ'/ᾱ_t) (ẑ' - z*') (1-M) with the noise held constant

Where this differs from the text:
- The printed sign (+∇g) climbs: only δ in the predicted picture would turn it round, and there it is left out. The one
  implementation that runs (a third party's; the authors' code was never released) descends, and so does this one.
- v is not in the text. At v = 1, g is the sum over the pixels of the picture, as in the text: the sum over latents
  times the squared factor of the VAE.
- "Normalisation" is not defined. Here it is to [0,1], with constants for the gradient. The text also calls the goal of
  the descent "a matrix filled with" the bracket's value, which is not eq. 7; it would raise the map of the background.
- The term of the pull has no norm in the text. ½|·|² is this project's reading.
- On a pinned start (direct inversion), the edited branch gets the same correction as the original after each step
  (`follow`; this project's own). Without it, it drifts away from the picture under guidance. With null-text inversion,
  as in the paper, there is nothing to correct.

It needs no picture: on noise, the original is what the prompt draws. UNet per step: 4 samples; with guidance 1 more for
the keys and values and 1 with a gradient, and 1 with a gradient for each extra descent; `follow` costs up to 2 more.

What it cannot do: the prompt still names the target, and only the target's own words are guided. On the drawn world
[EOT] and the other words carry the target too, and there the method fails. In all settings that were tried (20 and
25 steps, v from .01 to 1, R from .05, both energies, with and without shared keys, the blend, guidance 1), DetScore of
the target fell below .5 only when the face fell apart. With v = 1 the pictures are noise. The default v leaves them
whole at 50 steps and removes nothing; what the steps add sums up, so fewer steps bear more. This is no evidence about
SD v1.5. The inversion `proximal` does not fit: it pulls back all that the context does not change, which is everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from minisd import Tap, UserError, compose
from minisd.base.arguments import fraction, number, one_of, step_number, whole_number

from ..edits.energy import WordMaps, above_least, descent, normalised, relaxed, top
from ..edits.ito import gradient_scale
from ..edits.maps import Maps
from ..edits.masks import latent_mask
from ..edits.self_attention import KeepKV, ShareKV, UseKV
from ..prompt import Prompt, place_rows
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run

LEAST_SCALE = 15.0**2  # the third party's code scales the maps to 15


@dataclass(frozen=True)
class MagicRemover(Method):
    """The paper's settings with a strength of this project. `paper()` is the text, `blended()` the third party's."""

    start: int | float = 0.2  # guidance for t < 800: step 10 of 50; from the paper
    stop: int | float = 0.9  # the first step without guidance: t > 100, step 45 of 50; from the paper
    extra_stop: int | float = 0.5  # the first step without extra descent: t > 500, step 25 of 50; from the paper
    extra: int = 1  # N, descents that leave t as it is, in each step before extra_stop; from the paper
    strength: float = 0.01  # v; this project's own (see above). 1 is the text
    relax: float = 0.8  # λ: less of it erases more; from the paper
    # g: that of the text, or (third party's code) (Ã - min)² at the 20 % of the pixels that see the object best
    energy: Literal["relaxed", "least"] = "relaxed"
    # what δ is multiplied by: Π Ã (paper), or 1 at its top 20 % (code), or 1 everywhere (the ablation of Fig. 6)
    weight: Literal["map", "top", "none"] = "map"
    share: bool = True  # keys and values of self attention from the original; from the paper
    mask_form: Literal["weight", "pull"] = "weight"  # what a user's mask does; the paper has both
    blend: bool = (
        False  # the original's latents outside the weight (or M), after each step; from the third party's code
    )
    follow: bool = True  # on a pinned start, the original's correction after each step; this project's own

    @classmethod
    def paper(cls, **changes: Any) -> MagicRemover:
        """The text alone. It is made for null-text inversion (`inversion="null-text"`)."""
        return cls(**({"strength": 1.0, "follow": False} | changes))

    @classmethod
    def blended(cls, **changes: Any) -> MagicRemover:
        """The third party's working form: guidance for 11 < t <= 821, binary masks, a hard blend after each step.

        Its mask also has the pixels at which the picture's own map, at the last timestep, is above .25 of the maximum,
        and its maps are scaled by the maximum of the first step. Both are left out here.
        """
        code: dict[str, Any] = {"start": 0.16, "stop": 0.98, "strength": 1.0, "energy": "least", "weight": "top"}
        return cls(**(code | {"blend": True} | changes))

    takes_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stop", "extra_stop"):
            step_number(name, getattr(self, name), self.steps)
        whole_number("extra", self.extra, 0)
        object.__setattr__(self, "strength", number("strength", self.strength))
        object.__setattr__(self, "relax", fraction("relax", self.relax))
        one_of("energy", self.energy, ("relaxed", "least"))
        one_of("weight", self.weight, ("map", "top", "none"))
        one_of("mask_form", self.mask_form, ("weight", "pull"))
        for name in ("share", "blend", "follow"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"{name} = {getattr(self, name)!r}; expected True or False")

    @property
    def guided(self) -> range:
        """The steps with guidance."""
        return range(self.start_step, step_number("stop", self.stop, self.steps))

    @property
    def with_extra(self) -> range:
        """The steps with extra descents."""
        return range(self.start_step, step_number("extra_stop", self.extra_stop, self.steps))

    def remark(self, prompt: Prompt) -> str:
        return "" if self.guided else f"it changes nothing: guidance would end before step {self.guided.stop}"

    def edit(self, run: Run) -> Edit:
        return MagicRemoverEdit(self, run)


class MagicRemoverEdit(Edit):
    def __init__(self, settings: MagicRemover, run: Run):
        super().__init__(run)
        self.settings = settings
        self.mask = None if run.start.mask is None else latent_mask(run.start.mask, run.start.z)  # M (B,1,h,w)
        if settings.mask_form == "pull" and self.mask is None:
            raise UserError("mask_form = 'pull' without a mask; give one (mask=…), or leave mask_form out")
        places = [place_rows(run.sd, prompt.request) for prompt in run.prompts]
        self.rows = sorted({row for objects in places for rows in objects for row in rows})  # of all prompts
        # for each sample and object, the indices of its words in `rows`
        self.objects = [[[self.rows.index(row) for row in rows] for rows in objects] for objects in places]
        pixels = run.sd.vae.config.factor**2  # per latent
        self.strength = settings.strength * (pixels if settings.energy == "relaxed" else LEAST_SCALE)
        self.weight: Tensor | None = None  # Σ Π Ã, or what stands for it, of the latest descent: (B,1,h,w)
        self.delta: Tensor | None = None  # δ (B,4,h,w), if this step has guidance
        self.drawn: Tensor | None = None  # the original after this step, before it is set to the pivot

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        settings = self.settings
        z = original.z if i == settings.start_step else same.z
        kept = self._look_at_original(i, original)
        self.delta = None
        if i in settings.guided:
            for _ in range(settings.extra if i in settings.with_extra else 0):
                z = z + (1 - self.run.schedule.alpha[i]) ** 0.5 * self._descent(i, z, kept)
            self.delta = self._descent(i, z, kept)
        share = ShareKV() if settings.share else None
        return replace(same, z=z, tap=share, tap_uncond=share)

    def combine(self, i: int, eps: tuple[Tensor, ...]) -> Tensor:
        noise = super().combine(i, eps)
        return noise if self.delta is None else noise + self.delta

    def step(self, i: int, z: Tensor, eps: Tensor) -> Tensor:
        """eps: ε̂ + δ."""
        if self.delta is None:
            return super().step(i, z, eps)
        direction = (1 - self.run.schedule.alpha[i + 1]) ** 0.5 * self.delta
        return super().step(i, z, eps - self.delta) + direction

    def blend(self, i: int, z: Tensor, original: Tensor) -> Tensor:
        if self.drawn is not None:
            z = z + (original - self.drawn)
        if self.settings.mask_form == "pull":
            z = self._pulled(i, z, original)
        if self.settings.blend and self.weight is not None:
            z = torch.lerp(original, z, self.weight.clamp(max=1))
        return z

    def changed(self) -> Tensor | None:
        return self.weight if self.settings.blend else None

    def _look_at_original(self, i: int, original: Inputs) -> Tap | None:
        """A tap with the original's keys and values, if this step's descents use them; and `drawn`."""
        shares = self.settings.share and i in self.settings.guided
        follows = self.settings.follow and self.run.start.pinned
        if not (shares or follows):
            return None
        keep = KeepKV()  # those of the last pass, with the prompt
        eps = [self.run.show(i, original.z, ctx, keep) for ctx in original.contexts[0 if follows else 1 :]]
        self.drawn = self.run.step(i, original.z, self.run.guide(eps)) if follows else None
        return UseKV(keep.kept) if shares else None

    def _descent(self, i: int, z: Tensor, kept: Tap | None) -> Tensor:
        """δ(ẑ), and sets `weight`."""
        found: list[Tensor] = []

        def energy(z: Tensor) -> Tensor:
            words = WordMaps(self.rows, z)
            self.run.show(i, z, self.run.ctx, words if kept is None else compose(words, kept))
            assert words.sum is not None
            maps = normalised(words.sum)
            found.append(maps.detach())
            return torch.stack([self._energy(objects) for objects in self._by_object(maps)]).sum()

        gradient = descent(z, energy, gradient_scale(self.run.sd.dtype))
        self.weight = self._weight(found[0]).to(z.dtype)
        return self.strength * self.weight * gradient

    def _energy(self, objects: Sequence[Tensor]) -> Tensor:
        """Of one sample; the words' maps of each object (n,h,w)."""
        if self.settings.energy == "relaxed":
            return torch.stack([relaxed(words, self.settings.relax).sum() for words in objects]).sum()
        return torch.stack([above_least(words.prod(dim=0)) for words in objects]).sum()

    def _weight(self, maps: Tensor) -> Tensor:
        """(B,1,h,w): the user's mask, or the sum over objects of the product over words of their maps (B,K,h,w)."""
        if self.mask is not None and self.settings.mask_form == "weight":
            return self.mask
        if self.settings.weight == "none":
            return torch.ones_like(maps[:, :1])
        products = [torch.stack([words.prod(dim=0) for words in objects]) for objects in self._by_object(maps)]
        if self.settings.weight == "top":
            return torch.stack([top(product).amax(dim=0, keepdim=True) for product in products])
        return torch.stack([product.sum(dim=0, keepdim=True) for product in products])

    def _by_object(self, maps: Tensor) -> list[list[Tensor]]:
        """maps (B,K,h,w) -> for each sample and object, the maps of its words (n,h,w)."""
        return [[sample[words] for words in objects] for sample, objects in zip(maps, self.objects, strict=True)]

    def _pulled(self, i: int, z: Tensor, original: Tensor) -> Tensor:
        """ẑ' after the term that pulls to the picture outside the user's mask."""
        assert self.mask is not None
        alpha, goal = self.run.schedule.alpha, self.run.start.picture(i + 1, original)
        rate = (1 - alpha[i + 1]) ** 0.5 * (alpha[i + 1] / alpha[i]) ** 0.5
        return z - rate * (1 - self.mask).to(z.dtype) * (z - goal)
