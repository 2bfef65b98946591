"""Findings as figures. matplotlib is imported when a figure is drawn; without pyplot there is no global state."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from minisd import UserError
from minisd.config import CONTEXT

from .findings import NAMES, Findings, Panel
from .leak import FORMS, summarise, verdict
from .moved import columns, labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
# two colours that differ in brightness too, and a light third one
COLOURS = {"original": "#1f3b73", "swr": "#e07b39", "hidden": "#9fb8ad"}


MISSING = 'matplotlib draws the figures and is not there: pip install "minisd[plots]"'


def can_draw() -> bool:
    """Whether matplotlib, an optional package, is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def to_image(figure: Figure) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _figure(width: float, height: float) -> Figure:
    if not can_draw():
        raise UserError(MISSING)
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI)


# ---------------------------------------------------------------------- pictures

# all in inches
SIDE = 1.7  # width and height of a picture
GAP = 0.12  # between two pictures
LABEL = 0.3  # height of a column's label
CAPTION = 0.18  # height of one line of scores under a column
MARGIN = 0.55  # on the left, for the seeds


def draw_panels(findings: Findings, title: str, columns: int = 8) -> Figure:
    """One column per panel, one row per seed, and under each column the means of its scores.

    After `columns` columns a new line begins.
    """
    panels = findings.panels
    seeds = list(dict.fromkeys(row["seed"] for row in findings.rows))
    lines = [panels[k : k + columns] for k in range(0, len(panels), columns)]
    width = MARGIN + max(min(len(panels), columns), 3) * (SIDE + GAP) + GAP
    head, foot = _wrap([title], width, 11), _wrap([*findings.notes, *findings.remarks], width, 8)
    top = 0.25 + 0.2 * len(head)
    line_height = LABEL + len(seeds) * (SIDE + GAP) + CAPTION * len(_captions(panels[0])) + 0.1
    height = top + line_height * len(lines) + 0.15 + 0.15 * len(foot)
    figure = _figure(width, height)
    figure.text(0.1 / width, 1 - 0.1 / height, "\n".join(head), va="top", fontsize=11)
    figure.text(0.1 / width, 0.08 / height, "\n".join(foot), va="bottom", fontsize=8, color="0.35")
    for n, line in enumerate(lines):
        for column, panel in enumerate(line):
            x, y = MARGIN + column * (SIDE + GAP), height - top - n * line_height
            _draw_column(figure, panel, seeds if column == 0 else None, x, y)
    return figure


