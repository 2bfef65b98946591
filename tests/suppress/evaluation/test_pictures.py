"""`suppress eval --pictures`: the pictures, the pairs, cells and resuming, and a run from the command to the table."""

import csv
import json
import re
from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np
import pytest

from minisd import UserError
from suppress import world
from suppress.cli.evaluate import main
from suppress.evaluation.cases import IMPLIED
from suppress.evaluation.cells import read_cells
from suppress.evaluation.fit import Making, fitting, misfit
from suppress.evaluation.forms import PICTURES
from suppress.evaluation.jobs import Job, fill
from suppress.evaluation.measure_pictures import Bench, method_of
from suppress.evaluation.pairs import CONTROLS, INVERSIONS, METHODS, NOTHING, PAIRS, STANDARD, Pair, choose
from suppress.evaluation.pictures import HALVES, TARGETS, find_case, picture_cases
from suppress.evaluation.wording import phrase_of
from suppress.methods import Rewrite, Unread, parse_method
from suppress.metrics import Judge
from suppress.prompt import find_rows
from suppress.start.direct import Direct
from suppress.start.invert import parse_inversion

SETTINGS = {"steps": 3}
CLASSES = ["beard", "glasses", "hat"]
MAKING = Making(SETTINGS, CLASSES, {"code": "0.1.0", "weights": "01", "judge": "02"})
SCORES = {
    **{side: dict.fromkeys(CLASSES, 0.5) for side in ("before", "reconstruction", "after")},
    **dict.fromkeys(("psnr photo", "psnr outside", "error inside", "psnr ideal", "ssim ideal"), 1.0),
    **dict.fromkeys(("psnr vae", "psnr reconstruction", "passes", "inversion passes"), 1.0),
    **dict.fromkeys(("seconds", "inversion seconds"), 1.0),
}


def lines_of(file) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


# ---------------------------------------------------------------------- the pictures


def test_the_pictures_are_always_the_same_and_balanced():
    cases = picture_cases()
    assert cases == picture_cases.__wrapped__() and len(cases) == 24
    assert sorted(case.number for case in cases) == list(range(24)) and len({case.seed for case in cases}) == 24
    assert [case.kind for case in cases[:8]] == list(TARGETS)
    kinds = Counter((case.kind, case.half) for case in cases)
    assert set(kinds) == {(kind, half) for kind in TARGETS for half in HALVES} and max(kinds.values()) == 2
    assert Counter(case.half for case in cases) == {"develop": 12, "report": 12}
    assert [case.name for case in cases if case.kind == "object"] == ["balloon", "umbrella", "flower"]
    # cells are told apart by the number, so a number must mean the same picture for ever
    assert [case.seed for case in cases[:8]] == [0, 3, 1, 11, 5, 9, 22, 24]


def test_no_picture_is_passed_over():
    """A seed is left out only if its picture does not show what was still wanted."""
    cases = picture_cases()
    used = {case.seed for case in cases}
    for case in cases:
        shown = world.attributes(case.spec)
        assert shown[case.name] and case.seed < 1000
        for seed in set(range(case.seed)) - used:
            assert not world.attributes(world.sample_spec(np.random.default_rng(seed)))[case.name]


def test_the_captions_name_the_target(sd):
    for case in picture_cases():
        rng = np.random.default_rng(case.seed)
        assert world.sample_spec(rng) == case.spec
        skipped = [world.caption(case.spec, rng) for _ in range(case.skipped)]
        assert world.caption(case.spec, rng) == case.prompt and "without" not in case.prompt
        assert not any(phrase_of(text, case.name) and "without" not in text for text in skipped)
        rows = find_rows(sd, case.prompt, case.target)
        assert rows == tuple(range(rows[0], rows[-1] + 1))  # one place
        words, rest = (re.findall(r"\w+", text) for text in (case.prompt, case.deleted))
        assert case.target not in case.deleted and set(rest) <= set(words) and len(rest) < len(words)
    assert sum(case.skipped for case in picture_cases()) == 7


