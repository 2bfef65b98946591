"""The report as a page: well-formed, without any address, and with the words of the report as they are."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from suppress.evaluation.all_methods import OURS
from suppress.evaluation.page.html import data_uri, first_order, lines, report_html
from suppress.evaluation.page.parts import Column, Table, TableRow, Value

pytestmark = pytest.mark.quick

VOID = {"meta", "link", "img", "input", "br"}  # elements without an end


class Strict(HTMLParser):
    """Refuses elements that are not closed in their order, an attribute given twice, and an & that begins nothing."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open
        assert not re.search(r"&(?!#\d+;|\w+;)", re.sub("<script>.*?</script>", "", text, flags=re.S))

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert "svg" in self.open, f"<{tag}/> outside a drawing"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)


@pytest.fixture(scope="module")
def text(report):
    return report_html(report)


@pytest.fixture(scope="module")
def page(text):
    return Strict(text)


def elements(page: Strict, tag: str) -> list[dict]:
    return [attributes for name, attributes in page.tags if name == tag]


def test_the_page_names_no_address(page, text):
    # neither comments of the script nor two slashes within base64 are addresses
    assert "//" not in re.sub(r"// .*|(base64,|sha256-)[\w+/=]+", "", text)
    for _, attributes in page.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), attributes
    assert not re.search(r"@import|url\(|fetch\(|XMLHttp|WebSocket|import\(", text)


def test_the_policy_forbids_the_network_and_knows_only_this_style_and_script(page, text):
    [policy] = [m["content"] for m in elements(page, "meta") if m.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:" and "unsafe" not in policy
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    # the policy would stop these
    assert not any(name == "style" or name.startswith("on") for _, each in page.tags for name in each)


def test_names_and_anchors_are_sound(page):
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    targets = [a["href"][1:] for a in elements(page, "a")]
    assert targets and set(targets) <= set(names)
    labelled = elements(page, "svg")[0]["aria-labelledby"].split()
    assert set(labelled) <= set(names)


def test_words_of_prompts_and_rows_are_escaped(page, text, sheets):
    assert "<b>hat</b>" not in text and "<old>" not in text and "<file>" not in text
    seen = " ".join(page.texts)
    assert sheets[0].prompt in seen and "SWR <old>" in seen and "no <file> | here" in seen
    assert any(sheets[0].prompt in img["alt"] for img in elements(page, "img"))


def test_cells_sort_by_their_full_numbers():
    columns = (Column("a", "lower", digits=1), Column("b"))
    rows = (
        TableRow("one", (Value(0.123456), Value(words="because"))),
        TableRow("two", (Value(), Value(2.0, (1.0, 3.0), words="yes"))),
    )
    one, two = lines(Table("t", "row", columns, rows))
    assert [(c.text, c.sort, c.words) for c in one.cells] == [("0.1", "0.123456", False), ("because", "because", True)]
    assert [(c.text, c.sort, c.interval) for c in two.cells] == [("–", "", ""), ("yes", "2.0", "[1.000, 3.000]")]
    assert two.cells[0].bar is None and two.cells[1].bar is not None


def test_the_best_values_come_first():
    assert [first_order(Column("a", better)) for better in ("lower", "higher", "")] == [
        "ascending",
        "descending",
        "ascending",
    ]


def test_every_row_and_circle_is_there(page, report):
    rows = sum(len(table.rows) for table in report.tables)
    assert sum(th.get("scope") == "row" for th in elements(page, "th")) == rows
    columns = sum(1 + len(table.columns) for table in report.tables)
    assert [th["aria-sort"] for th in elements(page, "th") if th.get("scope") == "col"] == ["none"] * columns
    circles = elements(page, "circle")
    assert {c["data-name"] for c in circles} == {OURS, "SWR <old>"} and all(c["tabindex"] == "0" for c in circles)
    [ours] = [c for c in circles if c["data-name"] == OURS]
    about = f"{OURS}: suppression (1 - DetScore) 0.950, preservation (SSIM) 0.750, passes 100"
    assert ours["aria-label"] == about
    assert page.texts.count(report.command) == len(report.tables) + 1  # and once among the settings


def test_pictures_keep_every_pixel(page, sheets):
    sources = [img["src"] for img in elements(page, "img")]
    assert len(sources) == 2 * sum(len(sheet.samples) for sheet in sheets)
    wanted = [picture for sheet in sheets for s in sheet.samples for picture in (s.before, s.after)]
    for source, picture in zip(sources, wanted, strict=True):
        stored = Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/webp;base64,"))))
        assert stored.convert("RGB").tobytes() == picture.tobytes()
    noise = Image.effect_noise((32, 32), 90).convert("RGB")
    stored = Image.open(io.BytesIO(base64.b64decode(data_uri(noise).partition(",")[2])))
    assert stored.convert("RGB").tobytes() == noise.tobytes()
