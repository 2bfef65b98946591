"""What `suppress` writes: a picture, a JSON file beside it, single pictures, and scores on the terminal.

The files are written before their scores are printed, and written again each time more is drawn. Until all is drawn,
their names end in "-unfinished".
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from PIL import Image

from minisd import StableDiffusion, UserError
from minisd.base.counted import counted
from minisd.base.outputs import slug, utf8, write_output
from minisd.base.picture_files import png_writer
from minisd.base.unfinished import Output
from minisd.cli import options, parameters
from minisd.cli.answer import wrote
from minisd.cli.stopping import Stopping
from minisd.emphasis import markup
from minisd.picture import overlay, sheet

from ..cli.repeat import suppress_fields
from ..defaults import default_settings
from ..methods import METHODS
from ..methods.names import value_text
from ..metrics.judge import STRENGTHENED, SUPPRESSED, Judge, Scores, both
from ..prompt import Request
from ..protocol import Method
from ..result import Result, join
from .scores import failures, join_scores, table


@dataclass
class Row:
    """A method of the report, and what it has drawn so far."""

    spec: str  # as the user wrote it
    settings: Method
    origin: str  # where its R comes from
    result: Result | None = None
    scores: Scores = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.spec.partition(":")[0]

    @property
    def drawn(self) -> int:
        """How many seeds are drawn."""
        return len(both(self.result)[1]) if self.result else 0


class Report:
    """The files of one command. All that is drawn is written at once, so nothing is lost if the command is stopped."""

    def __init__(
        self,
        sd: StableDiffusion,
        args: argparse.Namespace,
        request: Request,
        seeds: Sequence[int],
        rows: Sequence[Row],
        out: Path | None,
    ):
        self.sd, self.args, self.request, self.seeds, self.rows, self.out = sd, args, request, seeds, rows, out
        self.edited_label = STRENGTHENED if args.strengthen else SUPPRESSED
        self.judge = Judge(sd)
        self.stopping = Stopping()  # that of the last batch
        self.labels = row_labels(sd, rows, args.image is not None)
        self.told_seeds: Sequence[int] | None = seeds  # those that a message names; an edited picture has none

    @cached_property
    def output(self) -> Output:
        """The picture and the JSON file beside it, which have their names when all rows are drawn."""
        return Output(self.out, self._stem(), self.args.overwrite)

    @property
    def path(self) -> Path | None:
        """The picture, as far as it is drawn; None until something is written."""
        return self.output.path

    def add(self, row: Row, result: Result, stopping: Stopping) -> None:
        """Adds more seeds to a row, in order. The pictures are written before they are scored, and again after.

        If the user has stopped the drawing, the pictures are not scored, and KeyboardInterrupt is raised.
        """
        before, row.result = row.result, result if row.result is None else join([row.result, result])
        self.stopping = stopping
        self._write()
        self._save_pictures(row, result, start=row.drawn - len(both(result)[1]))
        if stopping.pressed:
            raise KeyboardInterrupt
        row.scores = join_scores(row.scores if before else {}, self.judge.scores(result, self.edited_label))
        self._write()

    def progress(self) -> str:
        """A sentence about what is written so far, for a command that was stopped."""
        if self.path is None:
            return "nothing was written"
        done = sum(row.drawn for row in self.rows)
        told = f"drawn: {done} of {counted(len(self.rows) * len(self.seeds), 'picture')}, in {self.path}"
        return told + self.stopping.remark()

    def print_scores(self, row: Row) -> None:
        print(table(row.scores, row.spec if len(self.rows) > 1 else "", self.edited_label))
        failed = failures(row.scores, self.request.targets, self.told_seeds, self.edited_label)
        for line in failed:
            print(line)
        if failed and self.args.sheet is None:
            print(f"what may help: {'; '.join(self._ways_out(row))}", flush=True)

    def _ways_out(self, row: Row) -> list[str]:
        ways = [f"an earlier --start (R is step {row.settings.start_step})"] if row.settings.start_step else []
        if self.args.strengthen:
            larger = {"strengthen": "factor, as --method strengthen:value=2"}
            larger["attend-and-excite"] = "step, as --method attend-and-excite:scale=40"
            ways += [f"a larger {larger[row.name]}"] if row.name in larger else []
            return ways if self.told_seeds is None else [*ways, "another --seed"]
        if row.name != "unread":
            ways.append("--method unread")
        if not getattr(row.settings, "iterations", 0):
            ways.append("--method suppress-eot --iterations 10")
        return [*ways, "naming as well what belongs to it, as red of 'a red scarf'"]

    # ------------------------------------------------------------------ files

    def _write(self) -> None:
        done = [row for row in self.rows if row.result]
        content = json.dumps(self._content(done), indent=2, ensure_ascii=False) + "\n"
        text = self._parameters(done, done[0].drawn)
        files = {".png": png_writer(self._picture(done), text), ".json": utf8(content)}
        finished = self.stopping.finished and all(row.drawn == len(self.seeds) for row in self.rows)
        before = self.output.files
        self.output.write(files, finished)
        wrote(self.args, *self.output.files, instead_of=before)
        self.args.answer["results"] = [
            {"method": row.spec, "scores": row.scores, "seeds": list(self.seeds[: row.drawn])} for row in done
        ]

    def _stem(self) -> str:
        """What the output's name begins with, if the user gave none."""
        stem = f"{slug(self.request.prompt)}-s{'-'.join(map(str, self.seeds[:LISTED]))}"
        return (
            stem + ("-and-more" if len(self.seeds) > LISTED else "") + ("-sheet" if self.args.sheet is not None else "")
        )

    def _picture(self, done: Sequence[Row]) -> Image.Image:
        return draw(drawn(done[0]), self.edited_label) if self.args.sheet is None else self._draw_sheet(done)

    def _parameters(self, rows: Sequence[Row], count: int) -> str:
        size = both(drawn(rows[0]))[0][0].size
        fields = self._original_fields(rows[0], self.seeds[0], size)
        methods = [(row.name, row.settings) for row in rows]
        sheet = self.args.sheet is not None
        fields |= suppress_fields(self.args, self.request, methods, self.seeds[:count], sheet)
        return self._text(fields)

    def _text(self, fields: Mapping[str, object]) -> str:
        """The parameters that are written into a picture."""
        return parameters.to_text(self.request.prompt, self.args.negative, {**fields, **self.stopping.fields()})

    def _original_fields(self, row: Row, seed: int, size: tuple[int, int]) -> dict[str, object]:
        """The fields that repeat an original picture, as `minisd generate` writes them."""
        s = row.settings
        return options.drawing_fields(self.sd, self.args, s.steps, s.guidance, seed, size)

    def _content(self, rows: Sequence[Row]) -> dict[str, object]:
        """The content of the JSON file: all that repeats the run, and its results."""
        args, size = self.args, both(drawn(rows[0]))[0][0].size
        making = {name.lower(): value for name, value in options.making_fields(self.sd).items()}
        return {
            "prompt": markup(self.request.prompt),
            "targets": self.request.targets,
            "remove": self.request.named,  # as --remove takes them; "hat:2" means one of several places
            "strengthen": bool(args.strengthen),
            "negative_prompt": markup(args.negative),
            "model": self.sd.name,
            "variant": args.variant,
            "revision": args.revision,
            "ema": bool(args.ema),
            "lora": args.lora or [],
            "vae": args.vae,
            "clip_skip": args.clip_skip or 0,
            "precision": args.dtype or "fp32",
            "engine": args.engine or "fast",
            "width": size[0],
            "height": size[1],
            "seeds": self.seeds[: rows[0].drawn],
            **making,
            "parameters": self._parameters(rows, rows[0].drawn),
            "results": [self._row_content(row) for row in rows],
        }

    def _row_content(self, row: Row) -> dict[str, object]:
        return {
            "method": row.spec,
            "settings": asdict(row.settings),
            **({} if drawn(row).stopped_at is None else {"stopped_at": drawn(row).stopped_at}),
            "scores": row.scores,
            "seconds": drawn(row).timings,
        }

    def _save_pictures(self, row: Row, result: Result, start: int) -> None:
        """Writes each new picture by itself. `start`: the index of its first seed.

        The originals are the same in all rows, so they are written with the first row only.
        """
        if self.args.save_pictures is None:
            return
        folder = Path(self.args.save_pictures)
        folder.mkdir(exist_ok=True)
        k = self.rows.index(row)
        ending = slug(self.labels[k]) if self.args.sheet is not None else self.edited_label
        stem = slug(self.request.prompt)
        for seed, original, picture in zip(self.seeds[start:], *both(result), strict=False):
            fields = self._original_fields(row, seed, picture.size)
            if k == 0:
                text = self._text(fields)
                name = f"{stem}-s{seed}-original{self.stopping.ending}"
                wrote(self.args, write_output({".png": png_writer(original, text)}, None, name, folder=folder))
            text = self._edit_parameters(row, seed)
            name = f"{stem}-s{seed}-{ending}{self.stopping.ending}"
            wrote(self.args, write_output({".png": png_writer(picture, text)}, None, name, folder=folder))

    def _edit_parameters(self, row: Row, seed: int = 0) -> str:
        """The parameters that repeat one row's edited picture."""
        fields = self._original_fields(row, seed, both(drawn(row))[0][0].size)
        fields |= suppress_fields(self.args, self.request, [(row.name, row.settings)], [seed])
        return self._text(fields)

    def _draw_sheet(self, rows: Sequence[Row]) -> Image.Image:
        """One row per method, one column per seed, the originals on top.

        A picture's label is the DetScore of the first target and the row's label.
        """
        originals = both(drawn(rows[0]))[0]
        cells, labels = [originals], [scored("original", rows[0].scores, "original", len(originals))]
        for label, row in zip(self.labels, rows, strict=False):
            pictures = both(drawn(row))[1]
            cells.append(pictures)
            labels.append(scored(label, row.scores, self.edited_label, len(pictures)))
        return sheet(cells, labels)