def test_a_caption_that_denies_the_target_is_skipped():
    rng = np.random.default_rng(625)
    assert world.caption(world.sample_spec(rng), rng) == "a woman without a hat in a white shirt, by the sea"
    case = find_case(0, 625, "hat", "hat")
    assert case.skipped >= 1 and "without" not in case.prompt and phrase_of(case.prompt, "hat") == case.target
    assert find_case(0, 625, "rain", "rain") is None


def test_the_truth_of_a_picture():
    case = picture_cases()[0]
    a, b = np.asarray(case.photo).astype(int), np.asarray(case.ideal).astype(int)
    assert case.name == "glasses"
    assert 0.02 < case.region.mean() < 0.3 and np.abs(a - b).max(2)[~case.region].max() <= 10
    assert np.abs(a - b).max(2)[case.region].max() > 10


def test_what_the_ideal_edit_changes_with_the_target_is_known():
    """The table leaves these attributes out of the change of the others."""
    with_it = set()
    for seed in range(3000, 3200):
        spec = world.sample_spec(np.random.default_rng(seed))
        before = world.attributes(spec)
        for name in world.REMOVABLE:
            after = world.attributes(world.without(spec, name))
            changed = {other for other in before if before[other] != after[other]}
            with_it |= {(name, other) for other in changed - {name}}
    assert with_it and with_it <= {(name, other) for name, others in IMPLIED.items() for other in others}


# ---------------------------------------------------------------------- the pairs


def test_the_default_pairs_answer_the_questions():
    assert len({pair.row for pair in PAIRS}) == len(PAIRS)
    rows = [(pair.method, pair.inversion) for pair in PAIRS]
    assert all(Pair(pair.method, pair.inversion) in PAIRS for pair in PAIRS if pair.pasted)  # to compare it with
    assert {(NOTHING, how) for how in INVERSIONS} | {(STANDARD, how) for how in INVERSIONS} <= set(rows)
    assert {method for method, how in rows if how == "direct"} | {"LEDITS++"} == set(METHODS)
    assert choose() == PAIRS and len(choose(all_pairs=True)) == len(METHODS) * len(INVERSIONS)


def test_the_names_in_the_list_are_names():
    for spec in METHODS.values():
        if spec.partition(":")[0] not in CONTROLS:
            parse_method(spec)
    for inversion in INVERSIONS:
        parse_inversion(inversion)


def test_chosen_pairs():
    assert choose(["Unread", "zero"]) == (Pair("Unread", "direct"), Pair("zero", "direct"))
    assert {pair.method for pair in choose((), ["renoise"])} == {NOTHING, STANDARD, "NegPiP, keep 1"}
    assert len(choose((), ["renoise", "ddim"])) == 5
    assert choose((), ["direct:repeats=2"]) == tuple(Pair(name, "direct:repeats=2") for name in (NOTHING, STANDARD))
    both = choose(["Unread", "zero"], ["noised", "ddim"])
    assert [pair.row for pair in both] == [
        "Unread on noised",
        "Unread on ddim",
        "zero on noised",
        "zero on ddim",
    ]
    assert both[0].spec == "unread" and both[2].spec == "zero"


def test_methods_of_a_case(sd):
    case = picture_cases()[0]
    nothing = method_of(sd, "nothing", case, 20, None)
    assert nothing == Rewrite(text=case.prompt, steps=20, start=20)
    control, default = method_of(sd, "deleted:keep=1", case, 20, None), method_of(sd, "unread", case, 20, None)
    assert isinstance(default, Unread) and default.start == 0.06  # measured on the embedded model
    assert control == Rewrite(text=case.deleted, steps=20, start=0.06, keep=1)
    assert method_of(sd, "deleted", case, 20, 0.3).start == method_of(sd, "unread", case, 20, 0.3).start == 0.3


# ---------------------------------------------------------------------- cells


def job(number: int, measured: list, row: str = "Unread on direct", stop: bool = False) -> Job:
    """A job without drawing, which writes down that it was measured."""
    case = next(case for case in picture_cases() if case.number == number)

    def measure():
        if stop:
            raise KeyboardInterrupt
        measured.append(number)
        return SCORES

    return Job(row, case, parse_method("unread"), measure, parse_inversion("direct"))


