"""Which attention sites a tap wants."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..base.arguments import is_whole, plain, shown
from ..base.errors import UserError
from ..tap import Tap

if TYPE_CHECKING:
    from ..attention import Site

Where = Callable[["Site"], bool]


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