def draw_pairs(findings: Findings, title: str) -> Figure:
    """`draw_panels` in two lines: the second half of the panels under the first half."""
    return draw_panels(findings, title, columns=len(findings.panels) // 2)


def _draw_column(figure: Figure, panel: Panel, seeds: Sequence[int] | None, x: float, y: float) -> None:
    """Draws one panel. Its upper left corner is at (x, y) inches."""
    width, height = figure.get_size_inches()
    figure.text((x + SIDE / 2) / width, (y - 0.06) / height, panel.label, ha="center", va="top", fontsize=9)
    y -= LABEL
    for k, picture in enumerate(panel.pictures):
        y -= SIDE
        axes = figure.add_axes((x / width, y / height, SIDE / width, SIDE / height))
        axes.imshow(np.asarray(picture))
        axes.axis("off")
        if seeds is not None:
            middle = (y + SIDE / 2) / height
            figure.text(
                (x - 0.12) / width, middle, f"seed {seeds[k]}", rotation=90, ha="right", va="center", fontsize=8
            )
        y -= GAP
    caption = "\n".join(_captions(panel))
    figure.text(
        (x + SIDE / 2) / width, (y + 0.06) / height, caption, ha="center", va="top", fontsize=8, linespacing=1.4
    )


def _captions(panel: Panel) -> list[str]:
    """One line per score: the mean over the seeds, or a dash if a value is missing."""
    values = {NAMES[name]: panel.mean(name) for name in panel.scores}
    return [
        f"{name} {'–' if v is None else '∞' if v == float('inf') else _number(name, v)}" for name, v in values.items()
    ]


def _number(name: str, value: float) -> str:
    return f"{value:.1f} dB" if name == "PSNR" else f"{value:.3f}"


def _wrap(texts: Sequence[str], width: float, size: int) -> list[str]:
    """The texts as lines that fit into `width` inches, in letters of `size` points. Each text begins a new line.

    A letter is about 0.55 of its size wide.
    """
    fit = max(int((width - 0.2) * 72 / (0.55 * size)), 20)
    return [line for text in texts for line in textwrap.wrap(text, fit)]


# ---------------------------------------------------------------------- numbers


def draw_singular(findings: Findings, title: str) -> Figure:
    """Left: the spectra of χ and Ψ, and that of χ after SWR. Right: the energy in the K largest values."""
    figure = _figure(9.5, 4.2)
    left, right = figure.subplots(1, 2)
    names = {"target+eot": "χ: target and [EOT]", "eot": "Ψ: [EOT] alone"}
    styles: dict[str, dict[str, Any]] = {"target+eot": {"lw": 1.8}, "eot": {"lw": 1.2, "ls": "--"}}
    for matrix, colour in (("target+eot", COLOURS["original"]), ("eot", "0.45")):
        rows = [row for row in findings.rows if row["matrix"] == matrix]
        k = [row["index"] + 1 for row in rows]
        left.semilogy(k, [r["sigma"] for r in rows], color=colour, label=names[matrix], **styles[matrix])
        right.plot(k, [r["energy"] for r in rows], color=colour, label=names[matrix], **styles[matrix])
        if matrix == "target+eot":
            # values such as e^(-110) are left out: the axis ends far above them
            swr = [r["swr"] if r["swr"] > 1e-4 else float("nan") for r in rows]
            left.semilogy(k, swr, ".-", color=COLOURS["swr"], lw=1, ms=4, label="χ after SWR, σ e^(-γσ), if above 1e-4")
    largest = max(row["sigma"] for row in findings.rows)
    room = 100 * largest  # for the legend
    left.set(xlabel="K, largest first", ylabel="K-th singular value σ", ylim=(1e-4, room))
    right.set(xlabel="K", ylabel="share of Σσ² in the first K", ylim=(None, 1.002))
    for axes in (left, right):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    left.legend(fontsize=8, loc="upper right")
    right.legend(fontsize=8, loc="lower right")
    return _finish(figure, title, findings)


def draw_distance(findings: Findings, title: str) -> Figure:
    """Two 77 × 77 matrices. The axes name the words and the last token; the rest is padding."""
    figure = _figure(17, 8.2)
    tokens = [findings.rows[0]["token_i"], *(row["token_j"] for row in findings.rows[: CONTEXT - 1])]
    named = [*range(tokens.index("[EOT]") + 1), CONTEXT - 1]
    for axes, (key, name) in zip(
        figure.subplots(1, 2), (("euclidean", "|c_i - c_j|"), ("cosine", "1 - cos(c_i, c_j)")), strict=True
    ):
        matrix = np.zeros((CONTEXT, CONTEXT))
        for row in findings.rows:
            matrix[row["i"], row["j"]] = matrix[row["j"], row["i"]] = row[key]
        # [SOT] may be far from all other tokens; a scale that includes it would leave the rest dark
        image = axes.imshow(matrix, vmax=matrix[1:, 1:].max(), cmap="viridis", interpolation="nearest")
        figure.colorbar(image, ax=axes, shrink=0.8)
        axes.set_title(name, fontsize=10)
        # a row of the matrix is 6.5 points high, about as high as a letter
        labels = [f"{tokens[j]} {j}" for j in named]
        axes.set_yticks(named, labels, fontsize=6)
        axes.set_xticks(named, labels, fontsize=6, rotation=90)
    return _finish(figure, title, findings)


def draw_leak(findings: Findings, title: str) -> Figure:
    """Three bars per token. The target is marked; [EOT] stands for the mean over its rows."""
    rows = summarise(findings)
    figure = _figure(max(6.5, 1.2 + 0.9 * len(rows)), 4.4)
    axes: Axes = figure.subplots()
    names = {"original": "original", "swr": "after SWR", "hidden": "target hidden in the encoder, its row 0"}
    for n, form in enumerate(FORMS):
        centres = np.arange(len(rows)) + (n - 1) * 0.27
        values = [row[form] for row in rows]
        axes.bar(centres, values, 0.25, color=COLOURS[form], label=names[form])
        for x, value in zip(centres, values, strict=True):
            axes.text(x, value + 0.01, f"{value:.0%}", ha="center", va="bottom", fontsize=5.5)
    for x, row in enumerate(rows):
        if row["part"] == "target":
            axes.axvspan(x - 0.5, x + 0.5, color="0.92", zorder=0)
    axes.set_xticks(range(len(rows)), [f"{r['token']}\n{r['position']}" for r in rows], fontsize=8)
    axes.set(ylabel="|c(p) - c(p')| / |c(p)|", xlim=(-0.6, len(rows) - 0.4))
    axes.legend(fontsize=8)
    axes.margins(y=0.12)
    findings = Findings(findings.rows, notes=[verdict(findings), *findings.notes])
    return _finish(figure, title, findings)


def draw_moved(findings: Findings, title: str) -> Figure:
    """A matrix: a line per method, a column per token; [EOT] stands for the mean over its rows."""
    shown, tokens = columns(findings), labels(findings)
    matrix = np.array([[column.cells[position] for position in tokens] for column in shown])
    figure = _figure(3 + 0.55 * len(tokens), 2 + 0.3 * len(shown))
    axes: Axes = figure.subplots()
    axes.imshow(matrix, vmin=0, vmax=max(matrix.max(), 1), cmap="Oranges", aspect="auto", interpolation="nearest")
    for (y, x), value in np.ndenumerate(matrix):
        axes.text(x, y, f"{value:.0%}", ha="center", va="center", fontsize=6)
    axes.set_yticks(range(len(shown)), [column.name for column in shown], fontsize=8)
    names = [f"{token}{' *' if is_target else ''} {position}" for position, (token, is_target) in tokens.items()]
    axes.set_xticks(range(len(names)), names, fontsize=7, rotation=60, ha="right")
    notes = ["|c'_j - c_j| / |c_j| at step R; * is the target", *findings.notes]
    return _finish(figure, title, Findings(findings.rows, notes=notes))


def _finish(figure: Figure, title: str, findings: Findings) -> Figure:
    """Adds the title and the notes, and leaves the space that they need."""
    width, height = figure.get_size_inches()
    head, foot = _wrap([title], width, 11), _wrap(findings.notes, width, 8)
    figure.text(0.1 / width, 1 - 0.1 / height, "\n".join(head), va="top", fontsize=11)
    figure.text(0.1 / width, 0.08 / height, "\n".join(foot), va="bottom", fontsize=8, color="0.35")
    figure.tight_layout(rect=(0, (0.1 + 0.16 * len(foot)) / height, 1, 1 - (0.15 + 0.2 * len(head)) / height))
    return figure