def test_a_stopped_run_goes_on(tmp_path, capsys):
    out, measured = tmp_path / "cells.jsonl", []
    with pytest.raises(SystemExit) as status:
        fill(out, {}, [job(0, measured), job(1, measured), job(2, measured, stop=True)], MAKING, PICTURES)
    assert status.value.code == 130 and f"what is measured is in {out}" in capsys.readouterr().err
    torn = out.read_bytes()[:-30]  # as if it had been stopped while it wrote the second cell
    out.write_bytes(torn)
    jobs = [job(number, measured) for number in (0, 1, 2)]
    done = fitting(out, read_cells(out, PICTURES), jobs, MAKING, PICTURES)
    assert list(done) == [("Unread on direct", 0)]
    fill(out, done, jobs, MAKING, PICTURES)
    assert measured == [0, 1, 1, 2] and len(done) == 3
    assert [line["case"]["number"] for line in lines_of(out)] == [0, 1, 2]
    assert read_cells(out, PICTURES) == list(done.values())


def test_a_method_that_cannot_is_a_cell_too(tmp_path):
    out, done = tmp_path / "cells.jsonl", {}

    def cannot():
        raise UserError("it needs a mask")

    fill(out, done, [Job("magic", picture_cases()[0], parse_method("unread"), cannot)], MAKING, PICTURES)
    assert lines_of(out)[0]["reason"] == "it needs a mask" and read_cells(out, PICTURES) == list(done.values())


def test_a_cell_of_another_inversion_does_not_fit():
    case, method, direct = picture_cases()[0], parse_method("unread"), parse_inversion("direct")
    cell = {"case": asdict(case), "method": asdict(method), "inversion": asdict(direct), "settings": SETTINGS, **SCORES}

    def fits(cell, case=case, method=method, inversion=None):
        return not misfit(cell, Job("a", case, method, dict, inversion), MAKING)

    assert fits(cell, inversion=direct)
    assert not fits(cell, inversion=parse_inversion("direct:repeats=1"))
    assert not fits(cell)
    assert not fits(cell, method=parse_method("unread:keep=1"), inversion=direct)
    assert not fits(cell, picture_cases()[1], inversion=direct)
    assert fits(cell | {"method": {}, "inversion": {}}, method=None) and not fits(cell, method=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inversion", None),
        ("case", {"number": 0}),
        ("case", "number as text"),
        ("before", {}),
        ("after", {"glasses": 0.5}),
        ("after", {"beard": 0.5, "glasses": None, "hat": 0.5}),
        ("reconstruction", [0.5]),
        ("psnr outside", "much"),
        ("psnr outside", float("inf")),
        ("error inside", None),
        ("ssim ideal", True),
        ("inversion passes", "12"),
    ],
)
def test_a_line_that_is_no_cell_of_pictures_is_named(tmp_path, name, value):
    cell = {
        "row": "a",
        "case": asdict(picture_cases()[0]),
        "method": {},
        "inversion": {},
        "settings": SETTINGS,
        **SCORES,
    }
    out = tmp_path / "cells.jsonl"
    out.write_text(json.dumps(cell | {"psnr outside": None}) + "\n")
    assert len(read_cells(out, PICTURES)) == 1
    value = cell["case"] | {"number": "0"} if value == "number as text" else value
    out.write_text(json.dumps(cell) + "\n" + json.dumps(cell | {name: value}) + "\n")
    with pytest.raises(UserError, match=rf"line 2 is no cell of this command: .*{name.split()[0]}"):
        read_cells(out, PICTURES)


# ---------------------------------------------------------------------- drawing


def test_a_picture_is_inverted_once_for_all_methods(sd):
    made = []

    @dataclass(frozen=True)
    class Watched(Direct):
        def start(self, source):
            made.append(source.guidance)
            return super().start(source)

    bench, (first, second) = Bench(sd, Judge(sd), steps=2), picture_cases()[:2]
    one = bench.edit(first, method_of(sd, "nothing", first, 2, None), Watched())
    two = bench.edit(first, method_of(sd, "deleted", first, 2, 0), Watched())
    assert made == [7.5]
    bench.edit(second, method_of(sd, "nothing", second, 2, None), Watched())
    assert made == [7.5] * 2
    assert one["inversion passes"] == two["inversion passes"] == 2  # one for each step
    assert one["passes"] == two["passes"] == 4  # the edited branch: two steps × two halves of the guidance
    assert one["psnr reconstruction"] == one["psnr vae"] > 20  # the original branch is pinned
    assert one["psnr photo"] < one["psnr vae"] and one["before"] == two["before"] and one["after"] != two["after"]


