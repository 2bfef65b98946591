"""What can be done at an attention site: see or replace the maps, the keys, the values.

A tap is an ordinary object handed to the UNet, `unet(z, t, ctx, tap=tap)`. At each site that it `wants`, the
attention layer computes its softmax explicitly and asks, in this order,

    k, v = tap.keys_values(site, k, v, attn)     k, v (B,H,L,d)
    p    = tap.probs(site, softmax(q k^T / √d))  p (B,H,N,L), float32
    out  = p v

so that a subclass of a few lines expresses the methods of the field: maps replaced (Prompt-to-Prompt), maps
re-weighted, keys and values taken from another sample of the batch, values computed from another context
(`attn.to_v`, `attn.split_heads`), columns added: `keys_values` may append keys and values, or `probs` may
return more columns than there were keys where `keys_values` returned as many more values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .base.arguments import is_whole, plain, shown
from .base.errors import UserError

if TYPE_CHECKING:
    from .attention import Attention, Site

Where = Callable[["Site"], bool]


class Tap:
    """The protocol, and the tap that changes nothing. Subclass and override what you need."""

    def wants(self, site: Site) -> bool:
        """Whether this site should be explicit. Memory: B·H·N·L floats a site, 0.5 GB for SD's finest self maps."""
        return True

    def keys_values(self, site: Site, k: Tensor, v: Tensor, attn: Attention) -> tuple[Tensor, Tensor]:
        """k, v (B,H,L,d) -> those to use. `attn.split_heads(attn.to_v(c))`: values of a context c (B,L,D)."""
        return k, v

    def probs(self, site: Site, p: Tensor) -> Tensor:
        """p (B,H,N,L), float32, rows sum to 1 -> the maps to use (nothing renormalises them)."""
        return p


@dataclass(frozen=True)
class _Selection:
    """What `select` gives: an object and not a function inside a function, so that taps can be pickled."""

    kind: str | None
    place: str | None
    scale: int | None

    def __call__(self, site: Site) -> bool:
        return (
            (self.kind is None or site.kind == self.kind)
            and (self.place is None or site.place == self.place)
            and (self.scale is None or site.scale == self.scale)
        )


def select(kind: str | None = None, place: str | None = None, scale: int | None = None) -> Where:
    """A predicate on sites: `select("cross", scale=4)`. None matches everything.

    UserError for what no site is: kind is "self" or "cross", place "down", "mid" or "up", scale a whole number.
    """
    for name, value, known in (("kind", kind, ("self", "cross")), ("place", place, ("down", "mid", "up"))):
        if value is not None and not (isinstance(value, str) and value in known):
            raise UserError(f"{name} = {shown(value)}; expected {' or '.join(map(repr, known))}, or None for all")
    if scale is not None and not is_whole(scale):
        raise UserError(f"scale = {shown(scale)}; expected a whole number, such as 4, or None for all")
    return _Selection(kind, place, plain(scale))


class _At(Tap):
    """A tap at the sites that a predicate picks (all by default)."""

    def __init__(self, where: Where | None = None):
        if where is not None and not callable(where):
            raise UserError(f"where = {shown(where)}; expected a function of sites, such as select('cross') gives")
        self.where = select() if where is None else where

    def wants(self, site: Site) -> bool:
        return self.where(site)


class Record(_At):
    """Keeps the maps of the latest pass: `record.maps["down.1.0.cross"]` is (B,H,N,L), with its gradient.

    Every pass has a dict of its own: `source = record.maps` stays what it is when the next pass is recorded.
    """

    def __init__(self, where: Where | None = None):
        super().__init__(where)
        self._maps: dict[str, Tensor] = {}

    def probs(self, site: Site, p: Tensor) -> Tensor:
        if site.name in self._maps:  # seen before: a new pass has begun
            self._maps = {}
        self._maps[site.name] = p
        return p

    @property
    def maps(self) -> dict[str, Tensor]:
        """Site name -> maps. UserError while nothing has been recorded."""
        if not self._maps:
            raise UserError(f"{type(self).__name__} is empty: no UNet pass with tap=… has reached its sites yet")
        return self._maps


