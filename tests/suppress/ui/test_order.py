"""An order as a command line and as a call in Python."""

import argparse
import ast
import shlex

import pytest

from minisd import UserError, weighted
from suppress.prompt import read_text
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
    negative="-grey",
)


def test_the_command_says_all_that_was_asked(model):
    args = arguments(ALL, model)
    assert (args.prompt, args.remove, args.method, args.seed) == (ALL.prompt, ["hat:1", "red"], ALL.method, [7])
    assert (args.steps, args.guidance, args.width, args.height, args.keep) == (9, -2.5, 64, 72, 0.5)
    assert (args.negative, args.weights) == ("-grey", None)
    assert shlex.split(command(ALL, model))[0] == "suppress"


def test_defaults_are_left_out(model):
    assert command(Order("a cat", ("cat",)), model) == "suppress 'a cat' --remove cat --seed 0 --device cpu"


@pytest.mark.parametrize("prompt", ["-5 degrees", "--help", "--", "-"])
def test_a_prompt_with_a_dash_is_a_prompt(model, prompt):
    args = arguments(Order(prompt, ("degrees", "-x")), model)
    assert args.prompt == prompt and args.remove == ["degrees", "-x"]


def test_a_photo_brings_its_options_and_needs_no_seed(model):
    order = Order("a cat", ("cat",), seed=3, photo=Photo("-my cat.jpg", b"", b"", "null-text", True, (0, 2, 30, 40)))
    args = arguments(order, model)
    assert (args.image, args.mask, args.inversion, args.paste) == ("-my cat.jpg", "mask.png", "null-text", True)
    assert args.seed is None and args.crop == (0, 2, 30, 40)
    call = python_call(order, model)
    assert 'Image.open("-my cat.jpg")' in call and "suppress.paste(" in call and "seed" not in call
    assert "crop=(0, 2, 30, 40)" in call


def test_the_model_is_named(model):
    other = argparse.Namespace(**{**vars(model), "model": "a b/sd", "dtype": "bf16", "ema": True, "threads": 2})
    other.lora, other.clip_skip = ["style.safetensors:0.8"], 1
    args = arguments(ALL, other)
    assert (args.model, args.dtype, args.ema, args.device, args.threads) == ("a b/sd", "bf16", True, "cpu", 2)
    assert (args.lora, args.clip_skip) == (["style.safetensors:0.8"], 1)
    load = 'device="cpu", dtype=torch.bfloat16, lora=["style.safetensors:0.8"], clip_skip=1, ema=True'
    assert f'minisd.load("a b/sd", {load})' in python_call(ALL, other)


def test_the_call_is_python_with_the_same_values(model):
    [call] = [n for n in ast.walk(ast.parse(python_call(ALL, model))) if isinstance(n, ast.Call) and len(n.args) == 3]
    values = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    assert [ast.literal_eval(a) for a in call.args[1:]] == [ALL.prompt, ["hat:1", "red"]]
    assert values == {
        "method": 'negative-prompt:text="a, b",steps=9,guidance=-2.5,keep=0.5',
        "seed": 7,
        "width": 64,
        "height": 72,
        "negative_prompt": "-grey",
        "maps": True,
    }


def test_weights_are_written_as_they_are_read(model):
    prompt, negative = (read_text(text, True) for text in (r"-5 \(or 6\) (red:1.3) [hats]", "(rain)"))
    order = Order(prompt, ("hats",), negative=negative)
    args = arguments(order, model)
    assert args.weights and (read_text(args.prompt, True), read_text(args.negative, True)) == (prompt, negative)
    [call] = [n for n in ast.walk(ast.parse(python_call(order, model))) if isinstance(n, ast.Call) and len(n.args) == 3]
    texts = [call.args[1], *(word.value for word in call.keywords if word.arg == "negative_prompt")]
    assert [weighted(ast.literal_eval(text.args[0])) for text in texts] == [prompt, negative]
    assert {ast.unparse(text.func) for text in texts} == {"minisd.weighted"}


def test_an_empty_prompt_is_told(model):
    with pytest.raises(UserError, match="prompt is empty"):
        arguments(Order(" ", ("cat",)), model)
