"""What measured a cell: the version, the weights and the judge."""

import subprocess
from dataclasses import replace

import pytest
import torch

import minisd
from suppress.evaluation.provenance import code_version, made_by, weights_of
from suppress.metrics import Judge


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_version_names_the_commit_of_its_own_clone_only(tmp_path):
    assert code_version(tmp_path) == minisd.__version__
    (tmp_path / "file").write_text("1")
    for arguments in (["init"], ["add", "file"], ["commit", "-m", "one"]):
        git(tmp_path, *arguments)
    clean = code_version(tmp_path)
    assert clean.startswith(f"{minisd.__version__}+") and not clean.endswith(".dirty")
    (tmp_path / "file").write_text("2")
    assert code_version(tmp_path) == f"{clean}.dirty"
    (tmp_path / "venv").mkdir()
    assert code_version(tmp_path / "venv") == minisd.__version__


def test_without_git_there_is_the_version(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_version(tmp_path) == minisd.__version__


def test_a_single_changed_weight_is_noticed(small):
    before = weights_of(small)
    changed = replace(small, vae=minisd.AutoencoderKL(small.config.vae))
    changed.vae.load_state_dict(small.vae.state_dict())
    assert weights_of(changed) == before
    with torch.no_grad():
        next(changed.vae.parameters()).view(-1)[0] += 1
    assert weights_of(changed) != before


def test_clip_belongs_to_the_judge_of_prompts_only(sd):
    judge = Judge(sd)
    with_clip, without = (made_by(sd, judge, clip) for clip in (True, False))
    assert list(with_clip) == ["code", "weights", "judge"] and with_clip["weights"] == without["weights"]
    assert with_clip["judge"] == f"{without['judge']}, {judge.clip.identity}"
    assert without["judge"] == judge.detector.identity


@pytest.mark.parametrize("part", ["detector", "clip"])
def test_a_changed_judge_is_another_one(sd, part):
    one, other = (getattr(Judge(sd), part) for _ in range(2))
    assert one.identity == other.identity
    network = other.network if part == "detector" else other.clip
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] += 1
    assert one.identity != other.identity
