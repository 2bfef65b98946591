"""All stages, from nothing to a model that draws."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import minisd
from suppress.metrics import ClipScore, Detector
from weights.tiny.train import run as recipe_run
from weights.tiny.train.processes import Processes
from weights.tiny.train.run import STAGES, train
from weights.tiny.train.settings import Given

CPU = Processes(torch.device("cpu"))
GIVEN = Given("micro", seed=3)


def files(out):
    """The content of every file of the model; the work's folder is left out."""
    found = sorted(p for p in out.rglob("*") if p.is_file() and "training" not in p.parts)
    return {str(p.relative_to(out)): p.read_bytes() for p in found}


def lines(out):
    return [json.loads(line) for line in (out / "training" / "log.jsonl").read_text().splitlines()]


def test_the_model_loads_and_draws(micro):
    sd = minisd.load(micro, device="cpu")
    [picture] = sd.generate("a man without glasses", steps=2)
    assert picture.size == (32, 32)
    assert sd.config.text.vocab_size == sd.tokenizer.size
    scores = Detector.of(sd).scores([picture])
    assert len(scores) == 37 and 0 < scores["glasses"].item() < 1
    assert 0 <= ClipScore.of(sd)([picture], "glasses").item() <= 2.5


def test_weights_are_float16_and_no_scratch_is_left(micro):
    for part in ("unet", "vae", "text_encoder", "clip"):
        [file] = (micro / part).glob("*.safetensors")
        assert {x.dtype for x in load_file(file).values()} == {torch.float16}
    left = {p.name for p in (micro / "training").iterdir()}
    assert left == {"log.jsonl", "run.json", "samples", "words.json"}


def test_the_log_and_the_sheets(micro):
    log = lines(micro)
    for stage in ("clip", "vae", "detector", "unet"):
        steps = [line for line in log if line["stage"] == stage and "step" in line]
        assert [line["step"] for line in steps] == [1, 4]
        assert all(line["loss"] > 0 and line["seconds"] > 0 for line in steps)
    sheets = {p.name: Image.open(p).size for p in (micro / "training" / "samples").iterdir()}
    assert set(sheets) == {f"{stage}-{step:06}.png" for stage in ("vae", "unet") for step in (4, 6)}
    assert sheets["vae-000006.png"] == (16 * 36 + 4, 2 * 36 + 4)


def test_a_seed_gives_the_same_weights_twice(micro, tmp_path):
    """The second time with a worker process that draws."""
    train(tmp_path / "again", GIVEN, CPU, workers=1)
    assert files(tmp_path / "again") == files(micro)


def test_stopped_in_every_stage_and_resumed(micro, tmp_path, monkeypatch):
    """Ctrl-C in each stage; going on gives the weights of the run that was never stopped."""
    out, stopped = tmp_path / "model", []

    def stop_once(stage, method):
        def losses(self, forward, batch, random):
            if stage not in stopped:
                stopped.append(stage)
                os.kill(os.getpid(), signal.SIGTERM if stage == "vae" else signal.SIGINT)
            return method(self, forward, batch, random)

        return losses

    for stage in STAGES:
        monkeypatch.setattr(stage, "losses", stop_once(stage.name, stage.losses))
    for number, stage in enumerate(STAGES):
        with pytest.raises(KeyboardInterrupt, match=f"{stage.name}: 1 step kept; go on with --resume"):
            train(out, GIVEN if number == 0 else Given(), CPU, resume=number > 0)
        assert not (out / "training" / "drawings").exists()
    train(out, Given(), CPU, resume=True)
    assert files(out) == files(micro)
    assert [line["resumed"] for line in lines(out) if "resumed" in line] == [1, 1, 1, 1]


def test_a_crash_keeps_the_last_checkpoint(micro, tmp_path, monkeypatch):
    out, method, calls = tmp_path / "model", recipe_run.UNetStage.losses, []

    def losses(self, forward, batch, random):
        calls.append(1)
        if len(calls) == 6:
            raise RuntimeError("power cut")
        return method(self, forward, batch, random)

    monkeypatch.setattr(recipe_run.UNetStage, "losses", losses)
    with pytest.raises(RuntimeError, match="power cut"):
        train(out, GIVEN, CPU)
    train(out, Given(), CPU, resume=True)
    assert [line["resumed"] for line in lines(out) if "resumed" in line] == [4]
    assert files(out) == files(micro)


def test_a_finished_run_does_nothing_more(micro):
    before = files(micro), lines(micro)
    train(micro, Given(), CPU, resume=True)
    assert (files(micro), lines(micro)) == before


def test_an_existing_folder_is_refused(micro):
    before = files(micro)
    with pytest.raises(minisd.UserError, match=r"exists; give another name, or --resume"):
        train(micro, GIVEN, CPU)
    assert files(micro) == before


def test_compiling_is_asked_of_torch(job, monkeypatch):
    from weights.tiny.train.clip import ClipStage
    from weights.tiny.train.loop import Training

    asked = []
    monkeypatch.setattr(torch, "compile", lambda model: asked.append(model) or model)
    Training(ClipStage(job))
    assert not asked
    Training(ClipStage(replace(job, compiled=True)))
    assert len(asked) == 1
