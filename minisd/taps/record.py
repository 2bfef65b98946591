"""Taps that keep the maps: those of one pass, or their mean over many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ..base.errors import UserError
from .select import SiteTap, Where

if TYPE_CHECKING:
    from ..attention import Site


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
