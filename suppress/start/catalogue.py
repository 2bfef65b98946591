"""The inversions' names and what each does, without PyTorch. The file of an inversion is imported when it is used."""

from __future__ import annotations

from dataclasses import dataclass

from ..naming import Named

DEFAULT = "direct"  # it reconstructs exactly, at the cost of plain DDIM inversion


@dataclass(frozen=True)
class Entry(Named):
    """An inversion by its name."""

    package = __package__

    factory: str  # "file.Class" in this folder
    about: str
    # samples that go through the UNet for the inversion; T: steps, k: `repeats`, s: steps before the loop begins
    passes: str


INVERSIONS: dict[str, Entry] = {
    "ddim": Entry("ddim.DDIM", "the sampling steps backwards; drifts away under guidance", "T (1 + k)"),
    "renoise": Entry("renoise.ReNoise", "ddim, with each step repeated at its own result", "T (1 + k)"),
    "null-text": Entry(
        "null_text.NullText", "the empty prompt of each step is optimised until the picture comes back", "T (13 + k)"
    ),
    "negative-prompt": Entry(
        "negative_prompt.NegativePrompt", "the prompt takes the place of the empty prompt", "T (1 + k)"
    ),
    "proximal": Entry(
        "proximal.Proximal",
        "negative-prompt, guided only where the edit changes most; the rest is pulled back",
        "T (1 + k)",
    ),
    "direct": Entry("direct.Direct", "the original branch is set to the inversion's latents at each step", "T (1 + k)"),
    "edit-friendly": Entry(
        "edit_friendly.EditFriendly",
        "the noise of stochastic steps that draw the picture exactly (DDPM inversion)",
        "2 (T - s)",
    ),
    "noised": Entry("noised.Noised", "noise on the picture instead of an inversion (SDEdit)", "0"),
}
