"""An order as a command line and as a call in Python."""

import argparse
import ast
import shlex

import pytest

from minisd import UserError
from suppress.ui.order import Order, Photo, arguments, command, python_call

pytestmark = pytest.mark.quick

ALL = Order(
    'a red hat on a man\'s "head"',
    ("hat:1", "red"),
    'negative-prompt:text="a, b"',
    seed=7,
    steps=9,
    guidance=-2.5,
    width=64,
    height=72,
    keep=0.5,
)


def test_the_command_says_all_that_was_asked(model):
    args = arguments(ALL, model)
    assert (args.prompt, args.remove, args.method, args.seed) == (ALL.prompt, ["hat:1", "red"], ALL.method, [7])
    assert (args.steps, args.guidance, args.width, args.height, args.keep) == (9, -2.5, 64, 72, 0.5)
    assert shlex.split(command(ALL, model))[0] == "suppress"


def test_defaults_are_left_out(model):
    assert command(Order("a cat", ("cat",)), model) == "suppress 'a cat' --remove cat --seed 0 --device cpu"


@pytest.mark.parametrize("prompt", ["-5 degrees", "--help", "--", "-"])
def test_a_prompt_with_a_dash_is_a_prompt(model, prompt):
    args = arguments(Order(prompt, ("degrees", "-x")), model)
    assert args.prompt == prompt and args.remove == ["degrees", "-x"]


def test_a_photo_brings_its_options_and_needs_no_seed(model):
    order = Order("a cat", ("cat",), seed=3, photo=Photo("-my cat.jpg", b"", b"", "null-text", True))
    args = arguments(order, model)
    assert (args.image, args.mask, args.inversion, args.paste) == ("-my cat.jpg", "mask.png", "null-text", True)
    assert args.seed is None
    call = python_call(order, model)
    assert 'Image.open("-my cat.jpg")' in call and "suppress.paste(" in call and "seed" not in call


def test_the_model_is_named(model):
    other = argparse.Namespace(**{**vars(model), "model": "a b/sd", "dtype": "bf16", "ema": True, "threads": 2})
    args = arguments(ALL, other)
    assert (args.model, args.dtype, args.ema, args.device, args.threads) == ("a b/sd", "bf16", True, "cpu", 2)
    assert 'minisd.load("a b/sd", device="cpu", dtype=torch.bfloat16, ema=True)' in python_call(ALL, other)


def test_the_call_is_python_with_the_same_values(model):
    [call] = [n for n in ast.walk(ast.parse(python_call(ALL, model))) if isinstance(n, ast.Call) and len(n.args) == 3]
    values = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    assert [ast.literal_eval(a) for a in call.args[1:]] == [ALL.prompt, ["hat:1", "red"]]
    assert values == {
        "method": 'negative-prompt:text="a, b",steps=9,guidance=-2.5,keep=0.5',
        "seed": 7,
        "width": 64,
        "height": 72,
        "maps": True,
    }


def test_an_empty_prompt_is_told(model):
    with pytest.raises(UserError, match="prompt is empty"):
        arguments(Order(" ", ("cat",)), model)
