"""Stable Diffusion v1.x from prompt to picture.

    prompt -> tokens -> ctx (B,77,D)
    noise z (B,4,h,w) and ctx -> UNet, 50 DDIM steps -> VAE -> picture (B,3,8h,8w)

Classifier-free guidance (Ho & Salimans 2022): eps = eps_u + guidance (eps_c - eps_u), both from one UNet pass
over the batch [uncond, ctx]. Latents are float32 for every dtype of the weights.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from . import ddim
from .base.arguments import (
    check_negative,
    check_progress,
    check_prompt,
    check_seed,
    check_settings,
    is_whole,
    listed,
    number,
    pair,
    plain,
    shown,
    whole_number,
)
from .base.errors import UserError
from .config import CONTEXT, Config
from .emphasis import apply_weights
from .loading.tokenizer import Tokenizer, piece_labels, pieces_text
from .picture import from_pil, to_pil, to_rgb
from .tap import Tap, check_tap
from .text import TextEncoder
from .unet import UNet
from .vae import AutoencoderKL
from .watch.step import Callback, Viewer, check_callback, make_step, wants_to_stop

MAX_SIDE = 8192  # pixels; at 8192×8192 one activation of the VAE takes 32 GiB
# advice for a picture with NaN or infinity; numbers overflow first in half precision
_NAN_ADVICE = {
    torch.float16: "load the model with dtype=torch.float32 or torch.bfloat16, or lower the guidance",
    torch.bfloat16: "load the model with dtype=torch.float32, or lower the guidance",
}


@dataclass(eq=False, repr=False)
class StableDiffusion:
    """The parts of a checkpoint, and how they make a picture together. Made by `minisd.load`."""

    name: str
    folder: Path | None  # of a checkpoint in diffusers layout; None for a single file
    config: Config
    unet: UNet
    vae: AutoencoderKL
    text_encoder: TextEncoder
    tokenizer: Tokenizer
    changes: Mapping[str, Any] = field(default_factory=dict)  # what `load` was given: lora, vae, clip_skip, variant …

    def __repr__(self) -> str:
        return f"StableDiffusion({self.name!r}, device={str(self.device)!r}, dtype={self.dtype})"

    @property
    def device(self) -> torch.device:
        return self.unet.conv_in.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.conv_in.weight.dtype

    @property
    def side(self) -> int:
        """Pixels of a side of the pictures on which the model was trained."""
        return self.config.unet.sample_size * self.vae.config.factor

    # ------------------------------------------------------------------ text

    def pieces(self, prompt: str) -> list[str]:
        """All BPE pieces of the prompt, without [SOT] and [EOT]. The last piece of a word ends in </w>.

        The letters of a piece stand for bytes (minisd/loading/tokenizer.py); `pieces_text` turns pieces into text.
        """
        return self.tokenizer.pieces(check_prompt(prompt))

    def tokens(self, prompt: str) -> list[str]:
        """The tokens that the text encoder reads, up to the first [EOT]: ["[SOT]", "a", "cat", "[EOT]"]. At most 77."""
        return ["[SOT]", *piece_labels(self.pieces(prompt))[: CONTEXT - 2], "[EOT]"]

    def token_ids(self, prompts: str | Sequence[str]) -> Tensor:
        """(B,77) int64 on the CPU: [SOT], the prompt, [EOT] to the end. A longer prompt is cut, with a warning."""
        rows = []
        for prompt in listed(prompts):
            ids = self.tokenizer.ids(check_prompt(prompt))
            if len(ids) > CONTEXT - 2:
                cut = pieces_text(self.pieces(prompt)[CONTEXT - 2 :])
                text = f"the prompt has {len(ids)} tokens, {CONTEXT - 2} fit; cut: {cut!r}"
                warnings.warn(text, stacklevel=4)  # names the caller of encode_text, which no_grad wraps
            rows.append(self.tokenizer.row(ids))
        return torch.tensor(rows)

    @torch.no_grad()
    def encode_text(self, prompts: str | Sequence[str], hidden: Sequence[int] = ()) -> Tensor:
        """ctx (B,77,D) in the model's dtype: the text encoder's output, after its final LayerNorm.

        The padding is not masked: in SD the [EOT]s of the padding are part of the prompt and carry its words.
        hidden: positions, from 1 to 76, that no token reads inside the encoder (suppress/methods/unread.py).
        A prompt that `minisd.weighted` made has its weights in the output.
        """
        if not all(is_whole(i) and 1 <= i < CONTEXT for i in hidden):
            raise UserError(f"hidden = {shown(hidden)}; expected positions from 1 to {CONTEXT - 1}")
        ctx = self.text_encoder(self.token_ids(prompts).to(self.device), hidden)
        return apply_weights(ctx, listed(prompts), self.pieces)

    # ------------------------------------------------------------------ pictures

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """x (B,3,H,W) in [-1,1] -> the posterior's mean z (B,4,H/8,W/8), scaled, float32.

        UserError for another shape, e.g. a picture without its batch dimension or with an alpha channel.
        """
        _check_shape("a picture", x, self.vae.config.in_channels)
        self.check_size(*x.shape[-2:])
        return self.vae.encode(x.to(self.device, self.dtype)).float()

    @torch.no_grad()
    def decode(self, z: Tensor, vae: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """z (B,4,h,w) -> x (B,3,8h,8w) in [-1,1], float32. vae: runs in place of `self.vae.decode`, e.g. compiled.

        UserError for another shape, and for latents or a picture with NaN or infinity (half precision may overflow).
        """
        _check_shape("latents", z, self.vae.config.latent_channels)
        x = (vae or self.vae.decode)(z.to(self.device, self.dtype)).float()
        for name, values in (("latents", z), ("decoded picture", x)):
            if not torch.isfinite(values).all():
                raise UserError(
                    f"NaN or infinity in the {name} (weights in {self.dtype}): "
                    + _NAN_ADVICE.get(self.dtype, "lower the guidance; if that does not help, the weights are damaged")
                )
        return x.clamp(-1, 1)

    def check_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) as Python's ints; UserError unless both are positive multiples of the VAE's factor, 8."""
        f = self.vae.config.factor
        if not (is_whole(height) and is_whole(width)):
            raise UserError(f"size {shown(width)}×{shown(height)} (width × height): both must be whole numbers")
        height, width = plain(height), plain(width)
        if max(height, width) > MAX_SIDE:
            size = f"{shown(width)}×{shown(height)}"
            raise UserError(f"size {size} (width × height): a side has at most {MAX_SIDE} pixels")
        if height < f or width < f or height % f or width % f:
            near = [max(round(side / f), 1) * f for side in (height, width)]
            size, good = f"{width}×{height}", f"{near[1]}×{near[0]}"
            raise UserError(f"size {size} (width × height): both must be multiples of {f}, e.g. {good}")
        return height, width

    # ------------------------------------------------------------------ sampling

    def noise(self, seeds: Sequence[int], height: int, width: int) -> Tensor:
        """The latents to start from: (B,4,height/8,width/8), float32. Sample k depends on seeds[k] and nothing else.

        They are drawn on the CPU, so that every device gets the same noise. PyTorch's generator there reads the lower
        32 bits of a seed: seed and seed + 2^32 give the same noise.
        """
        height, width = self.check_size(height, width)
        f = self.vae.config.factor
        shape = (1, self.config.unet.in_channels, height // f, width // f)
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(check_seed(seed))) for seed in seeds]
        return torch.cat(rows).to(self.device)

    def predict(
        self, z: Tensor, t: int, ctx: Tensor, uncond: Tensor | None, guidance: float, tap: Tap | None = None
    ) -> Tensor:
        """Guided noise eps (B,4,h,w) from one pass over [uncond, ctx]. Without uncond: the noise predicted with ctx."""
        if uncond is None:
            return self.unet(z, t, ctx, tap=tap)
        both = torch.cat([uncond.expand_as(ctx), ctx])
        eps_u, eps_c = self.unet(torch.cat([z, z]), t, both, tap=tap).chunk(2)
        return eps_u + guidance * (eps_c - eps_u)

    @torch.no_grad()
    def sample(
        self,
        ctx: Tensor,
        uncond: Tensor | None,
        z: Tensor,
        steps: int = 50,
        guidance: float = 7.5,
        *,
        start_step: int = 0,
        tap: Tap | None = None,
    ) -> Iterator[tuple[int, int, Tensor]]:
        """DDIM: yields (i, t, z), z after step i. The caller runs the loop and may show its progress.

        ctx (B,77,D); uncond (B or 1,77,D), None for no guidance; z (B,4,h,w), the noise. start_step: the step to
        begin with, if z has that step's noise level. A tap sees batches of 2B samples, the uncond half first.
        """
        schedule = ddim.Schedule(steps, self.config.schedule)
        guidance, start_step = number("guidance", guidance, -math.inf), whole_number("start_step", start_step, 0)
        for i in range(start_step, len(schedule)):
            eps = self.predict(z, schedule.t[i], ctx, uncond, guidance, tap)
            z = ddim.step(z, eps, schedule.alpha[i], schedule.alpha[i + 1])
            yield i, schedule.t[i], z

    def generate(
        self,
        prompt: str | Sequence[str],
        seed: int | Sequence[int] = 0,
        steps: int = 50,
        guidance: float = 7.5,
        negative_prompt: str = "",
        height: int | None = None,
        width: int | None = None,
        *,
        image: Image.Image | None = None,
        strength: float = 0.8,
        batch_size: int = 8,
        tap: Tap | None = None,
        progress: Callable[..., Iterable] | None = None,
        callback: Callback | None = None,
        latents: Tensor | None = None,
    ) -> list[Image.Image]:
        """Pictures for prompts and seeds. Two lists of equal length are paired; a single prompt or seed is repeated.

        height, width: pixels, multiples of 8 (default: the image's size, or the size the model was trained on).
        image, strength: SDEdit (Meng et al. 2022). The drawing starts from this picture, which is fitted to the size
            and noised to `strength` of the schedule; strength 1 keeps almost nothing of it.
        batch_size: pictures drawn at once. It changes the memory needed, not the pictures.
        progress: a function such as tqdm, called as progress(iterator, total=…) around the steps of every batch.
        callback: a function of a `minisd.Step`, called after every step of every batch. If it returns False, the
            drawing stops: finished pictures are returned, and those of the batch at work as this step expects them.
        latents: (B,4,height/8,width/8), the noise to start from in the place of that of the seeds; leave these out.
        """
        noise = None
        if latents is None:
            prompts, seeds = pair(prompt, seed)
        else:
            prompts, noise, height, width = self._given_noise(prompt, seed, latents, height, width)
        check_negative(negative_prompt)
        steps, guidance, strength, batch_size = check_settings(
            steps=steps, guidance=guidance, strength=strength, batch_size=batch_size
        )
        check_tap(tap)
        check_progress(progress)
        check_callback(callback)
        if tap is not None and len(prompts) > batch_size:
            n = len(prompts)
            raise UserError(f"a tap can see one batch only: {n} pictures need batch_size={n} or more")
        schedule, viewer = ddim.Schedule(steps, self.config.schedule), Viewer(self)
        h, w, start = self._start(image, height, width)
        start_step = steps - max(1, round(steps * strength)) if start is not None else 0
        uncond = self.encode_text(negative_prompt)
        pictures: list[Image.Image] = []
        for k in range(0, len(prompts), batch_size):
            some = slice(k, k + batch_size)
            ctx = self.encode_text(prompts[some])
            z = self.noise(seeds[some], h, w) if noise is None else noise[some]
            if start is not None:
                z = ddim.add_noise(start, z, schedule.alpha[start_step])
            loop: Iterable = self.sample(ctx, uncond, z, steps, guidance, start_step=start_step, tap=tap)
            stopped = False
            for i, _t, latents in progress(loop, total=steps - start_step) if progress else loop:
                before, z = z, latents
                if callback is not None:
                    step = make_step(viewer, schedule, i, range(len(prompts))[some], before, z)
                    stopped = wants_to_stop(callback(step))
                if stopped:
                    z = step.expected
                    break
            pictures += to_pil(self.decode(z))
            if stopped:
                break
        return pictures

    def check_latents(self, latents: Tensor) -> tuple[int, int]:
        """(height, width) in pixels of the pictures that begin with these latents (B,4,h,w).

        UserError unless they have this shape and are finite floating-point numbers.
        """
        _check_shape("latents", latents, self.config.unet.in_channels)
        if not (len(latents) and latents.is_floating_point() and torch.isfinite(latents).all()):
            found = f"{len(latents)} latents of {latents.dtype}"
            raise UserError(f"{found}; expected finite floating-point numbers, such as sd.noise(…) gives")
        f = self.vae.config.factor
        return self.check_size(latents.shape[-2] * f, latents.shape[-1] * f)

    def _given_noise(
        self, prompt: Any, seed: Any, latents: Tensor, height: int | None, width: int | None
    ) -> tuple[list[str], Tensor, int, int]:
        """(prompts, noise (B,4,h,w), height, width) of pictures that begin with given latents."""
        height, width = check_latents_alone(self, latents, seed, height, width)
        prompts, n = [check_prompt(p) for p in listed(prompt)], len(latents)
        if not prompts or (len(prompts) != n and 1 not in (len(prompts), n)):
            raise UserError(f"{len(prompts)} prompts and {n} latents; expected the same number of both, or one of one")
        noise = latents.float().to(self.device)
        return prompts * (n if len(prompts) == 1 else 1), noise.expand(max(len(prompts), n), -1, -1, -1), height, width

    def _start(self, image: Image.Image | None, height: int | None, width: int | None):
        """(height, width, the image as latents or None)"""
        if image is not None and not isinstance(image, Image.Image):
            raise UserError(f"image = {shown(image)}; expected a PIL picture, such as PIL.Image.open('FILE.png') gives")
        image = None if image is None else to_rgb(image)
        default = (self.side, self.side) if image is None else (image.height, image.width)
        h, w = default[0] if height is None else height, default[1] if width is None else width
        h, w = self.check_size(h, w)
        return h, w, None if image is None else self.encode(from_pil(image, h, w))


def _check_shape(what: str, x: Tensor, channels: int) -> None:
    if not isinstance(x, Tensor) or x.dim() != 4 or x.shape[1] != channels:
        found = f"of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"given as {type(x).__name__}"
        raise UserError(f"{what} {found}; expected a tensor (B,{channels},height,width)")


def check_latents_alone(
    sd: StableDiffusion, latents: Tensor, seed: Any, height: int | None, width: int | None
) -> tuple[int, int]:
    """(height, width) of given latents. UserError if they are unusable, or if the seed or the size contradicts them."""
    size = sd.check_latents(latents)
    if [plain(s) for s in listed(seed)] != [0]:
        raise UserError(f"latents with seed {shown(seed)}; they take the place of the seeds' noise, leave the seed out")
    for name, given, side in zip(("height", "width"), (height, width), size, strict=True):
        if given is not None and given != side:
            raise UserError(f"{name} = {shown(given)} with latents for {size[1]}×{size[0]} pixels (width × height)")
    return size


def check_model(sd: Any) -> None:
    if not isinstance(sd, StableDiffusion):
        raise UserError(f"sd = {shown(sd)}; expected a model, such as minisd.load('tiny') gives")
