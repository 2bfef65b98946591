"""Structure distance: by hand, and the keys of both networks against what their own attention computes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from minisd import UserError
from minisd.picture import from_pil
from suppress import world
from suppress.metrics import ClipScore, Dino, Unavailable, structure_distance
from suppress.metrics.structure import _fitted, self_similarity


def test_the_distance_of_two_keys():
    """Keys at angles 0 and θ have S = [[1, cos θ], [cos θ, 1]]: two of four entries differ."""

    def keys(x):
        angle = torch.stack([torch.zeros(len(x)), x[:, 0, 0, 0]], dim=1)  # (B,2)
        return 5 * torch.stack([angle.cos(), angle.sin()], dim=-1)

    a, b = torch.zeros(2, 3, 1, 1), torch.tensor([0.0, np.pi / 2]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert torch.allclose(self_similarity(keys(b))[1], torch.eye(2), atol=1e-6)
    assert structure_distance(a, b, keys).tolist() == pytest.approx([0, 2 / 4], abs=1e-6)
    with pytest.raises(UserError, match="shapes"):
        structure_distance(a, b[:1], keys)


def record_keys(module):
    """What the module gives, in a list."""
    found = []
    module.register_forward_hook(lambda _module, _inputs, output: found.append(output))
    return found


def test_keys_of_clip(sd):
    clip = ClipScore.of(sd)
    found = record_keys(clip.clip.vision_model.encoder.layers[-1].self_attn.k_proj)
    x = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        clip.picture(x)
        assert torch.equal(clip.keys(x), found[0]) and found[0].shape == (2, 1 + 64, 256)


def test_without_glasses_the_layout_stays_and_a_shift_changes_it(sd):
    """8 and 91, times 10⁻³, when it was measured."""
    spec = replace(world.sample_spec(np.random.default_rng(0), "man"), style="", back="blue", eyewear="round", hat="")
    changes = ({}, {"eyewear": ""}, {"dx": spec.dx + 8})
    a, b, c = (from_pil(world.render(replace(spec, **change))) for change in changes)
    keys = ClipScore.of(sd).keys
    assert structure_distance(a, a, keys).item() == 0
    assert 0 < structure_distance(a, b, keys).item() < 0.2 * structure_distance(a, c, keys).item()


@pytest.fixture(scope="module")
def vit():
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    return ViTModel(ViTConfig(**sizes, image_size=224, patch_size=32), add_pooling_layer=False)


@pytest.mark.parametrize("white", [1, 255])
def test_keys_of_dino(vit, white):
    """A white and a black picture of the wanted size: what the network reads is known."""
    last = vit.layers[-1].attention.k_proj if hasattr(vit, "layers") else vit.encoder.layer[-1].attention.attention.key
    found = record_keys(last)
    keys = Dino(vit, white).keys(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, 3, 224, 224))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    read = torch.stack([(white - mean) / std, -mean / std])[:, :, None, None].expand(2, 3, 224, 224)
    with torch.no_grad():
        vit(read)
    assert torch.allclose(keys, found[-1], atol=1e-5) and keys.shape == (2, 1 + 49, 24)


def test_pictures_that_are_not_square(vit):
    assert Dino(vit).keys(torch.zeros(1, 3, 64, 96)).shape == (1, 1 + 7 * 10, 24)
    assert _fitted(torch.zeros(1, 3, 64, 96)).shape == (1, 3, 224, 336)
    assert _fitted(torch.zeros(1, 3, 100, 400)).shape == (1, 3, 120, 480)


def test_dino_from_a_folder(vit, tmp_path, monkeypatch):
    import huggingface_hub.constants

    vit.save_pretrained(tmp_path / "dino")
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Dino.of(tmp_path / "dino").keys(x), Dino(vit).keys(x))
    (tmp_path / "dino" / "config.json").unlink()
    with pytest.raises(Unavailable, match="damaged or incomplete"):
        Dino.of(tmp_path / "dino")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Unavailable, match="DINO is not in the hub's cache \\(`minisd fetch dino-vitb8`\\)"):
        Dino.load()
