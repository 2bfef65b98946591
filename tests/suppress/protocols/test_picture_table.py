"""A protocol of pictures, from hand-made cells: its table, its reasons, and its page."""

import pytest

from suppress.evaluation.page.parts import Report
from suppress.evaluation.page.protocol_report import picture_protocol_report
from suppress.evaluation.pairs import VAE, Pair
from suppress.evaluation.pictures import as_instruction, instruction_prompt, picture_cases
from suppress.protocols.picture_table import found, report
from suppress.protocols.protocol import CLIP, DET, FID, IDEAL, IFID, INSIDE, OUTSIDE, TOP_1, TOP_5, PictureProtocol

pytestmark = pytest.mark.quick

FIRST, SECOND = (case for case in picture_cases() if case.kind in ("glasses", "hat") and case.number in (0, 6))
PROTOCOL = PictureProtocol(
    name="mine",
    source="a paper, Table 9",
    claim="It removes.",
    differs="Fewer pictures.",
    rows=(Pair("unread", "direct", label="ours"), Pair("zero", "ddim", label="theirs")),
    metrics=(DET, CLIP, OUTSIDE, FID),
    paper={VAE: {DET: 0.25}, "ours": {DET: 0.5, FID: 9.72}, "LaMa": {FID: 8.44}},
)


def cell(case, det: float, outside: float) -> dict:
    names = {case.name: 1.0, "beach": 0.0}
    extra = {"target fit": {"before": [0.9], "after": [det / 2]}, "features": {"reason": "no CLIP"}}
    sides = {"before": names, "reconstruction": names, "after": names | {case.name: det}, "extra": extra}
    return sides | {"psnr outside": outside, "passes": 10, "inversion passes": 5}


DONE = {
    ("ours", FIRST.number): cell(FIRST, 0.1, 20.0),
    ("ours", SECOND.number): cell(SECOND, 0.3, 60.0),  # 40 dB at most count
    (VAE, FIRST.number): cell(FIRST, 0.9, 27.0),
    ("theirs", FIRST.number): {"reason": "it cannot"},
}


def test_the_table_has_our_means_and_the_papers_figures():
    text = report(PROTOCOL, DONE, [FIRST, SECOND])
    assert "`suppress eval --protocol mine`. 2 drawn pictures, 15 steps" in text and "In brackets: the paper's" in text
    assert "| | DetScore | CLIP score | PSNR outside | FID | UNet samples |" in text
    assert "| nothing changed but by the VAE | 0.900 (0.25) | 0.450 | 27.0 | – | 10 + 5 |" in text
    assert "| ours | 0.200 (0.5) | 0.100 | 30.0 | – (9.72) | 10 + 5 |" in text
    assert "| theirs | – | – | – | – | – |" in text and "| LaMa | – | – | – | – (8.44) | – |" in text
    assert text.endswith("Not measured:\n\n- theirs: it cannot\n- FID: no CLIP")


def test_the_page_has_the_same_figures():
    base = Report("old", ("first",), "suppress eval", {}, ())
    page = picture_protocol_report(base, PROTOCOL, DONE, [FIRST, SECOND])
    assert page.title == "mine: a paper, Table 9" and page.sentences[:2] == ("It removes. Fewer pictures.", "first")
    assert "Not measured: FID: no CLIP." in page.sentences
    [table] = page.tables
    rows = {row.name: [value.text(c) for c, value in zip(table.columns, row.values, strict=True)] for row in table.rows}
    assert rows["ours"] == ["0.200 (0.5)", "0.100", "30.0", "– (9.72)"] and rows["LaMa"][-1] == "– (8.44)"
    assert [c.better for c in table.columns] == ["lower", "lower", "higher", "lower"]


def test_an_instruction_leaves_a_prompt_without_the_verb():
    assert instruction_prompt("Remove the airplane at the center") == "the airplane at the center"
    for wrong in ("erase the hat", "remove", "remove "):
        with pytest.raises(Exception, match="expected “remove the …”"):
            instruction_prompt(wrong)
    case = as_instruction(SECOND)
    assert case.prompt == f"the {SECOND.target}" and case.target == SECOND.target and case.deleted == ""
    assert case.seed == SECOND.seed and case.photo.tobytes() == SECOND.photo.tobytes()


def test_each_metric_reads_its_own_score(monkeypatch):
    sides = {"before": ["b"], "after": ["a"], "ideal": ["i"]}
    scores = {"error inside": 3.5, "ssim ideal": 0.75, "psnr outside": 20.0}
    extra = {"features": sides, "CLIP accuracy": {"top 1": [1], "top 5": [0]}}
    done = {("ours", FIRST.number): cell(FIRST, 0.1, 20.0) | scores | {"extra": extra}}
    monkeypatch.setattr("suppress.evaluation.extras.features_in", list)
    monkeypatch.setattr(
        "suppress.metrics.frechet.frechet_distance", lambda a, b: {("b", "a"): 5, ("i", "a"): 7}[a[0], b[0]]
    )
    wanted = {INSIDE: 3.5, IDEAL: 0.75, OUTSIDE: 20, TOP_1: 1, TOP_5: 0, IFID: 5, FID: 7}
    assert {metric: found("ours", metric, done, [FIRST]).value for metric in wanted} == wanted
