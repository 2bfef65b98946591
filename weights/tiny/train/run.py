"""All stages in order. A stage whose files are there is finished, and is not run again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from minisd.base.outputs import write_text

from . import settings as kept
from .captions import described
from .clip import ClipStage
from .detector import DetectorStage
from .drawings import Drawings
from .files import MODEL, PIPELINE
from .journal import Journal
from .loop import Training
from .processes import Processes
from .recipe import RECIPES
from .settings import Given, Settings
from .stage import WORK, Job, Stage
from .unet import UNetStage
from .vae import VAEStage
from .vocabulary import single_words, write_tokenizer

# each stage, and the file that it writes last
STAGES: dict[type[Stage], str] = {
    ClipStage: f"clip/{MODEL}",
    VAEStage: f"vae/{PIPELINE}",
    DetectorStage: f"detector/{MODEL}",
    UNetStage: f"unet/{PIPELINE}",
}


def train(
    out: Path, given: Given, processes: Processes, workers: int = 0, resume: bool = False, compiled: bool = False
) -> None:
    """Makes a model in the folder `out`, or goes on with it.

    UserError for settings that cannot be, if `out` exists, and with `resume` if it holds no run of these settings.
    """
    if processes.is_first and not resume:
        kept.begin(out, given, processes.count)
    processes.wait()
    settings = kept.resume(out, given, processes.count)
    job = replace(make_job(out, settings, processes), workers=workers, compiled=compiled)
    if processes.is_first:
        _tokenizer(job)
    processes.wait()
    with job.drawings.kept(processes):
        for stage, last in STAGES.items():
            if not (out / last).is_file():
                _stage(stage(job))


def make_job(out: Path, settings: Settings, processes: Processes) -> Job:
    """What the stages of a run share."""
    recipe = replace(RECIPES[settings.recipe], pictures=settings.pictures)
    work = out / WORK
    drawings = Drawings(work / "drawings", out / "tokenizer", recipe.model, settings.pictures, settings.seed)
    journal = Journal(work / "log.jsonl", processes)
    return Job(out, recipe, settings.seed, settings.budgets, processes, drawings, journal)


def _tokenizer(job: Job) -> None:
    """The tokenizer's stage: learns from the captions of a quarter of the pictures, which have every word."""
    words = job.work / "words.json"
    if words.is_file():
        return
    texts = [text for number in range(-(-job.recipe.pictures // 4)) for text in described(job.seed, number)[1]]
    tokenizer = write_tokenizer(job.out / "tokenizer", texts)
    known = single_words(tokenizer, texts)
    write_text(words, json.dumps(known))
    job.journal.write("tokenizer", tokens=tokenizer.size, words=len(known))


def _stage(stage: Stage) -> None:
    job, training = stage.job, Training(stage)
    best = training.run()
    if job.processes.is_first:
        stage.export(best)
        training.file.unlink(missing_ok=True)
    job.journal.write(stage.name, finished=training.steps, seconds=training.watch.seconds)
    job.processes.wait()
