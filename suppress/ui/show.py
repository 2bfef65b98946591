"""What was drawn, as HTML. Every text is escaped, and every picture is inside the HTML: no file is written."""

from __future__ import annotations

import base64
import io
from argparse import Namespace
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from minisd.base.counted import counted
from minisd.base.outputs import slug
from minisd.base.picture_files import png_writer
from minisd.picture import overlay
from minisd.watch.over_time import spread

from ..metrics.judge import RECONSTRUCTION, SUPPRESSED
from .draw import Drawn, Progress
from .order import MASK_FILE, Order, command, python_call
from .runs import Waiting

FRAMES = 8  # steps of which the maps are shown, at most
THUMB = 128  # pixels of a map's longer side


def part(name: str) -> str:
    """A file of the page."""
    return files(__package__).joinpath("parts", name).read_text(encoding="utf-8")


# ---------------------------------------------------------------------- the line above the pictures


def status(news: Waiting | Progress) -> str:
    """The progress bar."""
    if isinstance(news, Waiting):
        return _render(
            "status.html.jinja",
            kind="bar",
            text=f"waiting for {counted(news.before, 'other picture')}",
            step=0,
            steps=1,
        )
    text = f"{news.label}: step {news.step} of {news.steps}" if news.step < news.steps else news.label
    return _render("status.html.jinja", kind="bar", text=text, step=news.step, steps=news.steps)


def said(text: str, kind: str = "") -> str:
    """A sentence. kind "error": something that the user can mend."""
    return _render("status.html.jinja", kind=kind, text=text)


# ---------------------------------------------------------------------- the pictures and what belongs to them


def nothing() -> str:
    """The place of the pictures before the first drawing."""
    return _render("result.html.jinja", pictures=None, drawn=False)


def preview(order: Order, pictures: Sequence[Image.Image]) -> str:
    """The unfinished pictures."""
    named = {name: {"uri": _jpeg(p), "file": ""} for name, p in zip(("original", "without"), pictures, strict=True)}
    words = _words(order.remove)
    return _render("result.html.jinja", pictures=named, drawn=False, unfinished=True, prompt=order.prompt, words=words)


def result(drawn: Drawn, model: Namespace) -> str:
    """Pictures, scores, maps, leak table, and how to make the picture again."""
    order, photo = drawn.order, drawn.order.photo
    stem = slug(order.prompt) + ("" if photo else f"-s{order.seed}")
    pictures = {
        name: {
            "uri": _png(picture, drawn.parameters if name == "without" else ""),
            "file": f"{stem}-{name}.png",
            "label": name,
        }
        for name, picture in drawn.pictures.items()
    }
    if photo:
        pictures["without"]["label"] = "edited"
    return _render(
        "result.html.jinja",
        drawn=True,
        unfinished=drawn.stopped is not None,
        pictures=pictures,
        others=[pictures[name] for name in (RECONSTRUCTION, "mask") if name in pictures],
        prompt=order.prompt,
        words=_words(drawn.targets),
        notes=drawn.notes,
        sentences=sentences(drawn),
        **_scores(drawn),
        cost=_cost(drawn),
        film=_film(drawn),
        leak=drawn.leak,
        verdict=drawn.verdict.replace("`", ""),
        command=command(order, model),
        python=python_call(order, model),
        mask={"uri": _uri(photo.mask, "png"), "file": MASK_FILE} if photo and photo.mask is not None else None,
    )


def sentences(drawn: Drawn) -> list[str]:
    """What happened, in words."""
    if drawn.stopped is not None:
        of = drawn.steps - drawn.begin
        return [f"Stopped after step {drawn.stopped} of {of}. The pictures are unfinished, and so are the scores."]
    lines = []
    for target in drawn.targets:
        values = drawn.scores.get(f"DetScore {target}", {})
        before, after = values.get("original"), values.get(SUPPRESSED)
        if not (isinstance(before, list) and isinstance(after, list)):
            lines.append(f"No detector here knows “{target}”: look at the pictures.")
        elif before[0] < 0.5 and after[0] < 0.5:
            lines.append(f"“{target}” is not in the original either: another seed may show it.")
        elif after[0] < 0.5:
            lines.append(f"“{target}” is gone.")
        else:
            lines.append(f"“{target}” is still there. An earlier start, another method or another seed may help.")
    return lines


def _scores(drawn: Drawn) -> dict[str, Any]:
    branches = [b for b in ("original", RECONSTRUCTION, SUPPRESSED) if any(b in v for v in drawn.scores.values())]
    rows = []
    for name, values in drawn.scores.items():
        found = [values.get(branch) for branch in branches]
        cells = [v[0] if isinstance(v, list) else None for v in found]
        rows.append({"name": name, "cells": cells, "remark": values.get("reason") or values.get("remark")})
    return {"scores": rows, "branches": ["without" if b == SUPPRESSED else b for b in branches]}


def _cost(drawn: Drawn) -> str:
    passes, gradients = drawn.passes
    more = f", {gradients} of them with a gradient" if gradients else ""
    return f"{passes} UNet passes{more}, {drawn.seconds:.1f} s. Method: {drawn.about}."


def _film(drawn: Drawn) -> list[dict[str, Any]]:
    """Up to FRAMES steps, evenly chosen, with the first and the last; the maps over the finished pictures."""
    count = len(drawn.maps)
    if not count:
        return []
    chosen = spread(count, FRAMES)
    low = min(float(heat.min()) for pair in drawn.maps for heat in pair)
    high = max(float(heat.max()) for pair in drawn.maps for heat in pair)
    under = [drawn.pictures.get(RECONSTRUCTION, drawn.pictures["original"]), drawn.pictures["without"]]
    frames = []
    for k in chosen:
        seen = [_thumb(p, heat, (low, high)) for p, heat in zip(under, drawn.maps[k], strict=True)]
        frames.append({"step": drawn.begin + k + 1, "original": seen[0], "edited": seen[1]})
    return frames


def _thumb(picture: Image.Image, heat: Tensor, span: tuple[float, float]) -> str:
    small = picture.copy()
    small.thumbnail((THUMB, THUMB))
    return _jpeg(overlay(small, heat, span))


def _words(targets: Sequence[str]) -> str:
    return ", ".join(targets) or "the target"


# ---------------------------------------------------------------------- pieces of HTML


def _png(picture: Image.Image, text: str) -> str:
    """The picture with its parameters, and with no other metadata."""
    file = io.BytesIO()
    png_writer(picture, text)(file)
    return _uri(file.getvalue(), "png")


def _jpeg(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=88)
    return _uri(file.getvalue(), "jpeg")


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _meter(value: float | None) -> Markup:
    """A score with a bar from 0 to 1."""
    if value is None:
        return Markup("–")
    return Markup('<span class="meter" style="--part: {:.3f}"></span> {:.3f}').format(min(max(value, 0), 1), value)


def _share(value: float) -> Markup:
    """A part of 1 in percent, with a bar."""
    return Markup('<span class="meter" style="--part: {:.3f}"></span> {:.1f} %').format(min(value, 1), 100 * value)


def _save(picture: dict[str, str]) -> Markup:
    """The link that saves a picture."""
    if not picture["file"]:
        return Markup()
    return Markup(' <a href="{uri}" download="{file}" aria-label="save {file}">save</a>').format(**picture)


@cache
def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"meter": _meter, "share": _share, "save": _save}
    return environment


def _render(name: str, **values: Any) -> str:
    return _environment().from_string(part(name)).render({"unfinished": False} | values)