def test_pasting_puts_the_photo_back_outside_the_mask(sd):
    bench, case = Bench(sd, Judge(sd), steps=8), picture_cases()[0]
    method = method_of(sd, "unread:keep=1", case, 8, None)
    plain, pasted = (bench.edit(case, method, Direct(), pasted) for pasted in (False, True))
    assert pasted["psnr outside"] > plain["psnr outside"] + 3 and pasted["after"] != plain["after"]
    assert pasted["passes"] == plain["passes"]


def test_baselines(sd):
    bench, case = Bench(sd, Judge(sd), steps=2), picture_cases()[0]
    photo, ideal = bench.baseline(case, "photo"), bench.baseline(case, "ideal")
    assert photo["psnr photo"] == photo["psnr vae"] == ideal["psnr vae"] and photo["passes"] == 0
    assert photo["after"]["glasses"] > 0.9 and ideal["after"]["glasses"] < 0.1
    assert ideal["error inside"] < photo["error inside"] / 4 and ideal["psnr ideal"] > 20


def test_from_the_command_to_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv = ["--pictures", "--limit", "2", "--steps", "3", "--only", "Unread, keep 1", "--inversions", "direct"]
    assert main(argv) == 0
    cells = lines_of(tmp_path / "suppress-pictures.jsonl")
    assert [(cell["row"], cell["case"]["number"]) for cell in cells] == [
        (row, number)
        for number in (0, 3)
        for row in ("VAE alone", "ideal edit, through the VAE", "Unread, keep 1 on direct")
    ]
    assert cells[2]["method"]["keep"] == 1 and cells[2]["inversion"] == {"repeats": 0}
    assert cells[2]["settings"] == {
        "steps": 3,
        "start": None,
        "guidance": 7.5,
        "device": cells[2]["settings"]["device"],
    }
    told = capsys.readouterr().out
    assert "**2 drawn pictures, 3 steps, guidance 7.5**" in told and "| Unread, keep 1 on direct | 2 | " in told
    assert "**Best pair: Unread, keep 1 on direct**" in told
    assert told.strip() in (tmp_path / "suppress-pictures.md").read_text()
    sheet = list(csv.DictReader((tmp_path / "suppress-pictures.csv").open()))
    assert [(line["row"], line["number"]) for line in sheet[-2:]] == [("Unread, keep 1 on direct", n) for n in "03"]
    assert float(sheet[-2]["psnr_outside"]) == cells[2]["psnr outside"] and sheet[-2]["reason"] == ""
    assert float(sheet[-2]["detscore_after"]) == cells[2]["after"]["glasses"]
    monkeypatch.setattr("suppress.evaluation.measure_pictures.run", None)  # nothing is drawn again
    assert main([*argv, "--half", "develop", "--limit", "1"]) == 0
    assert "**1 drawn picture, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--half", "report"], "--half is for pictures; add --pictures"),
        (["--pictures", "--seeds", "2", "--kinds", "last"], "--kinds, --seeds is for prompts; leave --pictures out"),
        (["--pictures", "--only", "magic"], "method 'magic' is unknown"),
        (["--pictures", "--only", "strengthen"], "--only strengthen draws more of what it is given; the table"),
        (["--pictures", "--only", "zero", "--inversions", "mirror"], "inversion = 'mirror'; expected one of ddim"),
        (["--pictures", "--only", "zero", "--limit", "0"], "limit = 0"),
        (["--pictures", "--only", "zero", "--steps", "0"], "steps = 0"),
        (["--pictures", "--only", "zero", "--start", "1.5"], "start = 1.5"),
        (["--pictures", "--only", "zero", "--out", "cells.md"], "ends in .jsonl"),
    ],
)
def test_mistakes_are_told_before_the_work(tmp_path, capsys, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minisd.load", None)
    assert main(argv) == 2 and message in capsys.readouterr().err and not list(tmp_path.iterdir())
