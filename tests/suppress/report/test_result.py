"""What a result does by itself: it saves itself, tells its scores, and shows itself in a notebook."""

import base64
import io
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import suppress
from minisd import UserError
from minisd.cli import options, parameters
from minisd.cli.commands import main as minisd_main
from suppress.cli.commands import main as suppress_main
from suppress.metrics import Judge

PROMPT = "a man with glasses & a <hat>"
SETTINGS = suppress.Unread(steps=1, start=0)


def draw(sd, **more):
    return suppress.run(sd, PROMPT, "glasses", settings=SETTINGS, **({"height": 64, "width": 64} | more))


@pytest.fixture(scope="module")
def pair(small):
    return draw(small, seed=[3, 5], maps=True)


class Scorer:
    """A judge with known scores."""

    def scores(self, result):
        return {
            "DetScore glasses": {"original": [0.5, 1.0], "suppressed": [0.0, 0.25]},
            "CLIP score": {"reason": "a|b"},
        }


def names(folder):
    return sorted(path.name for path in folder.iterdir())


STEM = "a-man-with-glasses-a-hat"


def test_a_result_saves_all_that_it_has(pair, tmp_path):
    pair.scores(Scorer())
    paths = pair.save(tmp_path / "new" / "folder")
    pictures = [f"{STEM}-s{seed}-{name}.png" for seed in (3, 5) for name in ("original", "suppressed")]
    assert [path.name for path in paths] == [*pictures, f"{STEM}-maps.png", f"{STEM}.json"]
    with Image.open(paths[3]) as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(pair.image[1]))
    content = json.loads(paths[-1].read_text())
    assert content["prompt"] == PROMPT and content["targets"] == ["glasses"] and content["seeds"] == [3, 5]
    assert content["method"] == "Unread" and content["settings"]["steps"] == 1 and content["model"] == "tiny"
    assert (content["lora"], content["vae"], content["clip_skip"]) == ([], None, 0)
    assert content["scores"]["DetScore glasses"]["suppressed"] == [0.0, 0.25]
    assert content["files"] == [path.name for path in paths[:-1]]


def test_its_pictures_are_drawn_again_by_the_command_line(small, tmp_path, monkeypatch):
    monkeypatch.setattr(options, "load_model", lambda args: small)
    monkeypatch.chdir(tmp_path)
    settings = suppress.Unread(steps=2, start=1, keep=0.5, guidance=6.0)
    prompt, more = "a hat, a man\nin a hat", {"height": 64, "width": 72, "negative_prompt": "rain, snow"}
    result = suppress.run(small, prompt, "hat:2", seed=[3, 5], settings=settings, **more)
    paths = {path.stem: path for path in result.save("all")}
    stem = "a-hat-a-man-in-a-hat-s5"
    assert (
        suppress_main(["--params-from", str(paths[f"{stem}-suppressed"]), "--out", "p.png", "--save-pictures", "."])
        == 0
    )
    assert minisd_main(["generate", "--params-from", str(paths[f"{stem}-original"]), "--out", "o.png"]) == 0
    for again, want in ((f"{stem}-suppressed.png", result.image[1]), ("o.png", result.original[1])):
        with Image.open(again) as picture:
            assert np.abs(np.asarray(picture, int) - np.asarray(want, int)).max() <= 1
    before, now = (parameters.read(path) for path in (paths[f"{stem}-suppressed"], f"{stem}-suppressed.png"))
    assert before[:2] == now[:2] == (prompt, "rain, snow")
    assert {**before[2], "Date": ""} == {**now[2], "Date": ""} and before[2]["Suppress"] == "hat:2"


def test_only_unfinished_pictures_say_that_they_are(small, tmp_path):
    settings = suppress.Unread(steps=2, start=0)
    result = suppress.run(
        small,
        PROMPT,
        "glasses",
        seed=[3, 4, 5],
        settings=settings,
        batch_size=1,
        callback=lambda step: step.jobs != (1,),
        height=64,
        width=64,
    )
    assert (result.stopped_at, result.unfinished) == (0, 1)
    *pictures, about = result.save(tmp_path)
    said = {path.name.removeprefix(f"{STEM}-"): parameters.read(path)[2].get("Stopped after step") for path in pictures}
    finished, stopped = ({f"s{seed}-original.png", f"s{seed}-suppressed.png"} for seed in (3, 4))
    assert said == dict.fromkeys(finished, None) | dict.fromkeys(stopped, "1")
    assert json.loads(about.read_text())["unfinished"] == 1


