"""Where a picture is lost on its way through the model: three reconstructions of it, each with its PSNR.

vae         decode(encode(x))                              what the VAE alone can give back
inversion   z*_T sampled with c at guidance 1              what the inversion found, before guidance amplifies its error
guided      the original branch, at the guidance used      what the edit starts from
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from PIL import Image
from torch import Tensor

from minisd import StableDiffusion
from minisd.picture import from_pil, to_pil

from ..metrics.similarity import psnr
from ..protocol import Start


def through_vae(sd: StableDiffusion, picture: Image.Image) -> Image.Image:
    """The picture encoded and decoded. Its sides are multiples of 8."""
    return to_pil(sd.decode(sd.encode(from_pil(picture))))[0]


def at_guidance_1(
    sd: StableDiffusion, start: Start, ctx: Tensor, steps: int, progress: Callable[..., Iterable] | None = None
) -> Image.Image:
    """What an inverted picture's start gives with its prompt ctx (1,77,D), without guidance. One UNet pass per step."""
    z = start.z
    loop: Iterable = sd.sample(ctx, None, start.z, steps, start_step=start.begin)
    for _i, _t, latents in progress(loop, total=steps - start.begin) if progress else loop:
        z = latents
    return to_pil(sd.decode(z))[0]


def pictures_psnr(a: Image.Image, b: Image.Image) -> float:
    """PSNR of two pictures of one size, in dB."""
    return psnr(from_pil(a), from_pil(b)).item()


# Both bounds were measured with the embedded model at 128 × 128 on 12 drawn pictures (seeds 1000 to 1011 of
# suppress/world), each with its caption. The VAE gives back 19.8 to 32.4 dB of them (with rain the least), and 18.2 dB
# of a photo of a person, 14.0 of a gradient of colours, 10.1 of noise.
VAE_BOUND = 19.0  # dB
# Below the VAE, DDIM inversion at guidance 1 loses 0.2 to 1.4 dB with 50 steps, 0.6 to 3.0 with 20, and with 10 steps
# 1.2 to 13, more than 3 for 8 of the 12. Guidance 7.5 then loses 7.5 to 18 dB more with `ddim` and 50 steps, and 15 to
# 25 with a prompt that describes something else. With 3 dB, the error is twice as large as it has to be.
LOSS = 3.0  # dB, from one reconstruction to the next


@dataclass(frozen=True)
class Reconstruction:
    """PSNR of the three reconstructions with the picture, in dB."""

    vae: float
    inversion: float | None  # None: the start holds noise, from which DDIM steps do not lead back to the picture
    guided: float
    guidance: float
    pinned: bool  # whether the original branch was set to the inversion's latents

    def describe(self) -> str:
        """For the terminal: the three figures."""
        inverted = "" if self.inversion is None else f"the inversion at guidance 1 {self.inversion:.1f}, "
        three = (
            f"reconstruction, PSNR in dB: the VAE alone {self.vae:.1f}, {inverted}"
            f"at guidance {self.guidance:g} {self.guided:.1f}"
        )
        if not self.pinned:
            return three
        if self.inversion is None:
            return f"{three}\n  (that of the VAE, because the original is set to the inversion's latents)"
        return (
            f"{three}\n  (the last one is that of the VAE, because the original is set to the inversion's latents; the "
            f"edit starts from the latents that give {self.inversion:.1f} dB at guidance 1)"
        )

    def advice(self) -> list[str]:
        """What failed, and what to try; empty if nothing did."""
        lines = []
        if self.vae < VAE_BOUND:
            lines.append(
                f"the VAE failed: it keeps {self.vae:.1f} dB of the picture, below {VAE_BOUND:g}. The picture is "
                "unlike those that the model knows; try another part of it (--crop) or another --size"
            )
        if self.inversion is None:
            return lines + self._advice_for_noise()
        if self.vae - self.inversion > LOSS:
            lines.append(
                f"the inversion failed: it loses {self.vae - self.inversion:.1f} dB, more than {LOSS:g}. Try more "
                "--steps, or --inversion with repeats=1, such as direct:repeats=1"
            )
        lost = self.inversion - self.guided
        if lost > LOSS:
            lines.append(
                f"guidance {self.guidance:g} failed: it loses {lost:.1f} dB, more than {LOSS:g}. "
                "Try --inversion direct or null-text, less --guidance, or a prompt that describes the picture better"
            )
        return lines

    def _advice_for_noise(self) -> list[str]:
        lost = self.vae - self.guided
        if lost <= LOSS:
            return []
        return [
            f"the start failed: with its noise, {lost:.1f} dB are lost, more than {LOSS:g}. Try less of it, as "
            "--inversion noised:strength=0.5, or --inversion direct"
        ]

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"unit": "dB", "advice": self.advice()}
