"""The committed model against the recipe's losses: what it was trained for is what the recipe asks."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from minisd.loading.source import data_folder
from weights.tiny.train.budget import STAGES, Budget
from weights.tiny.train.clip import ClipStage
from weights.tiny.train.detector import DetectorStage
from weights.tiny.train.files import MODEL, PIPELINE, read_weights
from weights.tiny.train.processes import Processes
from weights.tiny.train.randomness import generator
from weights.tiny.train.run import make_job
from weights.tiny.train.settings import Settings
from weights.tiny.train.unet import UNetStage
from weights.tiny.train.vae import VAEStage

CPU = torch.device("cpu")
TINY = data_folder() / "tiny"


@pytest.fixture
def tiny_job(micro, tmp_path):
    """A run whose earlier stages have the committed weights."""
    out = tmp_path / "model"
    (out / "training").mkdir(parents=True)
    for part in ("tokenizer", "text_encoder", "vae"):
        (out / part).symlink_to(TINY / part)
    (out / "training" / "words.json").write_text('{"red": 579}')
    made = make_job(out, Settings("tiny", 2026, 8, 1, dict.fromkeys(STAGES, Budget("steps", 1))), Processes(CPU))
    descents = {name: replace(d, batch=8) for name, d in made.recipe.descents.items()}
    with made.drawings.kept(made.processes):
        yield replace(made, recipe=replace(made.recipe, descents=descents))


def committed(stage):
    """Puts the committed weights into the stage's model."""
    if isinstance(stage, ClipStage):
        weights = {k: x.float() for k, x in load_file(TINY / "clip" / MODEL).items()}
        names = {k: k if k == "logit_scale" else f"clip.{k}" for k in weights}
        stage.model.load_state_dict({names[k]: x for k, x in weights.items()})
    elif isinstance(stage, VAEStage):
        read_weights(TINY / "vae" / PIPELINE, stage.model.vae)
    else:
        read_weights(TINY / stage.name / (MODEL if stage.name == "detector" else PIPELINE), stage.model)
    return stage.model.eval()


@pytest.mark.parametrize(
    ("kind", "loss", "most"),
    [
        (ClipStage, "contrastive", 0.5),
        (VAEStage, "loss", 0.15),
        (DetectorStage, "loss", 0.05),
        (UNetStage, "loss", 0.1),
    ],
)
def test_the_committed_model_is_good_by_the_losses_of_the_recipe(tiny_job, kind, loss, most):
    stage = kind(tiny_job)
    batch = next(stage.batches(0))

    def value():
        with torch.no_grad():
            return float(stage.losses(stage.model, batch, generator(0, stage.name, 0, 0, CPU))[loss])

    stage.model.eval()
    untrained = value()
    committed(stage)
    assert value() < most * untrained
