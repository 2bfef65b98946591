"""The page in headless Chromium: what a reader does with it works, without an error and without the network."""

import pytest

from suppress.evaluation.all_methods import OURS
from suppress.evaluation.page.html import report_html

pytestmark = pytest.mark.browser

PATIENCE = 120_000  # milliseconds: a busy machine took ten seconds for what an idle one does in one


@pytest.fixture(scope="module")
def file(tmp_path_factory, report):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_html(report), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def open_page(chromium, file):
    """Opens the page with a width and a colour scheme. At the end, it must have said and asked for nothing."""
    contexts, said, asked = [], [], []

    def opened(width: int = 1280, scheme: str = "light"):
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {file}


def names(page) -> list[str]:
    """The rows of the first table, in their order."""
    return page.locator("#table-1 tbody th").all_inner_texts()


def header(page, name: str):
    return page.locator("#table-1 thead th").filter(has=page.get_by_text(name, exact=True))


def test_a_click_and_enter_on_a_header_sort(open_page):
    page = open_page()
    assert names(page) == [OURS, "SWR <old>"]
    score, passes = header(page, "DetScore"), header(page, "passes")
    score.locator("button").click()
    assert names(page) == [OURS, "SWR <old>"] and score.get_attribute("aria-sort") == "ascending"
    score.locator("button").click()
    assert names(page) == ["SWR <old>", OURS] and score.get_attribute("aria-sort") == "descending"
    passes.locator("button").press("Enter")  # 100 and 25: as numbers, not as words
    assert names(page) == ["SWR <old>", OURS] and passes.get_attribute("aria-sort") == "ascending"
    assert score.get_attribute("aria-sort") == "none"
    passes.locator("button").press("Enter")
    assert names(page) == [OURS, "SWR <old>"]


def test_names_sort_as_words_and_missing_values_stay_at_the_end(open_page):
    page = open_page()
    header(page, "method").locator("button").click()
    assert names(page) == ["SWR <old>", OURS]
    for _ in range(2):  # the default has no difference to itself
        header(page, "Δ DetScore").locator("button").click()
        assert names(page) == ["SWR <old>", OURS]


def test_all_pictures_are_shown(open_page, sheets):
    page = open_page()
    widths = page.locator("img").evaluate_all("all => all.map(one => one.complete && one.naturalWidth)")
    assert widths == [16] * 2 * len(sheets)


def test_the_slider_moves_from_the_original_to_the_edit(open_page):
    page = open_page()
    after, slider = page.locator(".after").first, page.locator("input").first
    clip = "one => getComputedStyle(one).clipPath"
    assert after.evaluate(clip) == "inset(0px 0px 0px 50%)"
    slider.focus()
    slider.press("Home")
    assert after.evaluate(clip) == "inset(0px 0px 0px 0%)"
    slider.press("End")
    assert after.evaluate(clip) == "inset(0px 0px 0px 100%)"
    assert page.locator(".after").last.evaluate(clip) == "inset(0px 0px 0px 50%)"


def test_a_circle_says_its_name_by_key_and_by_pointer(open_page):
    page = open_page()
    told, label = page.locator("#plot-text"), page.locator("#plot-label")
    page.locator(".point").first.focus()
    assert told.inner_text().startswith("SWR <old>: suppression") and label.text_content() == "SWR <old>"
    page.keyboard.press("Tab")
    assert told.inner_text().startswith(f"{OURS}: suppression") and label.text_content() == OURS
    page.locator(".point").first.hover()
    assert label.text_content() == "SWR <old>"


@pytest.mark.parametrize(("scheme", "other"), [("light", "dark"), ("dark", "light")])
def test_the_page_follows_the_system_and_the_button_turns_it(open_page, scheme, other):
    page = open_page(scheme=scheme)
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + Number(b), 0)"
    assert (page.evaluate(brightness) > 380) is (scheme == "light")
    page.locator("#theme").click()
    assert (page.evaluate(brightness) > 380) is (other == "light")
    page.locator("#theme").click()
    assert (page.evaluate(brightness) > 380) is (scheme == "light")


def test_on_a_phone_only_the_tables_scroll(open_page):
    page = open_page(width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    box = page.locator("#table-1 .scroll")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX") == "auto"
    # the names of the rows stay in sight
    box.evaluate("box => box.scrollLeft = 400")
    assert 0 <= page.locator("#table-1 tbody th").first.bounding_box()["x"] < 40
    # no text is smaller than 10 px, that of the plot included, which shrinks with the page
    scale = page.locator("#plot svg").evaluate("svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width")
    assert 14 * scale >= 10
    sizes = page.locator("main *:not(svg, svg *)").evaluate_all(
        "all => all.map(x => parseFloat(getComputedStyle(x).fontSize))"
    )
    assert min(sizes) >= 10
