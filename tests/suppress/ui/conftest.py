"""What the tests of the page share."""

import argparse
import base64
import io

import pytest

from suppress.ui.desk import Desk
from suppress.ui.draw import Studio

TINY = {"model": None, "device": "cpu", "dtype": None, "variant": None, "revision": None, "threads": None, "ema": None}
TINY |= {"lora": None, "vae": None, "clip_skip": None}


@pytest.fixture(scope="session")
def model():
    """The options of `suppress ui` that name the model."""
    return argparse.Namespace(**TINY)


@pytest.fixture(scope="session")
def desk(sd, model):
    desk = Desk(Studio(sd, model))
    yield desk
    desk.runs.close()


@pytest.fixture
def asked(desk):
    """The page's fields, as they are sent: a small picture of few steps, and what a test changes."""

    def filled(prompt="a man without glasses", **changes):
        fields = dict.fromkeys(("guidance", "keep", "photo"))
        fields |= {"prompt": prompt, "chips": desk.chips(prompt), "further": "", "method": "unread", "form": None}
        fields |= {"seed": 0, "steps": 3, "width": 32, "height": 32, "inversion": "direct", "paste": False}
        fields |= {"negative": "", "weights": False}
        return fields | changes

    return filled


@pytest.fixture
def as_address():
    """A picture as the browser sends it: a data: address of a file."""

    def encoded(picture, form="PNG", **options):
        file = io.BytesIO()
        picture.save(file, form, **options)
        return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"

    return encoded
