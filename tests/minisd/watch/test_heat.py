"""Heat maps by word, over time, and as a film."""

import numpy as np
import pytest
import torch
from closeness import levels_apart
from PIL import Image

import minisd
from minisd import UserError
from minisd.cli import options
from minisd.cli.commands import main
from minisd.watch.film import is_kept
from minisd.watch.over_time import over_time_sheet, spread
from minisd.watch.words import find_columns

PROMPT = "a red hat, on a xylophone hat"
SMALL = {"seed": 3, "steps": 3, "height": 64, "width": 64}
DRAW = [PROMPT, "--seed", "3", "--steps", "3", "--size", "64x64"]


@pytest.fixture(scope="module")
def heat(small):
    return minisd.heat(small, PROMPT, **SMALL)


@pytest.fixture
def model(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: small)


# ---------------------------------------------------------------------- words


def test_a_word_has_the_columns_of_its_pieces_and_of_all_its_places(sd):
    tokens = sd.tokens(PROMPT)
    first, *_, last = (k for k, token in enumerate(tokens) if token == "hat")
    xylophone = tuple(range(tokens.index("on") + 2, last))
    assert len(xylophone) > 1
    assert find_columns(sd, PROMPT, "hat") == find_columns(sd, PROMPT, " HAT ") == (first, last)
    assert find_columns(sd, PROMPT, "hat:1") == (first,) and find_columns(sd, PROMPT, "hat:2") == (last,)
    assert find_columns(sd, PROMPT, "xylophone hat") == (*xylophone, last)
    assert find_columns(sd, PROMPT, "[sot]") == (0,)
    assert find_columns(sd, PROMPT, "[EOT]") == tuple(range(len(tokens) - 1, 77))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("glasses", r"the prompt has no 'glasses'. Its tokens:\n +0  \[SOT\]\n +1  a\n"),
        ("xylo", "the prompt has no 'xylo'"),
        ("hat:3", r"'hat:3': 'hat' stands at 2 places of"),
        ("", "word = ''; expected a word of the prompt"),
        (3, "word = 3; expected a word"),
    ],
)
def test_a_word_that_is_not_there_is_told_with_the_tokens(heat, word, message):
    with pytest.raises(UserError, match=message):
        heat[word]


# ---------------------------------------------------------------------- maps


def test_maps_are_those_that_a_tap_averages_over_the_steps(small, heat):
    record = minisd.Average(minisd.select("cross"))
    [picture] = small.generate(PROMPT, **SMALL, tap=record)
    want = minisd.heat_maps(record.maps, (8, 8))[1]
    torch.testing.assert_close(heat.maps, want, rtol=0, atol=1e-6)
    assert levels_apart(heat.image, picture) == 0
    for word in ("hat", "hat:2", "[EOT]"):
        rows = list(find_columns(small, PROMPT, word))
        torch.testing.assert_close(heat[word].map, want[rows].sum(dim=0), rtol=0, atol=1e-6)
        assert heat[word].over_time.shape == (3, 8, 8) and heat[word].rows == tuple(rows)


def test_the_words_share_all_attention(heat):
    assert heat.words == ["[SOT]", "a:1", "red", "hat:1", ",", "on", "a:2", "xylophone", "hat:2", "[EOT]"]
    total = sum(heat[word].map for word in heat.words)
    torch.testing.assert_close(total, torch.ones(8, 8), rtol=0, atol=1e-5)


def test_an_overlay_is_a_picture(heat):
    picture = heat["hat"].overlay()
    assert picture.size == (64, 64) and np.asarray(picture).std() > 0
    assert levels_apart(picture, heat["hat"].overlay((0, 1))) > 0


def test_heat_passes_the_callback_on(small):
    found = minisd.heat(small, "a hat", **SMALL, callback=lambda step: step.i < 1)
    assert found.over_time.shape[0] == 2 and len(found.steps) == 2


# ---------------------------------------------------------------------- over time