LISTED = 8  # at most so many seeds stand in a file's name


def drawn(row: Row) -> Result:
    """What a row has drawn, of which there is something."""
    assert row.result is not None
    return row.result


# ---------------------------------------------------------------------- pictures


def draw(result: Result, edited_label: str = SUPPRESSED) -> Image.Image:
    """Two rows per seed: the original and the edited picture, and under each a map of what it fetched of the targets,
    if the prompt has them.

    Both maps of a seed have one scale, so a target that is gone is dark. The original's map is its cross map; the map
    of the edited picture is weighted, so that the two can be compared (suppress/metrics/fetched.py).
    """
    maps = result.maps if result.fetched is None else result.fetched
    if maps is None or result.original_maps is None:
        raise UserError("this result has no maps; run with maps=True")
    name, rows = ", ".join(result.targets), list(result.rows)
    cells: list[list[Image.Image]] = []
    labels: list[list[str]] = []
    for k, pictures in enumerate(zip(*both(result), strict=True)):
        cells.append(list(pictures))
        labels.append(["original", edited_label])
        if not rows:
            continue
        heats = [part[k, rows].sum(dim=0) for part in (result.original_maps, maps)]
        span = (float(heats[0].min()), float(heats[0].max()))
        cells.append([overlay(p, heat, span) for p, heat in zip(pictures, heats, strict=True)])
        labels.append([f"{name} {float(heat.mean()):.1%}" for heat in heats])
    return sheet(cells, labels)


