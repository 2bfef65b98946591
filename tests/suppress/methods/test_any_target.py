"""A target that is no word of the prompt: the methods that take one draw something else, the others say why not."""

import pytest

import suppress
from minisd import UserError
from suppress.methods import METHODS, parse_method

PROMPT, TARGET = "a snowman", "hat"
ALONE = {name: entry.make(steps=2, start=0) for name, entry in METHODS.items() if not (entry.takes or entry.needs)}
ANY = [name for name, settings in ALONE.items() if not settings.needs_words]

# settings with which these act in two steps, from noise, and if the target is not detected in the prompt
CHANGES = {"sld": ":warm_up=0", "sega": ":warm_up=0", "ledits": ":guidance=7.5", "semantic-surgery": ":alpha=1"}


@pytest.mark.parametrize("name", ANY)
def test_a_target_that_the_prompt_does_not_have(sd, name):
    settings = parse_method(name + CHANGES.get(name, ""), steps=2, start=0)
    result = suppress.run(sd, PROMPT, TARGET, settings=settings, height=64, width=64)
    assert not result.latents.equal(result.original_latents)


@pytest.mark.parametrize("name", ["unread", "suppress-eot", "composable-not:word=cut", "cfg-pp", "prompt-to-prompt"])
def test_methods_that_need_the_word_say_so(sd, name):
    with pytest.raises(UserError, match="hat"):
        suppress.run(sd, PROMPT, TARGET, settings=parse_method(name, steps=2), height=64, width=64)