class Average(Record):
    """The mean over passes and heads, without gradient: site name -> (B,N,L). One map a site, however many steps."""

    def __init__(self, where: Where | None = None):
        super().__init__(where)
        self._passes: dict[str, int] = {}

    def probs(self, site: Site, p: Tensor) -> Tensor:
        n = self._passes[site.name] = self._passes.get(site.name, 0) + 1
        new = p.detach().mean(dim=1)
        old = self._maps.get(site.name)
        self._maps[site.name] = new if old is None else old + (new - old) / n
        return p


class Replace(Tap):
    """Puts given maps in place of the site's own, e.g. `Replace(record.maps)` (Prompt-to-Prompt's word swap).

    A map (B',H,N,L) must fit the pass: B' = B, or 1 for every sample.
    """

    def __init__(self, maps: Mapping[str, Tensor]):
        if not isinstance(maps, Mapping) or not all(isinstance(p, Tensor) for p in maps.values()):
            raise UserError(f"maps = {shown(maps)}; expected a map for each site's name, as record.maps has them")
        self.new = maps

    def wants(self, site: Site) -> bool:
        return site.name in self.new

    def probs(self, site: Site, p: Tensor) -> Tensor:
        new = self.new[site.name]
        if new.shape[1:] != p.shape[1:] or new.shape[0] not in (1, p.shape[0]):
            raise UserError(f"a map of shape {tuple(new.shape)} cannot replace {tuple(p.shape)} at {site.name}")
        return new.to(p).expand_as(p)


class Reweight(_At):
    """Multiplies each token's column of the cross maps by a weight, without renormalisation.

    Prompt-to-Prompt's re-weighting (Hertz et al. 2022, section 3.2): weights (L,) or (B,L), 1 = unchanged.
    """

    def __init__(self, weights: Tensor, where: Where | None = None):
        super().__init__(select("cross") if where is None else where)
        if not isinstance(weights, Tensor):
            raise UserError(f"weights = {shown(weights)}; expected a tensor (L,) or (B,L), a weight a token")
        self.weights = weights

    def probs(self, site: Site, p: Tensor) -> Tensor:
        w = torch.atleast_2d(self.weights.to(p))  # (1,L) or (B,L)
        if w.dim() != 2 or w.shape[0] not in (1, p.shape[0]) or w.shape[1] != p.shape[-1]:
            fits = f"({p.shape[-1]},) or ({p.shape[0]},{p.shape[-1]})"
            raise UserError(f"weights of shape {tuple(self.weights.shape)} at {site.name}; expected {fits}")
        return p * w[:, None, None, :]


class Controller(Tap):
    """Runs a `controller(attn, is_cross, place) -> attn` of the Prompt-to-Prompt family on our maps.

    attn is (B·H,N,L), heads within samples, as those controllers expect it; they are called at every site,
    in execution order. Controllers that count layers read `num_att_layers`, which is set from `sites`.
    """

    def __init__(self, controller: Callable[[Tensor, bool, str], Tensor], sites: tuple[Site, ...]):
        if not callable(controller):
            raise UserError(f"controller = {shown(controller)}; expected a function of (attn, is_cross, place)")
        self.controller = controller
        if hasattr(controller, "num_att_layers"):
            controller.num_att_layers = len(sites)

    def probs(self, site: Site, p: Tensor) -> Tensor:
        return self.controller(p.flatten(0, 1), site.kind == "cross", site.place).reshape(p.shape)


class _Composed(Tap):
    def __init__(self, taps: tuple[Tap, ...]):
        self.taps = taps

    def wants(self, site: Site) -> bool:
        return any(tap.wants(site) for tap in self.taps)

    def keys_values(self, site: Site, k: Tensor, v: Tensor, attn: Attention) -> tuple[Tensor, Tensor]:
        for tap in self.taps:
            if tap.wants(site):
                k, v = tap.keys_values(site, k, v, attn)
        return k, v

    def probs(self, site: Site, p: Tensor) -> Tensor:
        for tap in self.taps:
            if tap.wants(site):
                p = tap.probs(site, p)
        return p


def compose(*taps: Tap) -> Tap:
    """One tap out of several: each sees what the ones before it left."""
    for tap in taps:
        check_tap(tap)
    return _Composed(taps)