def row_labels(sd: StableDiffusion, rows: Sequence[Row], picture: bool = False) -> list[str]:
    """A label for each row of a sheet: the method's name, and the settings in which it differs from the other rows.

    picture: whether they edit a picture, for which `keep` has another default. If several rows have the same method,
    the label has these settings only, because long labels are cut.
    """
    changed = []  # for each row the settings that are not the method's defaults
    for row in rows:
        usual, _origin = default_settings(
            sd, row.name, picture, steps=rows[0].settings.steps, guidance=rows[0].settings.guidance
        )
        pairs = {name: getattr(row.settings, name) for name in METHODS[row.name].settings}
        changed.append(
            {f"{name}={value_text(value)}" for name, value in pairs.items() if value != getattr(usual, name)}
        )
    shared = set.intersection(*changed) if len(rows) > 1 else set()
    labels, names = [], [row.name for row in rows]
    for name, settings in zip(names, changed, strict=True):
        own = ",".join(sorted(settings - shared))
        labels.append(own if own and names.count(name) > 1 else f"{name}:{own}" if own else name)
    return labels


def scored(label: str, scores: Scores, branch: str, count: int) -> list[str]:
    values = next(iter(scores.values()), {}).get(branch, [])
    known = values if isinstance(values, list) else []
    return [f"{known[k]:.2f} {label}" if k < len(known) else label for k in range(count)]
