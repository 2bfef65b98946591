"""Attend-and-Excite: its loss and its steps by hand, what stays, engines, batches, cost, --strengthen, bad settings."""

import json
from dataclasses import replace

import pytest
import torch

import suppress
from minisd import Record, UserError, ddim
from suppress.cli import main
from suppress.edits.energy import neglect, smoothed
from suppress.engine import Fast
from suppress.methods import AttendAndExcite
from suppress.report import files

LIST = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
QUICK = AttendAndExcite(steps=4, guidance=2, stop=2, refinements=2, scale=5)
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 2, 64, 64),
]


def loss_by_hand(sd, z, t, ctx, rows):
    """L of one sample, from the maps of 2 × 2 pixels."""
    record = Record(lambda site: site.kind == "cross" and site.scale == 4)
    sd.unet(z, t, ctx, tap=record)
    mean = torch.stack([p[0].mean(dim=0) for p in record.maps.values()]).mean(dim=0)  # (4,77)
    sharp = torch.exp(100 * mean[:, 1:76])
    sharp = sharp / sharp.sum(dim=1, keepdim=True)
    line = torch.exp(torch.tensor([-2.0, 0.0, -2.0]))  # σ = 1/2
    kernel = torch.outer(line, line) / line.sum() ** 2
    losses = []
    for row in rows:
        m = sharp[:, row - 1].view(2, 2)
        mirrored = m[[1, 0, 1, 0]][:, [1, 0, 1, 0]]
        smooth = torch.stack([(mirrored[y : y + 3, x : x + 3] * kernel).sum() for y in range(2) for x in range(2)])
        losses.append(1 - smooth.max())
    return max(losses)


def test_the_steps_by_hand(sd):
    """Steps 0, 1 and 2 refine, twice at most, until .05, .5 and .8 are reached; step 0 also has its own descent."""
    settings = AttendAndExcite(steps=5, guidance=2, stop=1, refinements=2)
    assert settings.refined == {0: 0.05, 1: 0.5, 2: 0.8} and list(settings.moved) == [0]
    ctx, empty, z = sd.encode_text("a robot"), sd.encode_text(""), sd.noise([1], 64, 64)
    schedule, below = ddim.Schedule(5, sd.config.schedule), []
    for i, t in enumerate(schedule.t):
        for k in range((3, 2, 2, 0, 0)[i]):
            leaf = z.clone().requires_grad_()
            loss = loss_by_hand(sd, leaf, t, ctx, [2])
            below += [bool(loss <= 1 - settings.refined[i])] if k < 2 else []
            if k == 2 or loss > 1 - settings.refined[i]:
                z = z - 20 * (1 - i / 8) ** 0.5 * torch.autograd.grad(loss, leaf)[0]
        with torch.no_grad():
            z = ddim.step(z, 2 * sd.unet(z, t, ctx) - sd.unet(z, t, empty), schedule.alpha[i], schedule.alpha[i + 1])
    assert any(below) and not all(below)
    got = suppress.run(sd, "a robot", "robot", settings=settings, seed=1, engine="reference", **SIZE)
    assert (got.latents - z).abs().max() < 2e-3 < 0.05 < (got.latents - got.original_latents).abs().max()


def test_the_word_that_is_seen_least_counts():
    cross = torch.zeros(2, 4, 77)
    cross[0, 3, 5], cross[0, 2, 6], cross[1, 1, 4] = 0.2, 0.1, 0.05
    cross[:, :, 0] = cross[:, :, 76] = 1.0  # [SOT] and the last row have no part
    both, first, other = (neglect(cross, (2, 2), rows) for rows in ([[5, 6], [4]], [[5], [4]], [[6], [4]]))
    assert first[0] < other[0] == both[0] and torch.equal(both[1:], first[1:])
    assert smoothed(torch.ones(1, 3, 3)).allclose(torch.ones(1, 3, 3))


def test_a_reached_threshold_stops_one_sample_only(sd):
    from suppress.loop import Run
    from suppress.prompt import encode
    from suppress.start.noise import from_noise

    prompts = [encode(sd, LIST, "glasses"), encode(sd, "a man without glasses", "glasses")]
    run = Run(sd, prompts, from_noise(prompts, sd.noise([2, 5], 64, 64)), QUICK)
    edit, z = QUICK.edit(run), run.start.z
    maps = run.read_maps(0, z, run.ctx, edit.spec)
    losses = neglect(maps.cross, edit.grid, edit.words)
    low, high = losses.argmin(), losses.argmax()
    moved = edit._descend(0, z, least=float(losses.mean()))
    assert torch.equal(moved[low], z[low]) and not torch.equal(moved[high], z[high])
    after = neglect(run.read_maps(0, moved, run.ctx, edit.spec).cross, edit.grid, edit.words)
    assert after[high] < losses[high]


