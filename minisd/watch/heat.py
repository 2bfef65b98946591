"""Heat maps by word (DAAM: Tang et al. 2023, "What the DAAM: Interpreting Stable Diffusion Using Cross Attention").

    heat = minisd.heat(sd, "a man with a hat", seed=0)
    heat["hat"].overlay().save("hat.png")
    heat["hat"].map, heat["hat"].over_time           # tensors: the mean over the steps, and each step's map

A word's map is the share of its attention that each pixel gives to the word: the mean over all cross-attention sites
and heads (minisd/taps/heat_maps.py), with the maps of the word's pieces summed, not averaged. A pixel divides its
attention among all tokens, so that the maps of [SOT], of all words and of [EOT] add up to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from ..base.arguments import check_prompt, check_seed
from ..picture import overlay, sheet
from ..pipeline import StableDiffusion, check_model
from ..taps.heat_maps import heat_maps
from ..taps.record import Record
from ..taps.select import select
from .step import Callback, Step, check_callback
from .words import EOT, SOT, find_columns, word_columns

_IN_A_ROW = 6  # pictures of a sheet


@dataclass(frozen=True, eq=False)
class WordHeat:
    """Where the pixels look at one word."""

    word: str
    rows: tuple[int, ...]  # of the word's tokens
    over_time: Tensor = field(repr=False)  # (T,h,w), at each step; h, w: the latents' grid
    image: Image.Image = field(repr=False)

    @property
    def map(self) -> Tensor:
        """(h,w), from 0 to 1: the mean over the steps."""
        return self.over_time.mean(dim=0)

    def overlay(self, span: tuple[float, float] | None = None) -> Image.Image:
        """The map in colour over the picture in grey. span: the values of the darkest and the brightest colour."""
        return overlay(self.image, self.map, span)


@dataclass(frozen=True, eq=False)
class Heat:
    """A picture, and the maps of its prompt's words: `heat["hat"]`, `heat["hat:2"]`, `heat["[EOT]"]`."""

    sd: StableDiffusion = field(repr=False)
    prompt: str
    image: Image.Image = field(repr=False)
    over_time: Tensor = field(repr=False)  # (T,77,h,w), at each step that was drawn
    steps: tuple[Step, ...] = field(repr=False)  # what a callback gets

    @property
    def maps(self) -> Tensor:
        """(77,h,w): the mean over the steps."""
        return self.over_time.mean(dim=0)

    @property
    def words(self) -> list[str]:
        """[SOT], the words in the order of the prompt, each with its number if it stands twice, and [EOT]."""
        [_, *columns, _] = word_columns(self.sd.pieces(self.prompt))
        names = [name for name, _ in columns]
        numbered = [f"{n}:{names[: k + 1].count(n)}" if names.count(n) > 1 else n for k, n in enumerate(names)]
        return [SOT, *numbered, EOT]

    def __getitem__(self, word: str) -> WordHeat:
        """A word or phrase of the prompt. UserError, with the token table, if the prompt does not have it."""
        rows = find_columns(self.sd, self.prompt, word)
        return WordHeat(word, rows, self.over_time[:, list(rows)].sum(dim=1), self.image)

    def sheet(self) -> Image.Image:
        """The picture, and a heat map for [SOT], for each word, and for [EOT] with its padding.

        The share under a map is that of the attention of all pixels.
        """
        heat, columns = self.maps, word_columns(self.sd.pieces(self.prompt))
        maps = [(name, heat[rows].sum(dim=0)) for name, rows in columns]
        cells = [self.image, *(overlay(self.image, m) for _, m in maps)]
        labels = ["picture", *(f"{name} {float(m.mean()):.1%}" for name, m in maps)]
        starts = range(0, len(cells), _IN_A_ROW)
        return sheet([cells[k : k + _IN_A_ROW] for k in starts], [labels[k : k + _IN_A_ROW] for k in starts])


def heat(
    sd: StableDiffusion,
    prompt: str,
    seed: int = 0,
    steps: int = 50,
    guidance: float = 7.5,
    negative_prompt: str = "",
    height: int | None = None,
    width: int | None = None,
    *,
    progress: Callable[..., Iterable] | None = None,
    callback: Callback | None = None,
) -> Heat:
    """Draws one picture as `sd.generate` does, and keeps its cross maps at every step. The arguments are its own."""
    check_model(sd)
    check_prompt(prompt)
    check_seed(seed)
    check_callback(callback)
    recorder = Recorder(callback)
    [picture] = sd.generate(
        prompt,
        seed,
        steps,
        guidance,
        negative_prompt,
        height,
        width,
        tap=recorder.tap,
        progress=progress,
        callback=recorder,
    )
    return Heat(sd, prompt, picture, torch.stack(recorder.maps), tuple(recorder.steps))


class Recorder:
    """A tap and a callback that keep a picture's maps (77,h,w) after each step, and the steps."""

    def __init__(self, callback: Callback | None = None):
        self.tap = Record(select("cross"))
        self.callback = callback  # another one, which is called too
        self.maps: list[Tensor] = []
        self.steps: list[Step] = []

    def __call__(self, step: Step) -> object:
        grid = step.latents.shape[-2], step.latents.shape[-1]
        self.maps.append(heat_maps(self.tap.maps, grid)[1].cpu())  # the half with the prompt
        self.steps.append(step)
        return None if self.callback is None else self.callback(step)
