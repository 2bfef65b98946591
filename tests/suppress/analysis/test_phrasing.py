"""Ways to say "without": the phrasings of a prompt, and the analysis that draws them."""

import math

import pytest

import suppress
from suppress.analysis import ANALYSES, open_study
from suppress.analysis.phrasing import phrase, phrasing
from suppress.metrics import Unavailable

PROMPT = "a man without glasses"


def test_each_is_compared_with_its_own_original(sd):
    rows = phrasing(open_study(sd, PROMPT, seed=0, steps=2)).rows
    assert [row["method"] for row in rows] == ["original"] * 4 + ["swr"] * 4
    assert all(math.isinf(row["psnr"]) for row in rows[:4]) and all(row["psnr"] < 40 for row in rows[4:])
    assert {row["prompt"] for row in rows} >= {PROMPT, "a man not wearing glasses"}
    assert all(row["det_score"] > 0.9 for row in rows[:4]) and all(row["det_score"] < 0.5 for row in rows[4:])


@pytest.mark.parametrize(
    ("prompt", "targets", "phrasings"),
    [
        (
            "a man wearing no hat",
            ["hat"],
            ["a man without a hat", "a man, no hat", "a man with no hat", "a man not wearing a hat"],
        ),
        (
            "a cat that is not wearing a hat",
            ["hat"],
            ["a cat without a hat", "a cat, no hat", "a cat with no hat", "a cat not wearing a hat"],
        ),
        (
            "a cat that doesn't wear a hat, sad",
            ["hat"],
            [
                "a cat without a hat, sad",
                "a cat, no hat, sad",
                "a cat with no hat, sad",
                "a cat not wearing a hat, sad",
            ],
        ),
        (
            "a man not wearing any glasses, sad",
            ["glasses"],
            [f"a man{words} glasses, sad" for words in (" without", ", no", " with no", " not wearing")],
        ),
        (
            "A Man With A Beard and glasses",
            ["Beard"],
            ["A Man without A Beard", "A Man, no Beard", "A Man with no Beard"],
        ),
        (
            "a dog without a hat or fur",
            ["a hat", "fur"],
            [f"a dog{w} hat or fur" for w in (" without a", ", no", " with no")],
        ),
        (
            "a girl in a hat and a scarf",
            ["hat", "scarf"],
            [
                "a girl without a hat or a scarf",
                "a girl, no hat or scarf",
                "a girl with no hat or scarf",
                "a girl not wearing a hat or a scarf",
            ],
        ),
        (
            "a man with a beard and no cake",
            ["cake"],
            [f"a man with a beard and {words} cake" for words in ("without a", "no", "with no")],
        ),
        (
            "a girl holding no umbrella",
            ["umbrella"],
            [
                "a girl without an umbrella",
                "a girl, no umbrella",
                "a girl with no umbrella",
                "a girl not holding an umbrella",
            ],
        ),
        ("no rain, a dog", ["rain"], ["without rain, a dog", "no rain, a dog", "with no rain, a dog"]),
        ("a girl not smiling", ["smiling"], ["a girl not smiling", "a girl that is not smiling"]),
        ("a man in a hat, sad", ["sad"], ["a man not sad", "a man that is not sad"]),
        ("a man with a beard but not bald", ["bald"], ["a man with a beard but not bald"]),
        (
            "a cat in the style of van gogh",
            ["van gogh"],
            ["a cat not in the style of van gogh", "a cat without the style of van gogh"],
        ),
        (
            "a cat not in the style of van gogh at night",
            ["van gogh"],
            ["a cat not in the style of van gogh at night", "a cat without the style of van gogh at night"],
        ),
    ],
)
def test_phrases(sd, prompt, targets, phrasings):
    phrased, bare = phrase(prompt, tuple(targets))
    assert list(phrased.values()) == phrasings
    for text in phrased.values():
        assert suppress.find_rows(sd, text, bare)


def test_things_and_states_are_not_negated_in_one():
    with pytest.raises(Unavailable, match="'hat' and 'smiling' cannot be negated in one phrase"):
        phrase("a man with a hat who is smiling", ("hat", "smiling"))


def test_one_place_of_several_is_not_phrased(sd):
    """A phrasing negates a word wherever it stands, but here only one of its places is meant."""
    with pytest.raises(Unavailable, match="not all are meant: hat:2"):
        phrasing(open_study(sd, "a man in a hat and a dog without a [hat]", steps=1))


@pytest.mark.parametrize("prompt", ["glasses", "a hat with glasses on glasses", "the glasses, broken"])
def test_no_phrasing_without_a_subject(prompt):
    with pytest.raises(Unavailable, match="no subject apart from it"):
        phrase(prompt, ("hat",) if "hat" in prompt else ("glasses",))


def test_the_figure_has_each_phrasing_above_its_suppressed(sd):
    pytest.importorskip("matplotlib")
    findings = phrasing(open_study(sd, "a girl not smiling", seed=0, steps=1))
    assert [panel.label for panel in findings.panels] == ["not", "that is not", "not, SWR", "that is not, SWR"]
    first, _, below, _ = (axes.get_position() for axes in ANALYSES["phrasing"].draw(findings, "title").axes)
    assert math.isclose(first.x0, below.x0) and first.y0 > below.y1
