"""The page in headless Chromium: what a person does with it works, without an error and without the network."""

import io
import re
import subprocess
import sys
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from suppress import world

pytestmark = pytest.mark.browser

PATIENCE = 180_000  # milliseconds: a busy machine took ten times as long as an idle one


@pytest.fixture(scope="module")
def address():
    """Where `suppress ui` says that its page is."""
    pytest.importorskip("gradio", reason='no gradio found: pip install "minisd[ui]"')
    command = [sys.executable, "-m", "suppress.cli", "ui", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        found = next((line.strip() for line in server.stdout if line.startswith("http")), None)
        assert found, server.stderr.read()
        yield found
        server.terminate()
        said = server.stderr.read()
    assert "Traceback" not in said


@pytest.fixture
def open_page(chromium, address):
    """Opens the page with a width and a colour scheme. At the end, it must have said nothing, and asked nobody else."""
    contexts, said, asked = [], [], []

    def opened(width: int = 1280, scheme: str = "light", steps: int = 3):
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.goto(address)
        page.wait_for_selector(".chip")
        page.get_by_role("button", name="Picture").click()
        page.fill("#steps input", str(steps))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    outside = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))}
    assert outside == {urlsplit(address).netloc}


def chosen(page) -> list[str]:
    return page.locator(".chip[aria-pressed=true] b").all_inner_texts()


def pixels(page, name: str) -> np.ndarray:
    """The pixels of a picture as the page shows it."""
    image = page.locator(f"#result img[alt^='{name}']").first
    image.evaluate("one => one.decode()")
    return np.asarray(Image.open(io.BytesIO(image.screenshot())).convert("RGB"), int)


def type_prompt(page, prompt: str) -> None:
    page.fill("#prompt textarea", prompt)
    page.wait_for_function(
        "all => all.every(x => document.querySelector('#chips').innerText.includes(x))", arg=prompt.split()
    )


def test_type_click_draw(open_page):
    page = open_page()
    assert chosen(page) == ["glasses"]
    type_prompt(page, "a woman in a red hat and a blue hat")
    assert chosen(page) == []
    page.locator(".chip", has_text="hat").nth(1).click()
    assert chosen(page) == ["hat"]
    page.click("#draw")
    page.wait_for_selector("#command")
    assert page.inner_text("#command") == (
        "suppress 'a woman in a red hat and a blue hat' --remove hat:2 --seed 0 --steps 3 --device cpu"
    )
    original, edited = pixels(page, "original"), pixels(page, "without")
    for drawn in (original, edited):
        assert drawn.std() > 20  # not blank
    assert np.abs(original - edited).mean() > 1
    # the slider stands between the two
    after, slider = page.locator(".compare .after"), page.locator(".compare input")
    slider.press("Home")
    assert after.evaluate("one => getComputedStyle(one).clipPath") == "inset(0px 0px 0px 0%)"
    assert page.locator(".film img").count() == 6
    assert page.locator("tr.target th").inner_text() == "hat"


def test_weights_and_a_negative_prompt(open_page):
    page = open_page()
    page.fill("#prompt textarea", "a man in a (red:1.3) hat")
    page.check("#weights input")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.chip b')].map(x => x.innerText).join(' ') === 'a man in a red hat [EOT]'"
    )
    page.locator(".chip", has_text="red").click()
    page.fill("#negative textarea", "(rain:1.2)")
    page.click("#draw")
    page.wait_for_selector("#command")
    assert page.inner_text("#command") == (
        "suppress 'a man in a (red:1.3) hat' --remove red --negative '(rain:1.2)' --weights --seed 0 --steps 3 "
        "--device cpu"
    )


def test_stop_ends_the_run_and_keeps_what_is_drawn(open_page):
    page = open_page(steps=900)
    assert page.locator("#stop").is_disabled()
    page.click("#draw")
    page.wait_for_function("() => document.querySelector('#status progress')?.value >= 2")
    page.click("#stop")
    page.wait_for_selector("#command")
    stopped = re.search(r"Stopped after step (\d+) of 900", page.inner_text("#result"))
    assert 2 <= int(stopped[1]) < 900
    assert pixels(page, "without").std() > 5
    assert page.locator("#stop").is_disabled()


