"""An edit around another one: it does what the inner one does, and a subclass overrides what differs."""

from __future__ import annotations

from torch import Tensor

from ..protocol import Edit, Inputs
from .maps import Maps


class Wrapped(Edit):
    def __init__(self, edit: Edit):
        super().__init__(edit.run)
        self.edit, self.maps, self.unet, self.acts_from = edit, edit.maps, edit.unet, edit.acts_from

    def reads_maps(self, i: int) -> bool:
        return self.edit.reads_maps(i)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return self.edit.inputs(i, same, original, maps)

    def combine(self, i: int, eps: tuple[Tensor, ...]) -> Tensor:
        return self.edit.combine(i, eps)

    def step(self, i: int, z: Tensor, eps: Tensor) -> Tensor:
        return self.edit.step(i, z, eps)

    def blend(self, i: int, z: Tensor, original: Tensor) -> Tensor:
        return self.edit.blend(i, z, original)

    def changed(self) -> Tensor | None:
        return self.edit.changed()
