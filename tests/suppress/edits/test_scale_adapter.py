"""GIE's adapter as a file: what is written is read again, and a file that does not fit says for what it was made."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from minisd import UserError
from suppress.edits.fingerprint import fingerprints
from suppress.edits.scale_adapter import Adapter, find_adapter, own_path, read_adapter, write_adapter

pytestmark = pytest.mark.quick


def about(sd, **changes):
    return {"form": "paper", "model": "tiny", "fingerprints": fingerprints(sd.unet)} | changes


def test_what_is_written_is_read_again(sd, tmp_path):
    adapter, path = Adapter(16), tmp_path / "a.safetensors"
    write_adapter(path, adapter, about(sd))
    means = torch.rand(2, 3, 16)
    found = read_adapter(path, sd, "paper")
    assert torch.equal(found(means), adapter(means)) and found(means).shape == (2, 3)
    assert find_adapter("", sd, "paper") is None
    assert torch.equal(find_adapter(str(path), sd, "paper")(means), adapter(means))


def test_the_network_is_the_papers():
    shapes = [tuple(x.shape) for name, x in Adapter(16).state_dict().items() if name.endswith("weight")]
    assert shapes == [(64, 16), (32, 64), (1, 32)]
    assert Adapter(16)(torch.full((16,), -9.0)).shape == ()
    assert sum(isinstance(layer, torch.nn.ReLU) for layer in Adapter(16).layers) == 2


def test_files_that_do_not_fit_say_so(sd, small, tmp_path):
    path = tmp_path / "a.safetensors"

    def refused(match, form="paper"):
        with pytest.raises(UserError, match=match):
            read_adapter(path, sd, form)

    refused("there is no file")
    path.write_bytes(b"no tensors")
    refused("cannot be read")
    save_file({"x": torch.zeros(1)}, path)
    refused("is no adapter for GIE")
    save_file({"x": torch.zeros(1)}, path, {"format": "minisd delta 1", "about": "{}"})
    refused("is no adapter for GIE")
    write_adapter(path, Adapter(4), about(sd, model="small"))
    refused("trained for small, not for a UNet with 16 cross")
    write_adapter(path, Adapter(16), about(sd))
    refused("form=paper, not for form=code", form="code")
    write_adapter(path, Adapter(16), about(sd, model="another", fingerprints=fingerprints(small.unet)))
    refused("trained for another, and the UNet of tiny has other weights")
    write_adapter(path, Adapter(16), about(sd, fingerprints=None))
    refused("has other weights")


def test_a_checkpoint_without_an_adapter_says_how_to_get_one(sd, tmp_path):
    with pytest.raises(UserError, match=r"no adapter for GIE in the form 'code'; train one .*scale=-5"):
        own_path(sd, "code")
    with pytest.raises(UserError, match="no adapter for GIE"):
        find_adapter("own", dataclasses.replace(sd, folder=None), "paper")
