"""What the tests share."""

from pathlib import Path

import minisd
import pytest
from hypothesis import settings
from safetensors.torch import load_file

# no deadline: the first example of a property may load or compile something, and machines are shared
settings.register_profile("minisd", deadline=None)
settings.load_profile("minisd")


@pytest.fixture(scope="session")
def sd():
    """The embedded model on the CPU, in float32."""
    return minisd.load("tiny", device="cpu")


@pytest.fixture(scope="session")
def goldens():
    """What diffusers computes with the embedded model: tensors by name, told in goldens/make_tiny.py."""
    return load_file(Path(__file__).parent / "goldens" / "tiny.safetensors")