class Part(Tap):
    """A tap for some samples of the batch: it gets the rows `at` and no others, as if they were the whole batch."""

    def __init__(self, tap: Tap, at: slice):
        check_tap(tap)
        if not isinstance(at, slice):
            raise UserError(f"at = {shown(at)}; expected a slice of the batch, such as slice(0, 2)")
        self.tap, self.at = tap, at

    def wants(self, site: Site) -> bool:
        return self.tap.wants(site)

    def keys_values(self, site: Site, k: Tensor, v: Tensor, attn: Attention) -> tuple[Tensor, Tensor]:
        old = k[self.at], v[self.at]
        new = self.tap.keys_values(site, *old, attn)
        return self._put(k, old[0], new[0]), self._put(v, old[1], new[1])

    def probs(self, site: Site, p: Tensor) -> Tensor:
        old = p[self.at]
        return self._put(p, old, self.tap.probs(site, old))

    def _put(self, whole: Tensor, old: Tensor, new: Tensor) -> Tensor:
        if new is old:  # it only looked
            return whole
        start, stop, _ = self.at.indices(len(whole))
        return torch.cat([whole[:start], new, whole[stop:]])


def check_tap(tap: Any) -> None:
    """UserError for what is no tap; None is allowed, and so is any object with a tap's methods."""
    if tap is not None and (isinstance(tap, type) or not all(hasattr(tap, name) for name in ("wants", "probs"))):
        raise UserError(f"tap = {shown(tap)}; expected a minisd.Tap, such as minisd.Record()")


def check_reached(tap: Tap, sites: Sequence[Site]) -> None:
    """UserError where a tap, or one inside a composition, wants none of the sites that a pass will reach."""
    check_tap(tap)
    if isinstance(tap, Part):
        tap = tap.tap
    if isinstance(tap, _Composed) and tap.taps:
        for one in tap.taps:
            check_reached(one, sites)
    elif not any(tap.wants(site) for site in sites):
        raise UserError(
            f"the tap {type(tap).__name__} wants none of the sites that this pass reaches, so it would see nothing; "
            f"they are {', '.join(s.name for s in sites)}"
        )


def heat_maps(maps: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
    """Cross maps of several sites as pictures, one a token: {name: (B,N,L)} -> (B,L,h,w), mean over the sites.

    Maps with heads, (B,H,N,L), as Record keeps them, are averaged over these first.
    size (h,w): the latents' grid. Every site's grid is some halving of it (odd sides rounded up) and is
    enlarged bilinearly before the mean, as DAAM does (Tang et al. 2023, "What the DAAM").
    UserError where a map fits no halving, or the maps are not of the same tokens.
    """
    if not isinstance(maps, Mapping) or not all(isinstance(p, Tensor) and p.dim() in (3, 4) for p in maps.values()):
        raise UserError(f"maps = {shown(maps)}; expected maps (B,N,L) by the names of their sites, as record.maps has")
    if not (isinstance(size, Sequence) and len(size) == 2 and all(is_whole(side) and plain(side) > 0 for side in size)):
        raise UserError(f"size = {shown(size)}; expected (h, w), the latents' grid")
    size = plain(size[0]), plain(size[1])
    columns = {name: p.shape[-1] for name, p in maps.items()}
    if len(set(columns.values())) != 1:
        raise UserError(f"heat maps are made of cross maps with as many tokens each; got {columns}")
    pictures = []
    for name, p in maps.items():
        p = p.mean(dim=1) if p.dim() == 4 else p
        h, w = _grid(p.shape[1], size, name)
        grid = p.transpose(1, 2).unflatten(2, (h, w))  # (B,N,L) -> (B,L,h,w)
        pictures.append(F.interpolate(grid, size=size, mode="bilinear", align_corners=False))
    return torch.stack(pictures).mean(dim=0)


def _grid(n: int, size: tuple[int, int], name: str) -> tuple[int, int]:
    h, w = size
    while h * w > max(n, 1):
        h, w = -(-h // 2), -(-w // 2)
    if h * w != n:
        raise UserError(f"the map at {name} has {n} pixels, no halving of a {size[0]}×{size[1]} grid")
    return h, w
