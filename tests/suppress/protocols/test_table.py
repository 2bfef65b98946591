"""A protocol's table from hand-made cells, and the command that measures one."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from suppress.cli.evaluate import main
from suppress.protocols.protocol import CLIP, DET, LPIPS, OTHERS, SPILL, SSIM, Protocol, group
from suppress.protocols.scores import values_of
from suppress.protocols.table import report

DETECTOR = SimpleNamespace(match=lambda words: SimpleNamespace(name=words.replace(" ", "_")))
BEARD = ("a man with a bow tie and a beard", "beard", "a man with a bow tie")
HAT = ("a girl with a hat", "hat", "a girl")
PROTOCOL = Protocol(
    name="mine",
    source="a paper, Table 9",
    claim="It removes.",
    differs="Fewer prompts.",
    groups={"beards": group("list", BEARD), "hats": group("last", HAT), "both": ()},
    rows={"SWR": "suppress-eot", "delta": "delta"},
    metrics=(DET, CLIP, SSIM),
    paper={("original", "beards"): {DET: 0.25}, ("SWR", "hats"): {CLIP: 0.5}},
    seeds=2,
)
CELL = {
    "before": {"beard": [1.0, 0.8], "bow_tie": [0.5, 0.5], "hat": [0.0, 0.0]},
    "after": {"beard": [0.1, 0.3], "bow_tie": [0.6, 0.2], "hat": [0.2, 0.2]},
    "clip before": [0.9, 0.7],
    "clip after": [0.3, 0.2],
    "ssim": [0.5, 0.6],
    "passes": 10,
    "seconds": 30.0,
}


def test_the_table_has_our_means_and_the_papers_figures():
    text = report(PROTOCOL, {("SWR", BEARD[0]): CELL, ("delta", HAT[0]): {"reason": "no\n file"}}, DETECTOR)
    assert text.startswith(
        "**mine**: a paper, Table 9\n\nIt removes. Fewer prompts.\n\n`suppress eval --protocol mine`"
    )
    assert "| pictures | beards (2) | hats (2) | both (0) |" in text
    assert "| original | 0.900 (0.25) | – | – |\n| SWR | 0.200 | – | – |\n| delta | – | – | – |" in text
    assert "| original | 0.800 | – | – |\n| SWR | 0.250 | – (0.5) | – |" in text
    assert "| SWR | 0.550 | – | – |" in text and text.count("| original |") == 2  # SSIM to itself says nothing
    assert "Cost: 20 UNet samples, 1.0 minutes of sampling" in text
    assert text.endswith("Not measured:\n\n- delta: no file")


def test_a_metric_with_a_reason_and_no_figure_has_no_table():
    """The reason is told below the tables. A figure of the paper is worth a table without ours."""
    done = {("SWR", BEARD[0]): CELL, ("delta", BEARD[0]): CELL | {"extra": {LPIPS: {"after": [0.25, 0.75]}}}}
    mine = replace(PROTOCOL, metrics=(DET, LPIPS))
    assert "LPIPS (" not in (text := report(mine, {("SWR", BEARD[0]): CELL}, DETECTOR))
    assert text.endswith("Not measured:\n\n- LPIPS: it was not measured") and "| SWR | 0.200 |" in text
    assert "| SWR | – | – | – |\n| delta | 0.500 | – | – |" in report(mine, done, DETECTOR)
    of_paper = replace(mine, paper={("SWR", "beards"): {LPIPS: 0.125}})
    assert "| SWR | – (0.125) | – | – |" in report(of_paper, {("SWR", BEARD[0]): CELL}, DETECTOR)
    assert "LPIPS (" in report(mine, {}, DETECTOR)  # nothing was measured so far


def test_what_spills_is_the_neighbour_that_the_prompt_names():
    beard, hat = PROTOCOL.cases
    watch = ("bow_tie", "hat")
    assert values_of(CELL, "after", SPILL, beard, watch, DETECTOR) == pytest.approx([0.1, 0.3])
    assert values_of(CELL, "after", OTHERS, beard, (), DETECTOR) == pytest.approx([0.15, 0.25])
    dog = PROTOCOL.groups["hats"][0]
    # its prompt names neither: all of them count
    assert values_of(CELL, "after", SPILL, dog, ("bow_tie", "beard"), DETECTOR) == pytest.approx([0.5, 0.4])
    assert values_of(CELL, "after", DET, hat, (), DETECTOR) == [0.2, 0.2]


def test_from_the_command_to_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--protocol", "suppress-eot-table-6", "--seeds", "1", "--steps", "2", "--only", "MPE"]) == 0
    printed = capsys.readouterr().out
    assert "2 steps, R = 0.06, 1 seed per prompt" in printed and "(0.6266) |" in printed and "SWR" not in printed
    assert (tmp_path / "suppress-eot-table-6.jsonl").is_file()
    assert printed.strip() in (tmp_path / "suppress-eot-table-6.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rows", "all"], "--rows with --protocol suppress-eot-table-6, which has its own"),
        (["--kinds", "last"], "--kinds with --protocol"),
        (["--pictures"], "--protocol is for prompts; leave --pictures out"),
        (["--only", "Unreed"], "no row Unreed; there is SWR, MPE"),
    ],
)
def test_mistakes(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--protocol", "suppress-eot-table-6", *options]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())
