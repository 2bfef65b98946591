"""What a result does by itself: it saves itself, tells its scores, and shows itself in a notebook."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import suppress
from minisd import UserError
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
