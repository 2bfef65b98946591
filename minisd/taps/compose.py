"""Several taps at once, and taps for a part of the batch.

A composition is flattened into its taps, each with the samples that it sees. The samples fall into groups: two
samples are of one group if some tap sees both. Each group runs by itself, with its taps one after the other; the
outputs, whose shape never changes, are joined. Samples that no tap sees run the fused attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base.arguments import shown
from ..base.errors import UserError
from ..tap import Tap, attention_maps, check_tap

if TYPE_CHECKING:
    from ..attention import Attention, Site


class Part(Tap):
    """A tap for some samples of the batch: it gets the samples `at` and no others, as if they were the whole batch."""

    def __init__(self, tap: Tap, at: slice):
        check_tap(tap)
        if not isinstance(at, slice) or at.step not in (None, 1):
            raise UserError(f"at = {shown(at)}; expected a slice of the batch, such as slice(0, 2)")
        self.tap, self.at = tap, at

    def wants(self, site: Site) -> bool:
        return self.tap.wants(site)

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        return _attend(self, site, q, k, v, attn)


class Composed(Tap):
    """What `compose` returns."""

    def __init__(self, taps: tuple[Tap, ...]):
        self.taps = taps

    def wants(self, site: Site) -> bool:
        return any(tap.wants(site) for tap in self.taps)

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        return _attend(self, site, q, k, v, attn)


def compose(*taps: Tap) -> Tap:
    """One tap out of several: each sees what the ones before it left of the keys and values, the maps, the output.

    If one of them has an `attend` of its own, this gets the keys and values that the others left, and the others get
    its output. They are shown the maps of these keys, but may not change them for its samples: it would not use them.
    Two such taps for the same samples are an error.
    """
    for tap in taps:
        check_tap(tap)
    return Composed(taps)


def check_reached(tap: Tap, sites: Sequence[Site]) -> None:
    """UserError if a tap, or one inside a composition, wants none of the sites that a pass will reach."""
    check_tap(tap)
    if isinstance(tap, Part):
        check_reached(tap.tap, sites)
    elif isinstance(tap, Composed) and tap.taps:
        for one in tap.taps:
            check_reached(one, sites)
    elif not any(tap.wants(site) for site in sites):
        raise UserError(
            f"the tap {type(tap).__name__} wants none of the sites that this pass reaches, so it would see nothing; "
            f"they are {', '.join(s.name for s in sites)}"
        )


class _Share(NamedTuple):
    """One tap and the samples [start, stop) that it sees."""

    tap: Tap
    start: int
    stop: int

    def of(self, x: Tensor) -> Tensor:
        """Its samples of x."""
        return x if self.stop - self.start == len(x) else x[self.start : self.stop]

    def overlaps(self, other: _Share) -> bool:
        return max(self.start, other.start) < min(self.stop, other.stop)

    def put(self, x: Tensor, old: Tensor, new: Tensor, site: Site) -> Tensor:
        """x with `new` in the place of its samples `old`."""
        if new is old:  # the tap only looked
            return x
        if len(old) == len(x):
            return new
        if new.shape != old.shape:
            raise UserError(
                f"the tap {type(self.tap).__name__} changes the shape {tuple(old.shape)} into {tuple(new.shape)} at "
                f"{site.name} for the samples {self.start} to {self.stop - 1} alone, but another tap sees them "
                f"together with others of these {len(x)} samples; give both the same samples"
            )
        return torch.cat([x[: self.start], new, x[self.stop :]])


def _shares(tap: Tap, site: Site, start: int, stop: int) -> list[_Share]:
    """The taps in `tap` that want the site, in order; [start, stop): the samples that `tap` sees."""
    if isinstance(tap, Composed):
        return [share for one in tap.taps for share in _shares(one, site, start, stop)]
    if isinstance(tap, Part):
        first, end, _ = tap.at.indices(stop - start)
        return _shares(tap.tap, site, start + first, start + max(first, end))
    return [_Share(tap, start, stop)] if start < stop and tap.wants(site) else []


def _attend(tap: Tap, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
    """Group by group; a group ends where no tap sees the samples on both sides. A plain `Tap`, which changes nothing
    and only has the maps computed, is divided among the groups."""
    shares = _shares(tap, site, 0, len(q))
    edges = {0, len(q)}.union(*[{share.start, share.stop} for share in shares])
    whole = [share for share in shares if type(share.tap) is not Tap]
    cuts = sorted(i for i in edges if not any(share.start < i < share.stop for share in whole))
    outs = []
    for start, stop in pairwise(cuts):
        of = slice(start, stop)
        group = [
            _Share(s.tap, max(s.start, start) - start, min(s.stop, stop) - start)
            for s in shares
            if s.start < stop and start < s.stop
        ]
        outs.append(_attend_group(group, site, q[of], k[of], v[of], attn))
    return outs[0] if len(outs) == 1 else torch.cat(outs)


def _attend_group(shares: list[_Share], site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
    """`Tap.attend` of several taps, each on its samples."""
    if not shares:
        return F.scaled_dot_product_attention(q, k, v)
    if len(shares) == 1:
        return shares[0].tap.attend(site, q, k, v, attn)
    own = [share for share in shares if type(share.tap).attend is not Tap.attend]
    others = [share for share in shares if type(share.tap).attend is Tap.attend]
    _check_own(own, site)
    for share in others:
        old = share.of(k), share.of(v)
        new = share.tap.keys_values(site, *old, attn)
        k, v = share.put(k, old[0], new[0], site), share.put(v, old[1], new[1], site)
    p = attention_maps(q, k)
    for share in others:
        old_p = share.of(p)
        new_p = share.tap.probs(site, old_p)
        if new_p is not old_p:
            _check_unused(share, own, site)
        p = share.put(p, old_p, new_p, site)
    out = p.to(v.dtype) @ v
    for share in own:
        new_out = share.tap.attend(site, share.of(q), share.of(k), share.of(v), attn)
        out = share.put(out, share.of(out), new_out, site)
    for share in others:
        old_out = share.of(out)
        out = share.put(out, old_out, share.tap.output(site, share.of(q), old_out, attn), site)
    return out


def _check_own(own: list[_Share], site: Site) -> None:
    """UserError if two taps with an `attend` of their own see the same samples."""
    for a, b in combinations(own, 2):
        if a.overlaps(b):
            raise UserError(
                f"the taps {type(a.tap).__name__} and {type(b.tap).__name__} both attend by themselves at {site.name}, "
                "for the same samples: use one of them"
            )


def _check_unused(share: _Share, own: list[_Share], site: Site) -> None:
    """UserError if a tap with an `attend` of its own would not use the maps that `share` has changed."""
    for one in own:
        if one.overlaps(share):
            raise UserError(
                f"the tap {type(share.tap).__name__} changes the maps at {site.name}, but there "
                f"{type(one.tap).__name__} attends by itself and would not use them"
            )
