"""What the tests share."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import settings
from safetensors.torch import load_file

import minisd
from minisd.base.inputs import read_json
from minisd.loading.diffusers_layout import CONFIGS
from minisd.loading.source import data_folder

# The embedded model is so small that a second thread gains nothing, and threads that share their cores with other
# work wait for each other: up to fifty times longer. The variables are for the processes that tests start.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# no deadline: the first example of a property may load or compile something, and machines are shared
settings.register_profile("minisd", deadline=None)
settings.load_profile("minisd")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 120_000  # milliseconds until Chromium must have started, on a busy machine


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium, for tests with the marker `browser`. They skip without it."""
    if CHROMIUM is None:
        pytest.skip("no Chromium found")
    playwright = pytest.importorskip("playwright.sync_api", reason='no playwright found: pip install "minisd[browser]"')
    with playwright.sync_playwright() as driver:
        # a container's root has no sandbox of Chromium's
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def sd():
    """The embedded model on the CPU, in float32."""
    return minisd.load("tiny", device="cpu")


@pytest.fixture(scope="session")
def goldens():
    """What diffusers computes with the embedded model: tensors by name, told in goldens/make_tiny.py."""
    return load_file(Path(__file__).parent / "goldens" / "tiny.safetensors")


@pytest.fixture(scope="session")
def inputs(goldens):
    """(z, t, ctx) for the UNet: two samples with different prompts."""
    return goldens["unet.z"], 501, goldens["text.last_hidden"][goldens["unet.ctx_index"]]


class Part(torch.nn.Module):
    """A part of a pipeline of diffusers: a module with a config and the names of its checkpoint file."""

    def __init__(self, module, config):
        super().__init__()
        self.module, self.config = module, config

    def state_dict(self):
        return self.module.state_dict()


@pytest.fixture
def pipe(sd):
    """What `minisd.from_pipeline` looks at in a StableDiffusionPipeline; diffusers itself is an optional extra.

    Its modules are those of `sd`: a test that changes one copies it first.
    """
    tiny = data_folder() / "tiny"
    configs = {part: read_json(tiny / file) for part, file in CONFIGS.items()}
    parts = {part: Part(getattr(sd, part), configs[part]) for part in ("unet", "vae", "text_encoder")}
    tokenizer = SimpleNamespace(
        save_pretrained=lambda folder: shutil.copytree(tiny / "tokenizer", folder, dirs_exist_ok=True)
    )
    scheduler = SimpleNamespace(config=configs["scheduler"])
    return SimpleNamespace(name_or_path="some/pipeline", tokenizer=tokenizer, scheduler=scheduler, **parts)


@pytest.fixture(scope="session")
def small(sd):
    """Pictures of 64 pixels by few layers with random weights: for what looks at no picture, and for compilers."""
    torch.manual_seed(0)
    unet = replace(sd.config.unet, channels=(32, 64), attention=(True, True), layers=1, sample_size=8)
    vae = replace(sd.config.vae, channels=(32, 32, 32, 32), layers=1)
    parts = {"unet": minisd.UNet(unet), "vae": minisd.AutoencoderKL(vae)}
    for part in parts.values():
        part.eval().requires_grad_(False)
    return replace(sd, config=replace(sd.config, unet=unet, vae=vae), **parts)
