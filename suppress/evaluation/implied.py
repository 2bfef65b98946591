"""Prompts of the drawn world that imply an attribute without naming it: what GIE is made for.

"By the sea" is drawn as a beach, "spectacles" as glasses. No word of the prompt is the target, so that methods which
edit its rows have none; the others get the target's own words (`Method.needs_words`). `python -m bench.implied` looked
for such prompts and measured them; its table is bench/results/implied-prompts.md. `suppress eval --kinds implied`
compares methods on these.
"""

from __future__ import annotations

from .cases import Case

KIND = "implied"


def _case(prompt: str, target: str, deleted: str) -> Case:
    return Case(KIND, prompt, target, deleted)


# Mean DetScore of the target, which the prompt does not name: 8 seeds, 12 steps (bench/results/implied-prompts.md)
SCORES: dict[Case, float] = {
    _case("a man by the sea", "beach", "a man"): 0.998,
    _case("a woman under the moon and stars", "night", "a woman"): 0.997,
    _case("a boy in the woods", "forest", "a boy"): 0.997,
    _case("a dog at home", "room", "a dog"): 0.999,
    _case("a happy boy", "smiling", "a boy"): 0.999,
    _case("a woman wearing spectacles", "glasses", "a woman"): 0.999,
    _case("a bearded man", "beard", "a man"): 0.999,
    _case("a cowboy", "hat", "a person"): 1.0,
}
IMPLYING = tuple(SCORES)
