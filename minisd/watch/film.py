"""A drawing as a film: the expected picture at each step.

    film = minisd.Film()
    sd.generate("a cat wearing a crown", callback=film)       # or suppress.run(…, callback=film)
    film.save("cat.gif")

A frame shows the picture as a step expects it (minisd/watch/step.py), not the latents at that step: these are noise
until the last steps, while the expected picture has its layout from the first ones on.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..base.arguments import whole_number
from ..base.errors import UserError
from ..base.outputs import Writer, check_file, write_output
from .step import Callback, Step, wants_to_stop

FRAME, LAST = 100, 2000  # milliseconds that a frame is shown, and the last one


class Film:
    """A callback that keeps a frame for each step: its pictures side by side, or with `suppress.run` both branches.

    every: keep every n-th step only, and the last one. callback: another one, which is called too and may stop.
    """

    def __init__(self, every: int = 1, callback: Callback | None = None):
        self.every, self.callback = whole_number("every", every, 1), callback
        self.frames: list[Image.Image] = []

    def __call__(self, step: Step) -> object:
        answer = None if self.callback is None else self.callback(step)
        if is_kept(step.i, step.total, self.every) or wants_to_stop(answer):
            self.frames.append(step.sheet())
        return answer

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Writes a GIF, which plays again and again. UserError if there is no frame, or if the file exists."""
        out = check_file(path, overwrite, ".gif", in_python=True)
        return write_output({out.suffix: gif_writer(self.frames)}, out, out.stem, overwrite)


def is_kept(i: int, total: int, every: int) -> bool:
    """Whether a film with every n-th step, and the last one, has step i."""
    return i % every == 0 or i == total - 1


def gif_writer(frames: Sequence[Image.Image], comment: str = "") -> Writer:
    """A function that writes the frames as a GIF into an open file. UserError if there is none."""
    if not frames:
        raise UserError("a film without frames; draw something with callback=film first")
    times = [FRAME] * (len(frames) - 1) + [LAST]
    about = {"comment": comment.encode("utf-8", "backslashreplace")} if comment else {}
    return lambda file: frames[0].save(
        file, format="GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, **about
    )
