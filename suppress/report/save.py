"""`Result.save`: the pictures of a result, its maps, and a JSON file with settings and scores, in one folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from minisd import UserError
from minisd.base.outputs import Writer, slug, utf8, write_output
from minisd.base.picture_files import png_writer
from minisd.emphasis import markup

from ..metrics.judge import RECONSTRUCTION, SUPPRESSED, both
from .result_parameters import picture_text

if TYPE_CHECKING:
    from ..result import Result


def save_result(result: Result, folder: str | os.PathLike[str], overwrite: bool) -> list[Path]:
    """Writes the files and returns their paths, that of the JSON file last. `Result.save` tells the errors."""
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise UserError(f"{place} is a file; give the name of a folder")
    files: dict[Path, Writer] = {
        place / f"{name}.png": png_writer(picture, text) for name, picture, text in _pictures(result)
    }
    about = place / f"{slug(result.prompt)}.json"
    there = [path for path in (*files, about) if os.path.lexists(path)]
    if there and not overwrite:
        raise UserError(f"{there[0]} exists; give another folder, or overwrite=True to replace it")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{place} cannot be made: {error.strerror}; give another folder") from None
    written = [write_output({".png": write}, path, path.stem, overwrite) for path, write in files.items()]
    content = json.dumps(_content(result, written), indent=2, ensure_ascii=False, default=str) + "\n"
    return [*written, write_output({".json": utf8(content)}, about, about.stem, overwrite)]


def _pictures(result: Result) -> Iterator[tuple[str, Image.Image, str]]:
    """The pictures, before them their names without ending, "a-man-s0-original", and after them their parameters."""
    stem, (original, edited) = slug(result.prompt), both(result)
    masks = result.mask if isinstance(result.mask, list) else [result.mask] * len(edited)
    for k, pair in enumerate(zip(original, edited, strict=True)):
        which = f"-s{result.seeds[k]}" if result.seeds else f"-{k + 1}" if len(edited) > 1 else ""
        seed = result.seeds[k] if result.seeds else None
        drawn = result.reconstruction is None  # else, the original is the user's picture
        finished = k < len(edited) - result.unfinished
        texts = {
            "original": picture_text(result, pair[0], seed, False, finished) if drawn else "",
            SUPPRESSED: picture_text(result, pair[1], seed, True, finished),
        }
        named = {"original": pair[0], RECONSTRUCTION: result.reconstruction, SUPPRESSED: pair[1], "mask": masks[k]}
        for name, picture in named.items():
            if isinstance(picture, Image.Image):
                yield f"{stem}{which}-{name}", picture, texts.get(name, "")
    if result.maps is not None and result.rows:
        yield f"{stem}-maps", _maps(result), ""


def _maps(result: Result) -> Image.Image:
    from .files import draw
    from .picture import draw_picture

    return draw(result) if result.reconstruction is None else draw_picture(result)


def _content(result: Result, written: list[Path]) -> dict[str, object]:
    [width, height] = both(result)[1][0].size
    return {
        "prompt": markup(result.prompt),
        "negative_prompt": markup(result.negative_prompt),
        "targets": result.targets,
        "model": result.model,
        **{"lora": [], "vae": None, "clip_skip": 0, **result.model_changes},
        "seeds": result.seeds,
        "width": width,
        "height": height,
        "method": type(result.settings).__name__,
        "settings": asdict(result.settings),
        "stopped_at": result.stopped_at,
        "unfinished": result.unfinished,
        "scores": result.scored,
        "seconds": result.timings,
        "files": [path.name for path in written],
    }
