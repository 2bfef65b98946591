"""The analyses: contexts against formulas, pictures against `suppress.run`, leaks against the encoder."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import suppress
from minisd import UserError
from suppress.analysis import ANALYSES, Study, open_study
from suppress.analysis import leak as leaks
from suppress.analysis.findings import Findings, remarks, score
from suppress.analysis.output import write_csv
from suppress.analysis.padding import rank, replace_words, zeroing
from suppress.analysis.sweeps import gamma, spectrum, start, stop
from suppress.methods.unread import unread_context
from suppress.metrics import Unavailable

PROMPT = "a man without glasses"
LONG = "a man with a beard wearing glasses and a beanie in a blue shirt"
TARGET, EOT = [4], list(range(5, 77))


@pytest.fixture(scope="module")
def study(sd):
    """A short study of one seed. Its original is drawn once for all tests."""
    return open_study(sd, PROMPT, seed=0, steps=4)


class Asked(Study):
    """A study that draws nothing: it keeps the contexts and returns a grey picture for each of them."""

    def draw(self, ctxs, start_step):
        self.__dict__.setdefault("contexts", []).extend((ctx[0].double().numpy(), start_step) for ctx in ctxs)
        return [[Image.new("RGB", (64, 64), (k, k, k)) for _ in self.seeds] for k in range(len(ctxs))]

    @property
    def originals(self):
        return [Image.new("RGB", (64, 64)) for _ in self.seeds]


@pytest.fixture
def asked(sd):
    s = open_study(sd, PROMPT, seed=[0, 1], steps=50)
    return Asked(s.sd, s.prompt, s.seeds, s.settings, s.origin, s.judge)


def contexts(asked, analysis):
    """(the contexts (77,D) that were asked for, the rows of the findings for the first seed)"""
    findings = analysis(asked)
    assert len(findings.rows) == 2 * len(asked.contexts) == 2 * len(findings.panels)
    return [ctx for ctx, _ in asked.contexts], [row for row in findings.rows if row["seed"] == 0]


def spectral(ctx, rows, f):
    """ctx with U f(Σ) Vᵀ in its rows, by numpy's SVD."""
    out = ctx.copy()
    u, sigma, vt = np.linalg.svd(ctx[rows], full_matrices=False)
    out[rows] = (u * f(sigma)) @ vt
    return out


# ---------------------------------------------------------------------- pictures


def test_pictures_are_those_of_run(sd):
    settings = suppress.SuppressEOT(steps=4, start=2)
    result = suppress.run(sd, PROMPT, "glasses", seed=[3, 4, 5], settings=settings)
    s = replace(open_study(sd, PROMPT, "glasses", [3, 4, 5], steps=4, batch_size=2), settings=settings)
    [drawn, same] = s.draw([s.weighted, s.prompt.ctx], start_step=2)
    for got, want in ((drawn, result.image), (s.originals, result.original)):
        for a, b in zip(got, want, strict=True):
            assert np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1
    assert same is s.originals and s.draw([s.weighted], start_step=4) == [s.originals]


def test_rank_full_is_the_original_and_rank_0_is_zeroed_padding(study):
    cut = rank(study, ranks=(0, 200))
    assert [row["rank"] for row in cut.rows] == [0, 72]
    assert math.isinf(cut.rows[1]["psnr"]) and cut.rows[1]["ssim"] == 1
    assert cut.rows[0]["psnr"] < 40 and cut.rows[0]["ssim"] < 1
    zeroed = zeroing(study)
    assert [row["zeroed"] for row in zeroed.rows] == ["nothing", "target", "[EOT]", "target and [EOT]"]
    assert math.isinf(zeroed.rows[0]["psnr"])
    assert abs(zeroed.rows[2]["psnr"] - cut.rows[0]["psnr"]) < 0.5  # the same context, in a batch of another size
    scores = [row["det_score"] for row in zeroed.rows]
    assert scores[0] > 0.9 and scores[3] < 0.1  # Fig. 2a: both have to go
    assert min(scores[1:3]) > 0.9


def test_start_ends_in_the_original(study):
    rows = start(study, starts=(0, 1)).rows
    assert [row["start"] for row in rows] == [0, 4] and all(row["steps"] == 4 for row in rows)
    assert math.isinf(rows[1]["psnr"]) and rows[0]["det_score"] < 0.1 < rows[1]["det_score"]