def test_bad_input_is_a_sentence(open_page):
    page = open_page()
    page.locator(".chip[aria-pressed=true]").click()
    page.click("#draw")
    page.wait_for_selector(".alert:visible")
    assert page.inner_text("#status") == "Nothing is chosen. Click the word that should go."
    page.fill("#steps input", "0")
    page.locator(".chip", has_text="glasses").click()
    page.click("#draw")
    page.wait_for_function("() => document.querySelector('#status').innerText.includes('steps = 0')")
    assert "Traceback" not in page.content()


def test_the_keyboard_is_enough(open_page):
    page = open_page()
    page.focus("#prompt textarea")

    def focused() -> str:
        return page.evaluate("document.activeElement.innerText || document.activeElement.tagName")

    reached = []
    for _ in range(7):
        page.keyboard.press("Tab")
        reached.append(focused().split("\n")[0])
        if reached[-1] == "man":
            page.keyboard.press("Space")
            assert focused().startswith("man")  # the focus stays
        if reached[-1] == "glasses":
            page.keyboard.press("Enter")
    assert reached[:5] == ["a", "man", "without", "glasses", "Draw"]
    assert chosen(page) == ["man"]
    page.focus("#draw")
    page.keyboard.press("Enter")
    page.wait_for_selector("#command")
    assert "--remove man" in page.inner_text("#command")


def test_a_photo_and_a_painted_mask(open_page, tmp_path):
    world.render(world.Spec(kind="woman", eyewear="round")).save(tmp_path / "woman.png")
    page = open_page(steps=2)
    type_prompt(page, "a woman wearing glasses")
    assert chosen(page) == ["glasses"]  # as in the prompt before
    page.get_by_role("button", name="A photo of yours").click()
    page.set_input_files("#photo input[type=file]", tmp_path / "woman.png")
    page.wait_for_function("() => document.querySelector('#photo canvas').width === 128")
    canvas = page.locator("#photo canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.45)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.45, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Crop", exact=True).click()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.125, box["y"] + box["height"] * 0.25)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.875, box["y"] + box["height"] * 1.5, steps=4)  # beyond the photo
    page.mouse.up()
    assert page.input_value("#photo .crop") == "16,32,112,128" and page.is_visible("#photo .cut")
    # the settings are now those for photos: the rest is kept
    page.get_by_role("button", name=re.compile("^Method")).click()
    page.wait_for_function("() => document.querySelector('#keep input[type=number]').value === '1'")
    page.click("#draw")
    page.wait_for_selector("#command")
    assert page.inner_text("#command").startswith(
        "suppress 'a woman wearing glasses' --image woman.png --crop 16,32,112,128 --mask mask.png"
    )
    assert pixels(page, "mask").std() > 20 and pixels(page, "reconstruction").std() > 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_scrolls_sideways(open_page, scheme):
    page = open_page(width=390, scheme=scheme)
    brightness = (
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b)"
    )
    assert (page.evaluate(brightness) > 380) is (scheme == "light")
    page.get_by_role("button", name=re.compile("^Method")).click()
    page.get_by_role("button", name="A photo of yours").click()
    if scheme == "light":  # one drawing is enough
        page.click("#draw")
        page.wait_for_selector("#command")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_two_people_do_not_see_each_others_pictures(open_page):
    first, second = open_page(), open_page()
    type_prompt(second, "a cat with a hat")
    second.locator(".chip", has_text="hat").click()
    first.click("#draw")
    second.click("#draw")
    for page in (first, second):
        page.wait_for_selector("#command")
    assert "a man without glasses" in first.inner_text("#command")
    assert "a cat with a hat" in second.inner_text("#command")
    assert np.abs(pixels(first, "original") - pixels(second, "original")).mean() > 10
