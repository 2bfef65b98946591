"""The UNet against diffusers, its sites, and what it says to input that does not fit."""

import pytest
import torch
from closeness import relative_error

from minisd import SD14, Tap, UNet, UserError


class Called(Tap):
    """Notes the sites in the order in which they ask."""

    def __init__(self):
        self.sites, self.shapes = [], {}

    def probs(self, site, p):
        self.sites.append(site)
        self.shapes[site.name] = tuple(p.shape)
        return p


# ---------------------------------------------------------------------- goldens


@pytest.mark.parametrize("k", range(5))
def test_eps_is_that_of_diffusers(sd, goldens, inputs, k):
    z, _, ctx = inputs
    eps = sd.unet(z, int(goldens["unet.t"][k]), ctx)
    assert relative_error(eps, goldens["unet.eps"][k]) < 1e-4


def test_odd_sides_are_those_of_diffusers(sd, goldens, inputs):
    ctx = inputs[2][:1]
    eps = sd.unet(goldens["unet.odd.z"], goldens["unet.odd.t"], ctx)
    assert eps.shape == (1, 4, 17, 25)
    assert relative_error(eps, goldens["unet.odd.eps"]) < 1e-4


def test_each_sample_may_have_its_own_timestep(sd, goldens, inputs):
    z, _, ctx = inputs
    eps = sd.unet(z, goldens["unet.t"][[0, 3]], ctx)
    for row, k in enumerate((0, 3)):
        assert relative_error(eps[row], goldens["unet.eps"][k, row]) < 1e-4


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (16, 9)])
def test_any_latent_size_keeps_its_shape(sd, inputs, size):
    z = torch.randn((1, 4, *size), generator=torch.Generator().manual_seed(0))
    eps = sd.unet(z, 1, inputs[2][:1])
    assert eps.shape == z.shape
    assert torch.isfinite(eps).all()


# ---------------------------------------------------------------------- sites


def test_sites_are_in_execution_order_and_have_unique_names(sd, inputs):
    tap = Called()
    sd.unet(*inputs, tap=tap)
    assert tuple(tap.sites) == sd.unet.sites
    assert len({site.name for site in sd.unet.sites}) == len(sd.unet.sites) == 32


def test_a_site_tells_kind_place_scale_and_heads(sd, inputs):
    tap = Called()
    sd.unet(*inputs, tap=tap)
    for site in sd.unet.sites:
        place, *_, kind = site.name.split(".")
        assert (site.place, site.kind) == (place, kind)
        n = (16 // site.scale) ** 2
        assert tap.shapes[site.name] == (2, site.heads, n, n if kind == "self" else 77)


def test_the_sites_of_stable_diffusion():
    with torch.device("meta"):
        sites = UNet(SD14.unet).sites
    cross = [site for site in sites if site.kind == "cross"]
    assert [site.scale for site in cross] == [1, 1, 2, 2, 4, 4, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1]
    assert [site.place for site in cross] == ["down"] * 6 + ["mid"] + ["up"] * 9
    assert {site.heads for site in sites} == {8}
    assert len(sites) == 32


def test_a_site_is_found_by_name_or_all_names_are_listed(sd):
    assert sd.unet.site("mid.cross") == next(s for s in sd.unet.sites if s.place == "mid" and s.kind == "cross")
    with pytest.raises(UserError) as error:
        sd.unet.site("nonsense")
    assert "'nonsense'" in str(error.value)
    assert all(site.name in str(error.value) for site in sd.unet.sites)


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize("shape", [(4, 16, 16), (2, 3, 16, 16)])
def test_latents_of_another_shape_are_refused(sd, inputs, shape):
    with pytest.raises(UserError, match=r"expected \(B,4,h,w\)"):
        sd.unet(torch.zeros(shape), 1, inputs[2])


@pytest.mark.parametrize("shape", [(77, 192), (1, 77, 192), (3, 77, 192), (2, 77, 768)])
def test_a_context_that_does_not_fit_is_refused(sd, inputs, shape):
    with pytest.raises(UserError, match=r"expected \(2,77,192\)"):
        sd.unet(inputs[0], 1, torch.zeros(shape))


@pytest.mark.parametrize("t", [torch.ones(3), torch.ones(2, 1)])
def test_timesteps_for_another_batch_are_refused(sd, inputs, t):
    with pytest.raises(UserError, match="timesteps"):
        sd.unet(inputs[0], t, inputs[2])
