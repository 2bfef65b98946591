"""Methods by name: constants and settings in the name, settings of a checkpoint, and errors."""

import math

import pytest
import torch

import suppress
from minisd import UserError
from suppress.edits.rows import attenuate
from suppress.edits.spectrum import keep_top, strengthen, wnnm, zero_bottom, zero_top
from suppress.methods import METHODS, describe_methods, parse_method
from suppress.methods.variant import VARIANTS
from suppress.prompt import encode

pytestmark = pytest.mark.quick

PROMPT = "a man without glasses"
EOT = tuple(range(5, 77))
ROWS = (4, *EOT)


@pytest.mark.parametrize(
    "spec, want",
    [
        ("swr:value=0.5", lambda ctx: suppress.soft_weight(ctx, ROWS, 0.5)),
        ("top-k:value=3", lambda ctx: zero_top(ctx, ROWS, 3)),
        ("bottom-k:value=60", lambda ctx: zero_bottom(ctx, ROWS, 60)),
        ("attenuate:value=0.2", lambda ctx: attenuate(ctx, ROWS, 0.2)),
        ("wnnm:value=1", lambda ctx: wnnm(ctx, EOT, 1)),
        ("rank-cut:value=4", lambda ctx: keep_top(ctx, EOT, 4)),
        ("strengthen:value=1.5", lambda ctx: strengthen(ctx, ROWS, 1.5)),
        ("top-k:value=none", lambda ctx: zero_top(ctx, ROWS, 2)),
        ("wnnm", lambda ctx: wnnm(ctx, EOT)),
    ],
)
def test_constants_can_be_set_by_name(sd, spec, want):
    assert torch.equal(parse_method(spec).context(encode(sd, PROMPT, ["glasses"])), want(sd.encode_text(PROMPT)))


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "2", True])
@pytest.mark.parametrize("name", [name for name, variant in VARIANTS.items() if variant.constant])
def test_bad_constants(name, value):
    with pytest.raises(UserError, match="value = "):
        parse_method(name, value=value)


def test_a_constant_that_the_variant_does_not_have_or_of_a_wrong_kind():
    with pytest.raises(UserError, match=r"value = 2; zero has no constant"):
        parse_method("zero:value=2")
    with pytest.raises(UserError, match=r"value = 1.5; expected a whole number"):
        parse_method("top-k:value=1.5")
    with pytest.raises(UserError, match=r"value = 'x'; expected a number"):
        parse_method("top-k:value=x")


def test_a_name_cannot_become_another_method():
    with pytest.raises(UserError, match="'name=zero' in 'top-k:name=zero'"):
        parse_method("top-k:name=zero")
    with pytest.raises(UserError, match="top-k has no setting name"):
        parse_method("top-k", {"top-k": {"name": "zero"}})
    with pytest.raises(UserError, match="'loss=l2' in 'value-loss:loss=l2'"):
        parse_method("value-loss:loss=l2")
    lines = describe_methods()
    at = next(n for n, line in enumerate(lines) if line.startswith("top-k "))
    assert lines[at + 1].endswith("; value=2 is K")


def test_a_checkpoints_settings_for_all_methods():
    defaults = {"all": {"start": 0.06}, "unread": {"start": 0.04}, "paper": {"steps": 20}, "measured": {"seeds": 16}}
    starts = {name: parse_method(name, defaults).start for name in METHODS}
    published = {"official": 0.2, "paper": 0, "value-loss": 0.2, "attentive-eraser": 0.2}
    published |= dict.fromkeys(("negative-prompt", "delta", "sld", "ledits", "gie", "gie-official", "vsf"), 0)
    published |= dict.fromkeys(("value-flip", "prompt-to-prompt", "prompt-to-prompt-pnp", "reweight"), 0)
    published |= dict.fromkeys(("composable-not", "signed", "perp-neg", "sega", "crg", "cfg-pp"), 0)
    published |= dict.fromkeys(("contrastive-cfg", "contrastive-cfg-official"), 0)
    published |= dict.fromkeys(("nag", "nag-official", "ong", "nasa"), 0)
    published |= dict.fromkeys(("adavd", "adavd-official", "safree", "safree-official"), 0)
    published |= dict.fromkeys(("uce", "uce-official", "rece", "context-map"), 0)
    published |= {"magic-remover": 0.2, "magic-remover-blended": 0.16}
    published |= dict.fromkeys(("ssdv", "ssdv-kept", "semantic-surgery", "casteer", "attend-and-excite"), 0)
    published |= {"stg": 0.1}
    assert starts == dict.fromkeys(METHODS, 0.06) | published | {"unread": 0.04}
    assert parse_method("paper", defaults).steps == 20
    assert parse_method("zero", defaults, start=0.3).start == 0.3
    assert parse_method("zero:start=5", defaults, start=0.3).start == 5


@pytest.mark.parametrize(
    "damaged, message",
    [
        ({"all": {"start": "early"}}, "start = 'early'"),
        ({"all": {"start": None}}, "start = None"),
        ({"all": 0.06}, "'all' are 0.06"),
        ({"zero": [1]}, "'zero' are"),
        ({"all": {"beginning": 1}}, "zero has no setting beginning"),
    ],
)
def test_damaged_settings_of_a_checkpoint(damaged, message):
    with pytest.raises(UserError, match=message):
        parse_method("zero", damaged)
