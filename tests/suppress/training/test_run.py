"""`suppress train`: from the command to the delta file, a stopped training, and files that are in the way."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import minisd
import suppress
from minisd import UserError
from suppress.cli import main
from suppress.cli.train import main as train_main
from suppress.defaults import measured_defaults
from suppress.edits.weights import read_about, read_delta
from suppress.training.catalogue import ERASERS
from suppress.training.names import parse_eraser
from suppress.training.run import check_output, state_path
from suppress.training.run import train as train_eraser

SPEC = "esd:sampling_steps=2,size=32"


@pytest.fixture
def command(tmp_path, capsys):
    """Runs `suppress train` with these options; returns its exit status and what it printed."""

    def run(*options, out="glasses.safetensors"):
        status = main(["train", SPEC, "--concept", "glasses", "--out", str(tmp_path / out), *options])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_from_the_command_to_a_picture(sd, command, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("a man [with glasses]\n\n  a girl [wearing glasses] and a hat  \n")
    options = ["--iterations", "2", "--lr", "0.01", "--seed", "4", "--prompts", str(tmp_path / "prompts.txt")]
    status, out, err = command(*options, "--weights", "cross")
    assert (status, err) == (0, "")
    path = tmp_path / "glasses.safetensors"
    assert "forgetting 'glasses', from 2 prompts, weights: cross, 2 iterations, learning rate 0.01" in out
    assert out.splitlines()[-1] == str(path) and not state_path(path).exists()

    about = read_about(path)
    prompts = ["a man [with glasses]", "a girl [wearing glasses] and a hat"]
    given = {"iterations": 2, "lr": 0.01, "seed": 4, "prompts": prompts, "weights": "cross"}
    want = parse_eraser(SPEC, measured_defaults(sd), concept="glasses", **given)
    assert about["settings"] == json.loads(json.dumps(asdict(want)))
    assert (about["trainer"], about["concept"], about["model"]) == ("esd", "glasses", "tiny")
    assert about["command"].startswith(f"suppress train {SPEC} --concept glasses --out")

    tensors, trained = read_delta(path, sd.unet), want.fit(minisd.load("tiny", device="cpu")).tensors
    assert set(tensors) == {name for name, _ in sd.unet.named_parameters() if "attn2" in name}
    assert all(torch.equal(tensors[name], trained[name]) for name in tensors)  # the round trip, and the seed

    settings = suppress.methods.parse_method(f"delta:{path}", steps=2)
    with pytest.warns(UserWarning, match="makes the model forget 'glasses', not a hat"):
        result = suppress.run(sd, "a man in a hat", "a hat", settings=settings, height=64, width=64)
    assert (result.latents - result.original_latents).abs().max() > 0.01


def test_a_stopped_training_goes_on(small, tmp_path, stopped):
    eraser = parse_eraser(SPEC, concept="glasses", iterations=3, lr=0.001)
    whole, out = check_output(tmp_path / "whole.safetensors"), tmp_path / "parts.safetensors"
    train_eraser(small, "esd", eraser, whole)
    with pytest.raises(KeyboardInterrupt):
        train_eraser(small, "esd", eraser, check_output(out), stopped(2))
    with pytest.raises(UserError, match=r"parts.state.safetensors is a training that was stopped; give --resume"):
        check_output(out)
    about = train_eraser(small, "esd", eraser, check_output(out, resume=True))
    assert about["iterations"] == 3
    a, b = load_file(whole.path), load_file(out)
    assert a and all(torch.equal(a[name], b[name]) for name in a)
    out.unlink()
    with pytest.raises(UserError, match=r"there is no .*parts.state.safetensors to go on with; leave --resume out"):
        check_output(out, resume=True)


def test_overwrite_starts_anew(small, tmp_path, stopped):
    eraser = parse_eraser(SPEC, concept="glasses", iterations=2, lr=0.001)
    with pytest.raises(KeyboardInterrupt):
        train_eraser(small, "esd", replace(eraser, lr=0.5), check_output(tmp_path / "a.safetensors"), stopped(1))
    train_eraser(small, "esd", eraser, check_output(tmp_path / "a.safetensors", overwrite=True))
    train_eraser(small, "esd", eraser, check_output(tmp_path / "b.safetensors"))
    a, b = load_file(tmp_path / "a.safetensors"), load_file(tmp_path / "b.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_small_file_says_its_rank(small, tmp_path):
    eraser = parse_eraser(SPEC, concept="glasses", iterations=2, lr=0.01)
    for rank in (0, 2):
        train_eraser(small, "esd", eraser, check_output(tmp_path / f"{rank}.safetensors", rank))
    full, reduced = (read_delta(tmp_path / f"{rank}.safetensors", small.unet) for rank in (0, 2))
    sizes = [(tmp_path / f"{rank}.safetensors").stat().st_size for rank in (0, 2)]
    assert sizes[1] < 0.2 * sizes[0] and read_about(tmp_path / "2.safetensors")["rank"] == 2
    name = next(name for name in full if "to_v" in name)
    assert torch.linalg.matrix_rank(reduced[name] - small.unet.get_parameter(name), rtol=1e-3) == 2
    with safe_open(tmp_path / "2.safetensors", "pt") as file:
        assert {name + ":out", name + ":in"} <= set(file.keys())


def test_outputs_in_the_way(tmp_path, command):
    (tmp_path / "glasses.safetensors").write_bytes(b"mine")
    assert command()[0] == 2 and (tmp_path / "glasses.safetensors").read_bytes() == b"mine"
    for options, out, message in (
        ((), "glasses.safetensors", "exists; give another name, or --overwrite to replace it"),
        ((), "glasses.png", "expected a name that ends in .safetensors"),
        ((), "nowhere/a.safetensors", "there is no folder"),
        (("--resume", "--overwrite"), "a.safetensors", "--resume and --overwrite contradict each other"),
        (("--rank", "-1"), "a.safetensors", "rank = -1; expected a whole number, 0 or more"),
        (("--prompts", str(tmp_path / "none.txt")), "a.safetensors", "cannot be read"),
        (("--weights", "text"), "a.safetensors", "weights = 'text'; expected one of kv, cross, others, full"),
        (("--anchor", "a man"), "a.safetensors", "esd has no setting anchor; it has concept, prompts, seed, weights"),
    ):
        status, _, err = command(*options, out=out)
        assert status == 2 and message in err
    (tmp_path / "empty.txt").write_text("\n \n")
    assert "has no prompts" in command("--prompts", str(tmp_path / "empty.txt"), out="a.safetensors")[2]
    assert not (tmp_path / "a.safetensors").exists()


def test_names():
    for name in ERASERS:
        eraser = parse_eraser(name, concept="a red hat", **({"anchor": "it"} if name == "concept-ablation" else {}))
        assert eraser.concept == "a red hat"
    measured = {"training": {"esd": {"lr": 0.5, "batch": 3}}}
    eraser = parse_eraser("esd:lr=0.25", measured, concept="hat", batch=2)
    assert (eraser.lr, eraser.batch, parse_eraser("esd-u", measured, concept="hat").lr) == (0.25, 2, 1e-5)
    for spec, message in (
        ("uce?", "the eraser 'uce\\?' is unknown; expected one of esd, esd-u"),
        ("esd:speed=3", "'speed=3' in 'esd:speed=3'; expected field=value with a field of esd"),
        ("esd:lr=fast", "lr = 'fast'; expected a number"),
    ):
        with pytest.raises(UserError, match=message):
            parse_eraser(spec, concept="hat")
    with pytest.raises(UserError, match="the checkpoint's defaults for 'training'"):
        parse_eraser("esd", {"training": 3}, concept="hat")


def test_help_lists_the_erasers(capsys):
    with pytest.raises(SystemExit):
        train_main(["--help"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in ERASERS)
