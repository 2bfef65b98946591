"""What happens when something is typed or clicked, on the embedded model with few steps and small pictures."""

import io
import re
import shlex
from html import unescape

import numpy as np
import pytest
from PIL import Image

import minisd
from minisd.cli import options
from minisd.cli.parameters import read
from suppress import world
from suppress.cli import main
from suppress.ui import show
from suppress.ui.desk import _content
from suppress.ui.draw import Progress
from suppress.ui.order import command, python_call


def drawn(desk, asked):
    """What the studio draws of an order."""
    order = desk.order(asked)
    [*_, result] = desk.runs.begin("a test", lambda stop, tell: desk.studio.draw(order, stop, tell)).follow()
    return result


def last(desk, asked):
    """The last that is seen: (line, pictures, whether a run is at work)."""
    return list(desk.draw("a session", asked))[-1]


def picture(html, name):
    """The file that a link of the page saves."""
    found = re.search(rf'href="(data:image/png;base64,[^"]+)" download="[^"]*{name}.png"', html)
    return _content(found[1])


def same(path, pillow):
    with Image.open(path) as found:
        assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(pillow))


def repeated(desk, order, folder, monkeypatch):
    """The pictures of the printed command and of the printed call."""
    monkeypatch.chdir(folder)
    sd, model = desk.studio.sd, desk.studio.model
    for module, name in ((options, "load_model"), (minisd, "load")):  # the same weights, loaded once
        monkeypatch.setattr(module, name, lambda *_, **__: sd)
    assert main([*shlex.split(command(order, model))[1:], "--save-pictures", "out"]) == 0
    exec(python_call(order, model), {})
    [edited] = (folder / "out").glob("*-suppressed.png")
    return edited, folder / "without.png"


def test_the_printed_command_and_call_give_the_same_picture_to_the_bit(desk, asked, tmp_path, monkeypatch):
    prompt, negative = "a red hat on a (blue:1.3) hat", "(rain:1.2)"
    form = desk.form("unread", False)[0] | {"values": {"strength": "0.9"}}
    chips = desk.chips(prompt, None, True) | {"chosen": [["hat", 2]]}
    told = {"chips": chips, "form": form, "keep": 0.5, "guidance": 5, "seed": 4, "negative": negative, "weights": True}
    result = drawn(desk, asked(prompt, **told))
    assert "\nNegative prompt: (rain:1.2)\n" in result.parameters and "Prompt weights: yes" in result.parameters
    # no word before the target carries it: the leak table compares texts without weights
    assert {row["original"] for row in result.leak if row["part"] == "before"} == {0}
    assert result.order.remove == ("hat:2",) and result.order.method == "unread:strength=0.9"
    for path in repeated(desk, result.order, tmp_path, monkeypatch):
        same(path, result.pictures["without"])


def test_the_same_holds_for_a_photo_with_a_mask_and_a_crop(desk, asked, as_address, tmp_path, monkeypatch):
    photo = world.render(world.Spec(kind="woman", eyewear="round")).resize((32, 32))  # as large as the drawing
    mask = Image.new("L", photo.size)
    mask.paste(255, (5, 14, 25, 22))
    given = {"name": "woman.png", "data": as_address(photo), "mask": as_address(mask), "crop": "4, 4, 28, 30"}
    prompt = "a woman wearing (round:1.2) glasses"
    result = drawn(desk, asked(prompt, negative=" rain ", photo=given, further="glasses", steps=2, paste=True))
    assert result.order.negative == "rain"
    assert any("'(round:1.2)' is read as plain text: give --weights" in note for note in result.notes)
    assert set(result.pictures) == {"original", "reconstruction", "without", "mask"}
    (tmp_path / "woman.png").write_bytes(result.order.photo.content)
    saved = re.search(r'href="(data:image/png[^"]+)" download="mask.png"', show.result(result, desk.studio.model))
    (tmp_path / "mask.png").write_bytes(_content(saved[1]))
    for path in repeated(desk, result.order, tmp_path, monkeypatch):
        same(path, result.pictures["without"])
    outside = np.asarray(result.pictures["without"])[:8] == np.asarray(result.pictures["original"])[:8]
    assert outside.all()  # pasted: the photo's own pixels


