"""An output has its name only when it is finished: until then, x.png is written as x-unfinished.png.

So whoever finds x.png, such as a script that waits for it, has the whole of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .outputs import UNFINISHED, Writer, free_name, with_ending, write_output


class Output:
    """The files of one output, which may be written several times, each time with more of it:

    output = Output(out, stem, args.overwrite)                  # as for `write_output`
    output.write({".png": …, ".json": …}, finished=False)       # x-unfinished.png, and again and again
    output.write({".png": …, ".json": …})                       # x.png; x-unfinished.png is gone
    """

    def __init__(self, out: Path | None, stem: str, overwrite: bool = False):
        self._out, self._stem = out, stem
        self._overwrite = overwrite and out is not None  # a name that is found here is nobody else's
        self._finished = False
        self.files: list[Path] = []  # what is written so far

    @property
    def path(self) -> Path | None:
        """The first of the files; None until something is written."""
        return self.files[0] if self.files else None

    @property
    def name(self) -> str:
        """The name of the finished output, without ending."""
        return self.files[0].stem if self._finished else self._out.stem if self._out else self._stem

    def write(self, files: Mapping[str, Writer], finished: bool = True) -> Path:
        """Replaces what it has written before. No other file is replaced, but for the one that may be overwritten."""
        before, again = self.files, bool(self.files) and finished == self._finished
        if finished:
            path = write_output(files, before[0] if again else self._out, self._stem, self._overwrite or again)
        else:
            if self._out is None:  # now, so that the names of pictures that are saved alone may begin with it
                self._out = free_name(self._stem, beside=tuple(files)[1:])
            stem, folder = f"{self.name}{UNFINISHED}", self._out.parent
            path = write_output(files, before[0] if again else None, stem, again, folder)
        if not again:
            for file in before:
                file.unlink(missing_ok=True)
        self.files, self._finished = [path, *(with_ending(path, ending) for ending in list(files)[1:])], finished
        return path
