"""The erasers by name. It does not import PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .eraser import Eraser


@dataclass(frozen=True)
class Entry:
    """What belongs to a name of an eraser."""

    factory: str  # "file.Class" in suppress/training, or "file.Class.preset"
    about: str
    source: str  # the paper, with its year
    takes: str = ""  # no setting is written without its name
    bound: Mapping[str, Any] = field(default_factory=dict)  # fixed settings, which belong to the name

    @property
    def kind(self) -> type[Eraser]:
        """The class of the eraser."""
        file, name = self.factory.split(".")[:2]
        return getattr(import_module(f"{__package__}.{file}"), name)

    def make(self, **settings: Any) -> Eraser:
        preset = self.factory.split(".")[2:]
        return (getattr(self.kind, preset[0]) if preset else self.kind)(**self.bound, **settings)

    @property
    def settings(self) -> list[str]:
        """The fields that can be set."""
        return [f.name for f in fields(self.kind) if f.name not in self.bound]


ERASERS: dict[str, Entry] = {
    "esd": Entry("esd.ESD.x", "negative guidance is learnt, in the cross attention (ESD-x)", "Gandikota 2023"),
    "esd-u": Entry("esd.ESD.u", "the same in all other layers: forgotten in every prompt", "Gandikota 2023"),
    "esd-official": Entry("esd.ESD.official", "esd with the settings of its authors' second code", "Gandikota 2023"),
    "concept-ablation": Entry(
        "concept_ablation.ConceptAblation", "the concept is drawn as its anchor: --anchor", "Kumari 2023"
    ),
    "max-loss": Entry(
        "concept_ablation.MaxLoss", "the loss on the concept is raised: the baseline that diverges", "Kumari 2023"
    ),
    "forget-me-not": Entry("forget_me_not.ForgetMeNot", "the attention to the concept is trained away", "Zhang 2023"),
}