def test_what_the_command_line_cannot_repeat_is_told(small, tmp_path, monkeypatch, capsys):
    @dataclass(frozen=True)
    class Own(suppress.Unread):
        pass

    monkeypatch.setattr(options, "load_model", lambda args: small)
    picture = Image.radial_gradient("L").convert("RGB").resize((64, 64))
    start = suppress.invert(small, picture, PROMPT, "ddim", 1, height=64, width=64)
    given = {"image": picture, "inversion": start}
    for folder, settings, more in (("own", Own(steps=1, start=0), {}), ("photo", SETTINGS, given)):
        suppress.run(small, PROMPT, "glasses", settings=settings, height=64, width=64, **more).save(tmp_path / folder)
    [own] = (tmp_path / "own").glob("*-suppressed.png")
    assert suppress_main(["--params-from", str(own)]) == 2 and "method 'Own' is unknown" in capsys.readouterr().err
    [photo] = (tmp_path / "photo").glob("*-suppressed.png")
    assert suppress_main(["--params-from", str(photo)]) == 2
    assert "drawn over another picture (given in Python), which the file does not hold" in capsys.readouterr().err
    assert suppress_main(["--params-from", str(photo), "--image", str(photo)]) == 2
    assert "inversion = 'given in Python'" in capsys.readouterr().err
    with Image.open(next((tmp_path / "photo").glob("*-original.png"))) as original:
        assert "parameters" not in original.info  # it is the user's


def test_nothing_is_overwritten_unasked(small, pair, tmp_path):
    (tmp_path / f"{STEM}-s5-suppressed.png").write_text("mine")
    with pytest.raises(UserError, match=r"-s5-suppressed\.png exists; give another folder, or overwrite=True"):
        pair.save(tmp_path)
    assert names(tmp_path) == [f"{STEM}-s5-suppressed.png"]  # nothing was written
    pair.save(tmp_path, overwrite=True)
    with Image.open(tmp_path / f"{STEM}-s5-suppressed.png") as picture:
        assert picture.size == (64, 64)
    assert len(names(tmp_path)) == 6
    for folder, message in (
        (f"{STEM}.json", "is a file; give the name"),
        (f"{STEM}.json/x", "x cannot be made: Not a"),
    ):
        with pytest.raises(UserError, match=message):
            pair.save(tmp_path / folder)


def test_an_edited_picture_saves_its_reconstruction_and_mask(small, tmp_path):
    picture, mask = Image.radial_gradient("L").convert("RGB").resize((64, 64)), Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    settings = suppress.Unread(steps=1, start=0, keep=1)
    result = suppress.run(small, PROMPT, "glasses", settings=settings, image=picture, mask=mask, height=64, width=64)
    result.save(tmp_path)
    assert names(tmp_path) == [
        *sorted(f"{STEM}-{name}.png" for name in ("original", "reconstruction", "suppressed", "mask")),
        f"{STEM}.json",
    ]
    assert len(re.findall("<img", result._repr_html_())) == 3


def test_a_table_has_the_means(small):
    result = draw(small)
    with pytest.raises(UserError, match="no scores yet"):
        result.table()
    result.scores(Scorer())
    assert result.table().splitlines() == [
        "| score | original | suppressed |",
        "| --- | --- | --- |",
        "| DetScore glasses | 0.750 | 0.125 |",
        r"| CLIP score (a\|b) | – | – |",
    ]


def test_scores_are_those_of_the_judge(small, pair):
    judge = Judge(small)
    assert pair.scores(judge) == judge.scores(pair) == pair.scored
    assert len(pair.scored["DetScore glasses"]["suppressed"]) == 2


class Page(HTMLParser):
    """The tags, the words and the pictures of a piece of HTML."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.pictures = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            data = base64.b64decode(dict(attrs)["src"].partition(",")[2])
            self.pictures.append(Image.open(io.BytesIO(data)).convert("RGB"))
        elif tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())


def test_a_result_shows_itself(small, pair):
    page = Page(pair._repr_html_())
    assert not page.open and f"{PROMPT} – without glasses" in page.words  # escaped, and every tag is closed
    for shown, picture in zip(
        page.pictures, [pair.original[0], pair.image[0], pair.original[1], pair.image[1]], strict=True
    ):
        assert np.array_equal(np.asarray(shown), np.asarray(picture))
    assert "original (seed 3)" in page.words and "suppressed (seed 5)" in page.words
    assert "DetScore glasses" not in draw(small)._repr_html_()
    pair.scores(Scorer())
    assert {"DetScore glasses", "0.125", "CLIP score (a|b)"} <= set(Page(pair._repr_html_()).words)
    assert "tensor(" not in repr(pair)