def test_over_time_has_a_row_for_each_word_and_a_column_for_each_step(heat):
    picture = over_time_sheet(heat, 2)
    line = round(11 * 1.6)
    assert picture.size == (2 * 68 + 4, 11 * (64 + line + 4) + 4)
    first = picture.crop((4, 4, 68, 68))
    assert levels_apart(first, heat.steps[0].pictures()[0]) == 0
    last = picture.crop((72, 4, 136, 68))
    assert levels_apart(last, heat.image) == 0


@pytest.mark.parametrize(
    ("count", "wanted", "chosen"), [(50, 3, [0, 24, 49]), (3, 8, [0, 1, 2]), (1, 8, [0]), (5, 1, [4]), (16, 2, [0, 15])]
)
def test_the_steps_are_spread_evenly(count, wanted, chosen):
    assert spread(count, wanted) == chosen


# ---------------------------------------------------------------------- films


def frames(path):
    with Image.open(path) as film:
        return [(film.seek(k), film.convert("RGB"))[1] for k in range(film.n_frames)]


def test_a_film_has_a_frame_for_each_step(small, tmp_path):
    film = minisd.Film()
    [picture] = small.generate("a hat", **SMALL, callback=film)
    assert len(film.frames) == 3 and levels_apart(film.frames[-1], picture) == 0
    path = film.save(tmp_path / "hat.gif")
    last = np.asarray(frames(path)[-1], int)
    assert len(frames(path)) == 3 and np.abs(last - np.asarray(picture, int)).mean() < 15  # a GIF has 256 colours
    with pytest.raises(UserError, match=r"^[^-].*hat\.gif exists; give another name, or overwrite=True"):
        film.save(path)
    assert film.save(path, overwrite=True) == path
    short, stopped = minisd.Film(every=2), minisd.Film(every=2, callback=lambda step: step.i < 1)
    for each in (short, stopped):  # steps 0 and 2; and steps 0 and 1, after which it was stopped
        small.generate("a hat", **SMALL, callback=each)
        assert len(each.frames) == 2


def test_a_film_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(UserError, match="a film without frames"):
        minisd.Film().save(tmp_path / "a.gif")
    with pytest.raises(UserError, match=r"'a\.mp4': expected a name that ends in \.gif"):
        minisd.Film().save("a.mp4")
    with pytest.raises(UserError, match="every = 0"):
        minisd.Film(every=0)


@pytest.mark.parametrize(("every", "kept"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4, 5]), (5, [0, 5]), (9, [0, 5])])
def test_every_nth_step_and_the_last(every, kept):
    assert [i for i in range(6) if is_kept(i, 6, every)] == kept


# ---------------------------------------------------------------------- the commands


def test_the_commands_write_what_the_calls_make(model, heat, capsys):
    assert main(["maps", *DRAW, "--over-time"]) == 0
    assert main(["film", *DRAW, "--out", "f.gif"]) == 0
    assert main(["film", *DRAW, "--out", "m.gif", "--every", "2", "--maps", "hat:2", "[EOT]"]) == 0
    name = "a-red-hat-on-a-xylophone-hat-s3-maps-over-time.png"
    assert capsys.readouterr().out.split() == [name, "f.gif", "m.gif"]
    with Image.open(name) as picture:
        assert levels_apart(picture, over_time_sheet(heat)) == 0
    assert [frame.size for frame in frames("f.gif")] == [(64, 64)] * 3
    assert [frame.width for frame in frames("m.gif")] == [3 * 68 + 4] * 2
    with Image.open("f.gif") as film:
        assert film.info["comment"].decode().startswith(f"{PROMPT}\nSteps: 3, ")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--maps", "glasses"], "the prompt has no 'glasses'"),
        (["--every", "0"], "--every = 0; expected a whole number, 1 or more"),
        (["--out", "f.png"], "--out 'f.png': expected a name that ends in .gif"),
    ],
)
def test_mistakes_are_told_before_the_drawing(model, monkeypatch, capsys, more, message):
    monkeypatch.setattr(minisd.StableDiffusion, "generate", lambda *args, **kwargs: pytest.fail("it draws"))
    assert main(["film", *DRAW, *more]) == 2
    assert message in capsys.readouterr().err
