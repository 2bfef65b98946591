"""The taps of Prompt-to-Prompt (Hertz et al. 2022): maps replaced, re-weighted, or given to one of its controllers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..base.arguments import shown
from ..base.errors import UserError
from ..tap import Tap
from .select import SiteTap, Where, select

if TYPE_CHECKING:
    from ..attention import Site


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


class Reweight(SiteTap):
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
