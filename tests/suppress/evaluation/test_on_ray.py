"""`--on ray`: the cells as tasks of a local Ray of two workers, of which one is killed."""

import builtins
import os
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest

from suppress.cli.evaluate import main
from suppress.evaluation.on_ray import _check_gpus


@pytest.fixture
def fake(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import fake_plan

    return fake_plan


@pytest.fixture(scope="module")
def ray_of_two():
    """The address of a Ray of two processors on this machine."""
    pytest.importorskip("ray", reason='Ray is not installed: pip install "minisd[cluster]"')
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # for its workers, which import the fake table
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(Path(__file__).parent), *sys.path])))
        try:
            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        except Exception as error:  # its parts wait 30 seconds for each other, which is too short on a busy machine
            pytest.skip(f"Ray itself did not start here: {error}")
        yield cluster.address
        cluster.shutdown()


@pytest.fixture
def two_workers(ray_of_two, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", ray_of_two)


def test_ray_makes_the_same_table_though_a_worker_is_killed(fake, two_workers, tmp_path):
    assert fake.run(fake.FakePlan(str(tmp_path / "alone")), "--out", "alone.jsonl") == 0
    log = tmp_path / "log"
    deadly = fake.FakePlan(str(log), seconds=0.1, kill=str(tmp_path / "killed"))
    assert fake.run(deadly, "--on", "ray", "--batch", "4") == 0
    assert "three: 2" in Path("log-batches").read_text()
    assert Path("killed").exists() and Path("cells.md").read_text() == Path("alone.md").read_text()
    cells = fake.measured(log)
    assert len(cells) == 36 and set(Counter(cell.what for cell in cells).values()) == {1}  # nothing twice
    assert len({cell.by for cell in cells}) >= 2
    assert len(Path("cells.jsonl").read_text().splitlines()) == 36


def test_what_ray_cannot_do_is_told(fake, two_workers, tmp_path, capsys):
    deadly = fake.FakePlan(str(tmp_path / "log"), kill=str(tmp_path / "killed"), always=True)
    assert fake.run(deadly, "--on", "ray") == 2
    assert "cells.jsonl lacks 3 cells (one on" in capsys.readouterr().err
    assert len(Path("cells.jsonl").read_text().splitlines()) == 33


def test_cells_that_wait_for_a_gpu_are_told():
    with pytest.warns(UserWarning, match=r"--gpus 0.5 is more than this Ray has now, 0: cells wait"):
        _check_gpus(0.5, {"CPU": 2.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _check_gpus(0.5, {"GPU": 1.0})
        _check_gpus(0, {})


def test_without_ray_the_error_says_what_to_install(fake, monkeypatch, capsys):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "ray":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert fake.run(fake.FakePlan("log"), "--on", "ray") == 2
    assert 'pip install "minisd[cluster]"' in capsys.readouterr().err


def test_another_address_is_no_ray(capsys):
    with pytest.raises(SystemExit):
        main(["--on", "spark"])
    assert "'spark' is no Ray; expected ray, or ray://HOST:PORT" in capsys.readouterr().err
