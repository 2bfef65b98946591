"""The sites whose maps ITO reads, the grid of these maps, and the scale of the value loss."""

from dataclasses import replace

import pytest
import torch

import minisd
from minisd import UNet
from minisd.attention import Attention
from suppress.edits.ito import LossWeights, descend, value_loss
from suppress.edits.maps import LayerMean, MapSpec, map_grid, map_spec

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def everywhere(sd):
    """A small UNet of random weights with attention at every scale, so that the middle block shares its scale."""
    torch.manual_seed(0)
    config = replace(sd.config.unet, channels=(32, 32, 64, 64), attention=(True, True, True, True))
    unet = UNet(config).eval().requires_grad_(False)
    return replace(sd, unet=unet, config=replace(sd.config, unet=config))


def test_the_middle_block_is_left_out(sd, everywhere):
    wanted = [site.place for site in everywhere.unet.sites if LayerMean(MapSpec(8)).wants(site)]
    assert wanted == ["down"] * 4 + ["up"] * 6
    z = torch.zeros(1, 4, 16, 16)
    assert map_spec(everywhere, z, 2) == MapSpec(8)
    # in the embedded model, only the middle block has maps of this side
    with pytest.raises(minisd.UserError, match="resolution = 2"):
        map_spec(sd, z, 2)


def test_the_mean_is_over_layers_and_the_chosen_heads(sd):
    z, ctx = sd.noise([0], 128, 128), sd.encode_text("a man without glasses")
    record = minisd.Record(lambda site: site.scale == 4 and site.place != "mid")
    sd.unet(z, 501, ctx, tap=record)
    means = LayerMean(MapSpec(4, heads=3))
    sd.unet(z, 501, ctx, tap=means)
    maps = means.maps(map_grid(z, 4))
    for got, kind in ((maps.cross, "cross"), (maps.self_, "self")):
        layers = [p[:, :3].mean(dim=1) for name, p in record.maps.items() if name.endswith(kind)]
        assert len(layers) == 5
        torch.testing.assert_close(got, sum(layers) / 5)


def test_a_grid_is_height_by_width(sd):
    z = torch.zeros(1, 4, 16, 24)
    assert [map_grid(z, scale) for scale in (1, 2, 4)] == [(16, 24), (8, 12), (4, 6)]
    assert map_grid(torch.zeros(1, 4, 9, 17), 4) == (3, 5)  # rounded up, as in the UNet
    assert map_spec(sd, z, 12) == MapSpec(2) and map_spec(sd, z, None) == MapSpec(4)
    with pytest.raises(minisd.UserError, match="24, 12, 6"):  # the error lists the widths
        map_spec(sd, z, 8)


@pytest.mark.parametrize("scale", [4, 8])
def test_along_the_largest_curvature_a_step_of_one_is_newtons(everywhere, scale):
    """The value loss is divided by its largest curvature, so along that direction a gradient step of 1 lands on the
    untouched context."""
    sites = [s.name for s in everywhere.unet.sites if s.kind == "cross" and s.scale == scale and s.place != "mid"]
    layers = [m.to_v.weight for m in everywhere.unet.modules() if isinstance(m, Attention) and m.site.name in sites]
    assert len(layers) == 5
    _, _, directions = torch.linalg.svd(torch.cat(layers))
    ref = torch.randn(1, 77, 192, generator=torch.Generator().manual_seed(0))
    moved = ref.clone()
    moved[0, 2] += directions[0]
    loss = value_loss(everywhere, ref, [[2]], [[3]], LossWeights(1, 0.5, 0, 0), scale)
    assert loss(moved).item() == pytest.approx(0.5, rel=1e-4)
    assert (descend(moved, loss, 1, 1.0) - ref).abs().max() < 1e-4
    moved[0, 3] += directions[0]
    assert loss(moved).item() == pytest.approx(0.5 - 0.25, rel=1e-4)  # λ_nl = .5, with a minus
