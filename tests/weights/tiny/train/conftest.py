"""A micro model that the recipe has made, and the parts of a run for tests of one stage."""

from dataclasses import replace

import pytest
import torch

from weights.tiny.train.budget import Budget
from weights.tiny.train.processes import Processes
from weights.tiny.train.recipe import MICRO
from weights.tiny.train.run import make_job, train
from weights.tiny.train.settings import Given, Settings
from weights.tiny.train.stage import WORK

CPU = Processes(torch.device("cpu"))


@pytest.fixture(scope="session")
def micro(tmp_path_factory):
    """The folder of an unbroken run."""
    out = tmp_path_factory.mktemp("micro") / "model"
    train(out, Given("micro", seed=3), CPU)
    return out


@pytest.fixture
def job(micro, tmp_path):
    """A run that finds the micro model's parts, and writes into a folder of its own. Its pictures can be drawn."""
    out = tmp_path / "model"
    (out / WORK).mkdir(parents=True)
    for part in ("tokenizer", "text_encoder", "vae"):
        (out / part).symlink_to(micro / part)
    (out / WORK / "words.json").symlink_to(micro / WORK / "words.json")
    settings = Settings("micro", 3, 16, 1, {stage: Budget("steps", d.steps) for stage, d in MICRO.descents.items()})
    made = make_job(out, settings, CPU)
    with made.drawings.kept(CPU):
        yield made


@pytest.fixture
def unsaved(job):
    """The same run, which writes no checkpoint and no line of its log in its first steps."""
    descents = {name: replace(d, save_every=1000) for name, d in job.recipe.descents.items()}
    return replace(job, recipe=replace(job.recipe, descents=descents))
