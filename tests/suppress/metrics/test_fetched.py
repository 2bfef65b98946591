"""Maps weighted by what is fetched: nothing where a row is zero, the plain map where a row is untouched."""

import torch

from minisd import Average, compose, select
from suppress.metrics.fetched import Fetched


def maps_of(sd, ctx, untouched):
    """(plain maps, weighted maps) of one pass with ctx, each by site."""
    plain, weighted = Average(select("cross")), Fetched(untouched)
    z = sd.noise(range(len(ctx)), 64, 64)
    with torch.no_grad():
        sd.unet(z, 500, ctx, tap=compose(plain, weighted))
    return plain.maps, weighted.maps


def test_a_row_weighs_as_much_as_its_values_are_longer(sd):
    ctx = sd.encode_text(["a man with a hat", "a cat wearing glasses"])
    edited = ctx.clone()
    edited[0, 5] = 0
    edited[1, 4] *= 0.5
    plain, weighted = maps_of(sd, edited, ctx)
    assert plain.keys() == weighted.keys() and len(plain) > 5
    for name, p in plain.items():
        assert p[0, :, 5].mean() > 0.0005 and weighted[name][0, :, 5].abs().max() == 0
        torch.testing.assert_close(weighted[name][1, :, 4], 0.5 * p[1, :, 4], rtol=1e-4, atol=1e-7)
        rest = [i for i in range(77) if i not in (4, 5)]
        torch.testing.assert_close(weighted[name][..., rest], p[..., rest], rtol=1e-4, atol=1e-7)
