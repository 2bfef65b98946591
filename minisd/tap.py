"""What can be done at an attention site: see or replace keys, values, maps and the output.

A tap is an ordinary object that is handed to the UNet: `unet(z, t, ctx, tap=tap)`. At each site that it `wants`,
the attention layer calls `out = tap.attend(site, q, k, v, attn)`. Most taps override one of its three parts:

    k, v = tap.keys_values(site, k, v, attn)           k, v (B,H,L,d)
    p    = tap.probs(site, softmax(q k^T / √d))        p (B,H,N,L), float32
    out  = tap.output(site, q, p v, attn)              q, out (B,H,N,d)

A subclass of a few lines so expresses the methods of the field: maps that are replaced (Prompt-to-Prompt) or
re-weighted; keys and values of another sample of the batch, or of another context (`attn.to_v`, `attn.split_heads`);
more columns: `keys_values` may append keys and values, or `probs` may return more columns than there are keys if
`keys_values` returned as many more values; something that is added to the output.

More taps, and how to combine them: minisd/taps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .base.arguments import is_whole, plain, shown
from .base.errors import UserError

if TYPE_CHECKING:
    from .attention import Attention, Site

Where = Callable[["Site"], bool]


class Tap:
    """The protocol, and the tap that changes nothing. Subclass it and override what you need."""

    def wants(self, site: Site) -> bool:
        """Whether this site calls the tap. Memory: B·H·N·L floats per site, 0.5 GB for SD's finest self maps."""
        return True

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        """The attention of queries q (B,H,N,d) to keys and values k, v (B,H,L,d) -> (B,H,N,d)."""
        k, v = self.keys_values(site, k, v, attn)
        p = self.probs(site, attention_maps(q, k))
        return self.output(site, q, p.to(v.dtype) @ v, attn)

    def keys_values(self, site: Site, k: Tensor, v: Tensor, attn: Attention) -> tuple[Tensor, Tensor]:
        """k, v (B,H,L,d) -> those to use. `attn.split_heads(attn.to_v(c))`: values of a context c (B,L,D)."""
        return k, v

    def probs(self, site: Site, p: Tensor) -> Tensor:
        """p (B,H,N,L), float32, rows sum to 1 -> the maps to use (nothing renormalises them)."""
        return p

    def output(self, site: Site, q: Tensor, out: Tensor, attn: Attention) -> Tensor:
        """out (B,H,N,d), what the queries q (B,H,N,d) got -> the output to use, before heads are joined."""
        return out


def attention_maps(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k^T / √d): q (B,H,N,d), k (B,H,L,d) -> (B,H,N,L)"""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return scores.float().softmax(dim=-1)  # half precision would lose the small entries that losses and heat maps read


def select(kind: str | None = None, place: str | None = None, scale: int | None = None) -> Where:
    """A predicate on sites: `select("cross", scale=4)`. None matches everything.

    UserError for what no site is: kind is "self" or "cross", place "down", "mid" or "up", scale a whole number.
    """
    for name, value, known in (("kind", kind, ("self", "cross")), ("place", place, ("down", "mid", "up"))):
        if value is not None and not (isinstance(value, str) and value in known):
            raise UserError(f"{name} = {shown(value)}; expected {' or '.join(map(repr, known))}, or None for all")
    if scale is not None and not is_whole(scale):
        raise UserError(f"scale = {shown(scale)}; expected a whole number, such as 4, or None for all")
    return partial(_matches, kind, place, plain(scale))  # unlike a lambda, it can be pickled


def _matches(kind: str | None, place: str | None, scale: int | None, site: Site) -> bool:
    return kind in (None, site.kind) and place in (None, site.place) and scale in (None, site.scale)


class SiteTap(Tap):
    """A tap at the sites that a predicate picks (all by default)."""

    def __init__(self, where: Where | None = None):
        if where is not None and not callable(where):
            raise UserError(f"where = {shown(where)}; expected a function of sites, such as select('cross') gives")
        self.where = select() if where is None else where

    def wants(self, site: Site) -> bool:
        return self.where(site)


class Record(SiteTap):
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


def check_tap(tap: Any) -> None:
    """UserError for what is no tap; None is allowed."""
    if tap is not None and not isinstance(tap, Tap):
        raise UserError(f"tap = {shown(tap)}; expected a minisd.Tap, such as minisd.Record()")
