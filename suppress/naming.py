"""Things that are known by a name: methods, inversions, erasers. A name makes settings; it does not import PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from types import MappingProxyType
from typing import Any, ClassVar

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Named:
    """The base of the entries of a catalogue, which are dataclasses. The file of a name is imported when it is used."""

    package: ClassVar[str]  # the package in which the files are
    factory: Any  # "file.Class", "file.Class.preset" (a class method that makes an instance), or a class
    takes: str = ""  # the field that the text after "name:" sets, as in "delta:PATH"
    bound: Mapping[str, Any] = NOTHING  # fixed settings, which belong to the name

    @property
    def kind(self) -> Any:
        """The class of the settings: of a method, an inversion or an eraser."""
        if not isinstance(self.factory, str):
            return self.factory
        file, name = self.factory.split(".")[:2]
        return getattr(import_module(f"{self.package}.{file}"), name)

    def make(self, **settings: Any) -> Any:
        preset = self.factory.split(".")[2:] if isinstance(self.factory, str) else []
        return (getattr(self.kind, preset[0]) if preset else self.kind)(**self.bound, **settings)

    @property
    def settings(self) -> list[str]:
        """The fields that can be set: all except the bound ones."""
        return [f.name for f in fields(self.kind) if f.name not in self.bound]