def test_stop_is_official_ito(sd, study):
    findings = stop(study, settings=((0, 9), (0.5, 1)))  # a stop before R leaves SWR, which is there
    assert [(r["method"], r["stop"], r["iterations"]) for r in findings.rows] == [
        ("original", 0, 0),
        ("swr", 0, 0),
        ("swr+ito", 2, 1),
    ]
    official = suppress.SuppressEOT.official(steps=4, start=0, stop=2, iterations=1)
    want = suppress.run(sd, PROMPT, seed=0, settings=official).image
    assert np.array_equal(findings.panels[2].pictures[0], want)
    assert findings.panels[2].pictures[0] != findings.panels[1].pictures[0]


# ---------------------------------------------------------------------- contexts


def test_gamma_contexts(asked):
    got, rows = contexts(asked, gamma)
    assert rows[0]["gamma"] == 0 and all(start_step == 3 for _, start_step in asked.contexts)
    ctx = asked.prompt.ctx[0].double().numpy()
    assert np.array_equal(got[0], ctx)
    for each, row in zip(got, rows, strict=True):
        want = spectral(ctx, TARGET + EOT, lambda s, g=row["gamma"]: s * np.exp(-g * s))
        assert np.abs(each - want).max() < 1e-5


def test_spectrum_contexts(asked):
    got, rows = contexts(asked, spectrum)
    ctx = asked.prompt.ctx[0].double().numpy()
    assert [(r["zeroed"], r["k"]) for r in rows][:3] == [("nothing", 0), ("top", 1), ("top", 2)]
    assert ("bottom", 70) in [(r["zeroed"], r["k"]) for r in rows] and {r["of"] for r in rows} == {73}
    for each, row in zip(got, rows, strict=True):
        zeroed = slice(0, row["k"]) if row["zeroed"] == "top" else slice(73 - row["k"], 73)
        mask = np.ones(73)
        mask[zeroed] = 0
        assert np.abs(each - spectral(ctx, TARGET + EOT, lambda s, m=mask: s * m)).max() < 1e-5


def test_rank_and_replacement_contexts(asked):
    got, rows = contexts(asked, rank)
    ctx = asked.prompt.ctx[0].double().numpy()
    assert [row["rank"] for row in rows] == [0, 1, 2, 4, 9, 72]
    for each, row in zip(got, rows, strict=True):
        want = spectral(ctx, EOT, lambda s, k=row["rank"]: s * (np.arange(72) < k))
        assert np.abs(each - want).max() < 1e-5
    asked.contexts.clear()
    got, rows = contexts(asked, ANALYSES["replacement"].run)
    assert np.array_equal(got[1][1:5], ctx[[5, 5, 5, 5]]) and np.array_equal(got[2][1:5], ctx[5:9])
    assert all(np.array_equal(g[[0, *EOT]], ctx[[0, *EOT]]) for g in got)
    assert [row["words"] for row in rows] == ["kept", "one [EOT]", "all [EOT] in order"]
    assert all(0 <= row["clip_score"] < 2.5 for row in rows)


def test_few_eot_rows_are_repeated():
    ctx = torch.arange(8.0)[None, :, None].expand(1, 8, 2)
    assert replace_words(ctx, [5, 6, 7], one=False)[0, :, 0].tolist() == [0, 5, 6, 7, 5, 5, 6, 7]
    assert replace_words(ctx, [5, 6, 7], one=True)[0, :, 0].tolist() == [0, 5, 5, 5, 5, 5, 6, 7]


def test_singular_and_distance_against_numpy(study):
    ctx = study.prompt.ctx[0].double().numpy()
    rows = ANALYSES["singular"].run(study).rows
    for matrix, at in (("target+eot", TARGET + EOT), ("eot", EOT)):
        sigma = np.linalg.svd(ctx[at], compute_uv=False)
        mine = [row for row in rows if row["matrix"] == matrix]
        assert np.allclose([row["sigma"] for row in mine], sigma)
        assert np.allclose([row["swr"] for row in mine], sigma * np.exp(-sigma))
        assert np.allclose([row["energy"] for row in mine], np.cumsum(sigma**2) / np.sum(sigma**2))
    pairs = ANALYSES["distance"].run(study).rows
    assert len({(row["i"], row["j"]) for row in pairs}) == 77 * 76 // 2
    for row in pairs[::97]:
        a, b = ctx[row["i"]], ctx[row["j"]]
        assert math.isclose(row["euclidean"], np.linalg.norm(a - b), rel_tol=1e-6)
        assert math.isclose(row["cosine"], 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs_tol=1e-9)
    assert (pairs[3]["token_i"], pairs[3]["token_j"], pairs[-1]["token_i"]) == ("[SOT]", "glasses", "[EOT]")


# ---------------------------------------------------------------------- leak