def test_the_page_shows_pictures_scores_maps_leak_and_commands(desk, asked, tmp_path):
    seen = list(desk.draw("a session", asked("a man without glasses <b>")))
    assert [running for _, _, running in seen] == [True] * (len(seen) - 1) + [False]
    assert "step 1 of 3" in " ".join(line for line, _, _ in seen)
    line, html, _ = seen[-1]
    assert line.strip() == "" and "&lt;b&gt;" in html and "<b>" not in html
    assert html.count("DetScore glasses") == 1 and "UNet passes" in html
    assert html.count('alt="step 3') == 2  # the maps of both branches, of the last step too
    assert '<tr class="target"><td>4</td><th scope="row">glasses</th>' in html
    assert "suppress 'a man without glasses <b>' --remove glasses" in unescape(html)
    # the picture that is saved says how it was made
    (tmp_path / "saved.png").write_bytes(picture(html, "without"))
    prompt, _, fields = read(str(tmp_path / "saved.png"))
    assert prompt == "a man without glasses <b>" and fields["Suppress"] == "glasses" and fields["Steps"] == "3"


def test_a_run_that_is_stopped_keeps_what_is_drawn(desk, asked):
    order = desk.order(asked(steps=20))

    def work(stop, tell):
        def told(progress):
            tell(progress)
            if progress.step == 2:
                stop.set()

        return desk.studio.draw(order, stop, told)

    [*news, result] = desk.runs.begin("a session", work).follow()
    assert result.stopped == 3  # within the step after the click
    assert len(result.maps) == 3 and not result.failed
    assert max(one.step for one in news if isinstance(one, Progress)) <= 3
    assert "Stopped after step 3 of 20" in show.result(result, desk.studio.model)
    assert "Stopped after" not in last(desk, asked())[1]  # the next run is whole


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompt": "  "}, "The prompt is empty"),
        ({"prompt": "a man"}, "Click the word"),
        ({"prompt": "a (man", "weights": True}, "the bracket '(' at character 3 of the prompt 'a (man' has no partner"),
        ({"negative": "rain)", "weights": True}, "the bracket ')' at character 5"),
        ({"photo": {"name": "a.png", "data": "data:;base64,AAAA", "crop": "1,2"}}, "crop '1,2'; expected left,top,"),
        ({"seed": 1.5}, "seed 1.5; expected a whole number"),
        ({"steps": 0}, "steps = 0; expected a whole number"),
        ({"guidance": float("nan")}, "guidance = nan"),
        ({"width": 60}, "both must be multiples of 8"),
        ({"keep": 2}, "keep = 2; expected a number from 0 to 1"),
        ({"further": "beard"}, "the prompt has no 'beard'"),
        ({"method": "unread", "form": {"method": "unread", "values": {"strength": "x"}}}, "strength = 'x'"),
        ({"method": "delta"}, "delta"),
        ({"photo": {"name": "a.png", "data": "data:;base64,AAAA"}}, "'a.png' is not a picture that can be read"),
        ({"photo": {"name": "a.png", "data": "data:;base64,A"}}, "arrived damaged"),
    ],
)
def test_bad_input_is_a_sentence(desk, asked, changes, sentence, capfd):
    line, pictures, running = last(desk, asked(**changes))
    assert 'role="alert"' in line and sentence in unescape(line)
    assert pictures is None and not running
    assert "Traceback" not in line + capfd.readouterr().err


def test_a_bracket_may_wait_for_its_partner(desk):
    before = desk.chips("a man with a hat", None, True) | {"chosen": [["hat", 1]]}
    typed = desk.chips("a man with a (hat", before, True)
    assert [chip["text"] for chip in typed["chips"]][-3:] == ["(", "hat", "[EOT]"] and typed["chosen"] == [["hat", 1]]
    done = desk.chips("a man with a (hat)", typed, True)
    assert done["prompt"] == "a man with a hat" and done["chosen"] == [["hat", 1]]


def test_a_fault_of_the_program_is_told_without_its_traceback(desk, asked, monkeypatch, capfd):
    monkeypatch.setattr(desk.studio, "draw", lambda *_: 1 / 0)
    line, _, running = last(desk, asked())
    assert "a fault of the program" in line and "Traceback" not in line and not running
    assert "Traceback" in capfd.readouterr().err


def test_a_photo_leaves_nothing_of_its_exif(desk, asked, as_address):
    photo = world.render(world.Spec(kind="woman", hat="cap"))
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a secret camera", 6  # make; orientation: turned by 90°
    given = {"name": "woman.jpg", "data": as_address(photo, "JPEG", exif=exif)}
    order = asked("a woman with a hat", further="hat", photo=given, steps=2)
    _, html, _ = last(desk, order)
    for name in ("original", "without", "reconstruction"):
        content = picture(html, name)
        assert b"a secret camera" not in content
        assert not Image.open(io.BytesIO(content)).getexif()
    turned = np.asarray(Image.open(io.BytesIO(picture(html, "original"))), int)
    assert abs(turned - np.asarray(photo.rotate(-90).resize((32, 32)), int)).mean() < 12
    assert "woman.jpg: turned" in unescape(html)
