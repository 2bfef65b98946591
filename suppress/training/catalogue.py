"""The erasers by name. It does not import PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from ..naming import Named


@dataclass(frozen=True)
class Entry(Named):
    """What belongs to a name of an eraser."""

    package = __package__

    factory: str  # "file.Class" in suppress/training, or "file.Class.preset"
    about: str
    source: str  # the paper, with its year


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