@pytest.mark.parametrize("changes", [{"scale": 0}, {"start": 2, "stop": 2, "refinements": 0}])
def test_without_a_descent_it_is_the_original(sd, changes):
    result = suppress.run(sd, LIST, "hat", settings=replace(QUICK, **changes), seed=2, **SIZE)
    assert (result.latents - result.original_latents).abs().max() < 1e-3


def test_any_batch_on_both_engines_is_each_job_alone(check_batch):
    check_batch(JOBS, QUICK, least=0.02)


def test_the_published_settings_and_their_cost(sd):
    settings = AttendAndExcite()
    assert list(settings.moved) == list(range(25)) and settings.refined == {0: 0.05, 10: 0.5, 20: 0.8}
    assert settings.step_length(0) == 20 and settings.step_length(49) == pytest.approx(20 * 0.5**0.5)
    assert AttendAndExcite(steps=1).step_length(0) == 20
    engine = Fast(sd)
    suppress.run(sd, LIST, "hat", settings=QUICK, engine=engine, **SIZE)
    refined = len(QUICK.refined)
    assert (engine.passes, engine.gradient_passes) == (4 * 4 + 2 + 2 * refined, 2 + 2 * refined)


def test_a_phrase_is_its_last_row(sd):
    from suppress.loop import Run
    from suppress.prompt import encode
    from suppress.start.noise import from_noise

    prompts = [encode(sd, "a hat on a man with a red hat", ["red hat", "a man"])]
    run = Run(sd, prompts, from_noise(prompts, sd.noise([0], 64, 64)), QUICK)
    assert sorted(QUICK.edit(run).words[0]) == [5, 9]


@pytest.mark.parametrize("changes", [{"stop": 99}, {"scale": -1}, {"refinements": -1}, {"resolution": 1}])
def test_bad_settings_are_named(changes):
    [(name, value)] = changes.items()
    with pytest.raises(UserError, match=f"{name} = {value!r}; expected"):
        AttendAndExcite(**changes)
    assert "changes nothing" in AttendAndExcite(stop=0).remark(None) and AttendAndExcite().remark(None) == ""


def test_pictures_that_are_too_small(sd):
    with pytest.raises(UserError, match=r"maps of 1 × 1; expected 2 × 2 or more"):
        suppress.run(sd, LIST, "hat", settings=AttendAndExcite(steps=1), height=32, width=32)


# ---------------------------------------------------------------------- the command line

SMALL = ["--width", "64", "--height", "64", "--steps", "2"]


def test_a_sheet_of_what_strengthens(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    told, sheet = [], files.sheet
    monkeypatch.setattr(files, "sheet", lambda cells, labels: told.append(labels) or sheet(cells, labels))
    assert main([LIST, "--strengthen", "hat", *SMALL, "--out", "s.png", "--sheet"]) == 0
    assert [row[0].partition(" ")[2] for row in told[-1]] == [
        "original",
        "strengthen",
        "attend-and-excite",
    ]  # after a score
    results = json.loads((tmp_path / "s.json").read_text())["results"]
    assert [row["method"] for row in results] == ["strengthen", "attend-and-excite"]
    assert "strengthened" in results[1]["scores"]["DetScore hat"]
    method = ["--method", "attend-and-excite:scale=1,refinements=0"]
    assert main([LIST, "--strengthen", "hat", *SMALL, "--out", "a.png", *method]) == 0
    out = capsys.readouterr().out
    assert "a larger step, as --method attend-and-excite:scale=40" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--strengthen", "hat", "--sheet", "strengthen", "zero"], "zero draws less of its words; --strengthen takes"),
        (["--strengthen", "hat", "--preset", "paper"], "paper draws less of its words"),
        (["--remove", "hat", "--method", "attend-and-excite"], "draws more of what it is given; name that with"),
        (["--remove", "hat", "--sheet", "zero", "strengthen"], "--sheet strengthen draws more of what it is given"),
    ],
)
def test_a_method_for_the_other_direction(tmp_path, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(tmp_path)
    assert main([LIST, *argv]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())
