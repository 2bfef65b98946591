"""How far methods move tokens: against the methods' own contexts, as a table, and on the command line."""

from dataclasses import dataclass, replace

import pytest
import torch

from minisd import Part, UserError, compose
from suppress.analysis import open_study
from suppress.analysis.moved import METHODS, columns, compare, measure, moved, table
from suppress.cli.analyse import main
from suppress.edits.taps import KContext, VContext, cross_layers
from suppress.methods.adavd_word import AdaVDWord
from suppress.methods.safree import triggers
from suppress.methods.uce_word import UCEWord
from suppress.protocol import Edit, Inputs, Method

LIST = "a man with a beard wearing glasses and a hat"


@pytest.fixture(scope="module")
def study(sd):
    return open_study(sd, LIST, "glasses", steps=20)


def relative(new, old):
    return (new - old).norm(dim=-1) / old.norm(dim=-1)


def test_a_second_context_moves_keys_and_values(sd, study):
    got, c = measure(study, UCEWord()), study.prompt.ctx[0]
    want = relative(UCEWord().context(sd, study.prompt)[0], c)
    torch.testing.assert_close(got.keys, want, rtol=0, atol=1e-5)
    torch.testing.assert_close(got.values, want, rtol=0, atol=1e-5)


@dataclass(frozen=True)
class Late(Method):
    """Twice the context, at steps that exist."""

    def edit(self, run):
        return LateEdit(run)


class LateEdit(Edit):
    def inputs(self, i, same, original, maps):
        assert i < self.run.settings.steps
        return replace(same, contexts=(same.contexts[0], 2 * same.contexts[1]))


def test_a_method_that_never_begins_tells_what_it_would_do(study):
    torch.testing.assert_close(measure(study, Late(steps=4, start=4)).keys, torch.ones(77))


def test_taps_move_keys_or_values_of_the_sites_that_they_want(sd, study):
    c, z = study.prompt.ctx, torch.zeros(1, 4, 8, 8)
    sites = [attn.site for attn in cross_layers(sd.unet)]
    own = {site.name: (1 + k) * c for k, site in enumerate(sites)}  # moved by k times its norm at site k
    tap = compose(
        Part(VContext(own), slice(1, None)),
        Part(KContext(3 * c, lambda site: site.scale == 1), slice(1, None)),
    )
    got = compare(study, Inputs(z, (c, 1.5 * c), tap))
    fine = sum(site.scale == 1 for site in sites)
    want = (fine * 2 + (16 - fine) * 0.5) / 16  # 3 c at the sites of scale 1, and 1.5 c at all others
    torch.testing.assert_close(got.keys, torch.full((77,), want))
    torch.testing.assert_close(got.values, torch.full((77,), 7.5))  # the mean of 0 … 15
    assert measure(study, AdaVDWord()).keys.max() == 0 < measure(study, AdaVDWord()).values[7]


def test_the_table_has_a_line_per_token_and_a_column_per_method(sd, study):
    flip = "value-flip:form=in-place,scale=-2"
    findings = moved(replace(study, methods=("zero", "adavd-word", flip, "safree", "gie")))
    assert len(findings.rows) == 5 * 77
    shown = columns(findings)
    assert [column.name for column in shown] == [
        "zero",
        "adavd-word, values",
        f"{flip}, keys",
        f"{flip}, values",
        "safree",
        "gie",
    ]
    zero, *_, safree, gie = (column.cells for column in shown)
    assert list(zero) == [*map(str, range(11)), "11-76"]
    assert all(abs(zero[j] - (j in ("7", "11-76"))) < 1e-6 for j in zero)
    assert {int(j) for j, value in safree.items() if value > 0} == set(triggers(sd, study.prompt))
    assert max(gie.values()) == 0 and findings.notes == [
        "gie moves no token of this prompt; it acts in another way, or not at all"
    ]
    text = table(findings)
    assert "     7  glasses   <- target" + " " * 9 + "100%  " in text and " 11-76  [EOT]" in text
    assert text.endswith(findings.notes[0])
    eot = [row["values"] for row in findings.rows if row["method"] == "adavd-word" and row["part"] == "eot"]
    assert shown[1].cells["11-76"] == pytest.approx(sum(eot) / 66)


def test_methods_of_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    job = [LIST, "--remove", "glasses", "--only", "moved", "--out", "x", "--methods"]
    assert main([*job, "unread", "uce-word"]) == 0
    out = capsys.readouterr().out
    assert "  unread  uce-word" in out and len((tmp_path / "x" / "moved.csv").read_text().splitlines()) == 1 + 2 * 77
    assert main([*job, "nonsense", "--overwrite"]) == 2 and "method 'nonsense' is unknown" in capsys.readouterr().err


def test_its_own_list_of_methods(study):
    assert [row["method"] for row in moved(study).rows[::77]] == list(METHODS)


def test_unknown_methods_are_named_before_anything_is_drawn(sd):
    with pytest.raises(UserError, match="methods strengthen draws more of what it is given"):
        open_study(sd, LIST, "glasses", methods=["strengthen"])
    with pytest.raises(UserError, match="method 'x' is unknown"):
        open_study(sd, LIST, "glasses", methods=["x"])