def test_leak_of_a_prompt_with_words_after_the_target(sd):
    study = open_study(sd, LONG, "glasses")
    findings = leaks.leak(study)
    rows = findings.rows
    assert [row["position"] for row in rows] == list(range(77)) and rows[7]["token"] == "glasses"
    parts = {"before": rows[:7], "target": rows[7:8], "after": rows[8:15], "eot": rows[15:]}
    assert all(row["part"] == part for part, members in parts.items() for row in members)
    assert all(row[form] == 0 for row in parts["before"] for form in leaks.FORMS)  # the encoder is causal
    assert all(row["original"] > 0.3 for row in rows[7:])
    assert all(row["swr"] == row["original"] for row in parts["after"])  # SWR does not edit them
    assert all(row["swr"] < 0.1 for row in parts["target"] + parts["eot"])
    assert all(row["hidden"] == 0 for row in rows)
    assert torch.equal(leaks._forms(study, LONG)["hidden"], unread_context(sd, study.prompt)[0].cpu().double())
    ctx = sd.encode_text(LONG)[0]
    want = [
        (ctx - sd.encode_text(LONG.replace("glasses", word))[0]).norm(dim=-1) / ctx.norm(dim=-1)
        for word in findings.notes[0].removeprefix("target swapped with ").split(", ")
    ]
    assert np.allclose([row["original"] for row in rows], torch.stack(want).mean(0), atol=1e-5)
    table = leaks.table(findings)
    assert "glasses   <- target" in table and " 15-76  [EOT]" in table and "'and' (8) carries most of it" in table


def test_leak_verdict_without_words_after(study):
    assert leaks.table(leaks.leak(study)).endswith("every row that carries it is one that SWR edits.")


@pytest.mark.parametrize(
    ("prompt", "target"),
    [
        ("a man, in the style of van gogh", "van gogh"),
        ("a hat and a dog with a hat", "hat"),
        ("a girl with a red scarf and a cat", "a red scarf"),
        ("a café with glasses!", "glasses"),
    ],
)
def test_swaps_change_the_target_alone(sd, prompt, target):
    rows = suppress.find_rows(sd, prompt, target)
    swaps = leaks.swap_target(sd, prompt, rows)
    assert len(swaps) == leaks.SWAPS == len(set(swaps.values()))
    pieces = sd.pieces(prompt)
    for text in swaps.values():
        changed = [k + 1 for k, (a, b) in enumerate(zip(pieces, sd.pieces(text), strict=True)) if a != b]
        assert set(changed) <= set(rows) and set(sd.pieces(text)) & set(pieces) <= set(pieces) - {target}
        assert changed


def test_no_words_to_swap(sd, monkeypatch):
    monkeypatch.setattr(leaks, "NOUNS", ["glasses"])
    with pytest.raises(Unavailable, match="no other words"):
        leaks.swap_target(sd, PROMPT, TARGET)


# ---------------------------------------------------------------------- missing scores


def test_without_a_detector_cells_are_empty(sd, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", _refuse)
    nobody = replace(sd, folder=None)
    study = open_study(nobody, PROMPT, seed=0, steps=1)
    findings = ANALYSES["replacement"].run(study)
    assert [remark[:13] for remark in findings.remarks] == ["no DetScore: ", "no CLIP score"]
    with write_csv(tmp_path / "x.csv", findings.rows).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["det_score"] + row["clip_score"] for row in rows] == [""] * 3 and float(rows[0]["psnr"]) == math.inf
    assert findings.panels[0].mean("det_score") is None


def _refuse(*_args, **_kwargs):
    raise OSError("no hub")


def test_several_targets_and_wider_classes(sd):
    study = open_study(sd, "a cat with glasses and a crown", ["glasses", "crown"], steps=1)
    assert remarks(study, ["det_score"]) == ["DetScore of 'crown': the whole class hat"]
    picture = sd.generate("a man with glasses", steps=4)
    assert score(study, "", {}, picture).scores["det_score"][0] > 0.9  # one of the two is enough
    shirt = open_study(sd, "a man in a shirt", "shirt", steps=1)
    assert score(shirt, "", {}, picture).scores["det_score"] == [None]


def test_findings_are_plain_data(study):
    findings = gamma(study, gammas=(0,))
    assert isinstance(findings, Findings) and findings.rows == [
        {"gamma": 0, "seed": 0, "det_score": findings.rows[0]["det_score"], "psnr": math.inf, "ssim": 1.0}
    ]
    with pytest.raises(UserError, match="gamma = -1"):
        gamma(study, gammas=(-1,))
