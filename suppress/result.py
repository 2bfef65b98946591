"""What a run made: pictures, latents, maps, and the seconds it took."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from minisd import UserError

from .protocol import Method

if TYPE_CHECKING:
    from .metrics.judge import Judge, Scores


@dataclass(frozen=True, eq=False)  # == of tensors gives a tensor, so a result is equal only to itself
class Result:
    """What a run made. One seed gives single pictures; a list of seeds gives lists of pictures."""

    image: Image.Image | list[Image.Image]  # without the target
    original: Image.Image | list[Image.Image]  # from the same noise, with nothing removed; or the given picture
    latents: Tensor = field(repr=False)  # (B,4,h,w), of `image`
    original_latents: Tensor = field(repr=False)
    settings: Method
    timings: dict[str, float]  # seconds: encode, sample, decode, total; invert, for a picture
    prompt: str  # as the model got it
    targets: tuple[str, ...]
    rows: tuple[int, ...]  # of the targets' tokens
    reconstruction: Image.Image | None = None  # of a given picture: what the model draws with nothing removed
    mask: Image.Image | list[Image.Image] | None = None  # white where the edit could change it, if it had a mask
    # The three below are set with maps=True: (B,77,h,w), the mean over steps, sites and heads
    maps: Tensor | None = field(default=None, repr=False)  # cross maps of `image`
    original_maps: Tensor | None = field(default=None, repr=False)  # cross maps of `original`
    # `maps`, weighted by the length of each token's values (suppress/metrics/fetched.py): a row of zeros has 0 here,
    # even if its map is large. In the original all weights are 1, so compare `fetched` with `original_maps`
    fetched: Tensor | None = field(default=None, repr=False)
    negative_prompt: str = ""
    seeds: tuple[int, ...] = ()  # of the pictures; none for an edited picture, and for given latents
    model: str = ""  # the checkpoint's name
    model_changes: Mapping[str, Any] = field(default_factory=dict)  # what was put into it: lora, vae, clip_skip
    named: tuple[str, ...] = ()  # the targets as `remove` takes them: "hat:2" is one of several places
    # the parameters of its pictures that do not follow from the fields above (suppress/report/result_parameters.py)
    making: Mapping[str, Any] = field(default_factory=dict, repr=False)
    job: int = 0  # the number of its job in `run_batch`
    # the step after which a callback stopped the drawing. The last pictures are then shown as that step expects them
    stopped_at: int | None = None
    unfinished: int = 0  # how many pictures these are: the last ones, which were drawn together
    scored: Scores = field(default_factory=dict, init=False, repr=False)  # what `scores` found last

    def scores(self, judge: Judge) -> Scores:
        """DetScore and CLIP score of each target in `original` and `image`. judge: a `suppress.metrics.Judge(sd)`."""
        self.scored.clear()
        self.scored.update(judge.scores(self))
        return self.scored

    def table(self) -> str:
        """The scores as a Markdown table, with means over the pictures. UserError before `scores` was called."""
        from .report.show import markdown

        if not self.scored:
            raise UserError("this result has no scores yet; call result.scores(suppress.metrics.Judge(sd)) first")
        return markdown(self.scored)

    def save(self, folder: str | os.PathLike[str], overwrite: bool = False) -> list[Path]:
        """Writes the pictures, their maps if they were recorded, and a JSON file with settings and scores.

        Original and edited pictures hold their parameters, as those of the command line do, so that `--params-from`
        draws them again if all that made them has a name there.

        The folder is made if it does not exist. Returns the paths, that of the JSON file last. UserError, before
        anything is written, if one of the files exists; `overwrite` replaces them.
        """
        from .report.save import save_result

        return save_result(self, folder, overwrite)

    def _repr_html_(self) -> str:
        """What a notebook shows: the pictures, and the scores if `scores` was called."""
        from .report.show import page

        return page(self)


_TENSORS = ("latents", "original_latents", "maps", "original_maps", "fetched")  # fields of a Result


def join(results: Sequence[Result]) -> Result:
    """Joins results of one prompt and method into one result with lists of pictures. Seconds are added up."""

    def cat(name: str) -> Any:
        parts = [getattr(result, name) for result in results]
        return torch.cat(parts) if parts[0] is not None else None

    def pictures(name: str) -> list[Image.Image]:
        parts = [getattr(result, name) for result in results]
        return [picture for part in parts for picture in (part if isinstance(part, list) else [part])]

    return replace(
        results[0],
        image=pictures("image"),
        original=pictures("original"),
        mask=pictures("mask") if results[0].mask is not None else None,
        seeds=tuple(seed for result in results for seed in result.seeds),
        stopped_at=results[-1].stopped_at,
        unfinished=sum(result.unfinished for result in results),
        timings={name: sum(result.timings[name] for result in results) for name in results[0].timings},
        **{name: cat(name) for name in _TENSORS},
    )
