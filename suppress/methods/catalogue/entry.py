"""What belongs to the name of a method. It does not import PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...naming import Named

if TYPE_CHECKING:
    from ...protocol import Method


@dataclass(frozen=True)
class Entry(Named):
    """What belongs to a name of a method."""

    package = __package__.rpartition(".")[0]

    # "file.Class" in suppress/methods; or "file.Class.preset", a class method that makes an instance; or a registered
    # class
    factory: str | type[Method]
    about: str
    source: str = ""  # the paper or the code that it comes from, with its year; empty: nobody else published it
    # UNet samples of one picture at 50 steps, both branches and both halves of the guidance, on the fast engine with
    # the settings that the name has by itself; a test counts them
    passes: int = 0
    needs: str = ""  # what the user must give beside the words to remove: "a mask", "an anchor", "a delta file"; or ""
    training: bool = False  # whether something must be trained before it can be used
    several: bool = True  # whether it removes several targets in one run
    pictures: bool = True  # whether it also edits a picture that exists
    strengthens: bool = False  # whether it draws more of its words, those of --strengthen, instead of removing them
    preset: bool = False  # it keeps its published settings: the "all" settings of a checkpoint do not change them
    own: bool = False  # a method of this project, whose settings are published nowhere else
    bound: Mapping[str, Any] = field(default_factory=dict)  # fixed settings, which belong to the name
    takes: str = ""  # the field that the text after "name:" sets, as in "delta:PATH"
    for_pictures: Mapping[str, Any] = field(default_factory=dict)  # settings that were published for real pictures

    @property
    def origin(self) -> str:
        """Where its settings come from, if the checkpoint has no measured ones."""
        if not isinstance(self.factory, str):
            return "the method's own"
        return "chosen by this project" if self.own else "published"
