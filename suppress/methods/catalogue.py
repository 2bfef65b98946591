"""The names of the methods and what each does. It does not import PyTorch, so that `suppress methods` is quick.

The file of a method is imported when its class is needed (`Entry.kind`, `Entry.make`). `register` adds a user's own
method.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from importlib import import_module
from inspect import get_annotations
from typing import TYPE_CHECKING, Any

from minisd import UserError
from minisd.base.arguments import shown

if TYPE_CHECKING:
    from ..protocol import Method

DEFAULT = "unread"  # it meets the bar of suppress/evaluation/table.py
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Entry:
    """What belongs to a name of a method."""

    # "file.Class" in this folder; or "file.Class.preset", a class method that makes an instance; or a registered class
    factory: str | type[Method]
    about: str
    preset: bool = False  # it keeps its published settings: the "all" settings of a checkpoint do not change them
    own: bool = False  # a method of this project, whose settings are published nowhere else
    bound: Mapping[str, Any] = field(default_factory=dict)  # fixed settings, which belong to the name
    takes: str = ""  # the field that the text after "name:" sets, as in "delta:PATH"
    for_pictures: Mapping[str, Any] = field(default_factory=dict)  # settings that were published for real pictures

    @property
    def kind(self) -> type[Method]:
        """The class of the method."""
        if not isinstance(self.factory, str):
            return self.factory
        file, name = self.factory.split(".")[:2]
        return getattr(import_module(f"{__package__}.{file}"), name)

    def make(self, **settings: Any) -> Method:
        preset = self.factory.split(".")[2:] if isinstance(self.factory, str) else []
        make = getattr(self.kind, preset[0]) if preset else self.kind
        return make(**self.bound, **settings)

    @property
    def origin(self) -> str:
        """Where its settings come from, if the checkpoint has no measured ones."""
        if not isinstance(self.factory, str):
            return "the method's own"
        return "chosen by this project" if self.own else "published"

    @property
    def settings(self) -> list[str]:
        """The fields that can be set: all except the bound ones."""
        return [f.name for f in fields(self.kind) if f.name not in self.bound]


def register(name: str, method: type[Method], about: str = "") -> None:
    """Adds your own method under a name. `suppress.run(method=…)`, --method, --sheet and `suppress eval` then know it.

    method: a subclass of `suppress.Method`, a frozen dataclass. If it defines `start`, or inherits one that is not
    `Method`'s, a checkpoint's measured start does not replace it. about: one line for the list of methods; default:
    the first line of the docstring.
    You may register a name again, as happens if a notebook's cell runs twice.
    UserError if the name belongs to a method of this project, if it has characters other than a-z, 0-9 and "-", or if
    `method` is not a method whose settings all have defaults.
    """
    from ..protocol import Method

    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise UserError(f"name = {shown(name)}; expected small letters, digits and '-', such as 'my-method'")
    if name in METHODS and isinstance(METHODS[name].factory, str):
        raise UserError(f"the name {name!r} belongs to a method of this project; give yours another name")
    if not (isinstance(method, type) and issubclass(method, Method) and is_dataclass(method)):
        raise UserError(f"method = {shown(method)}; expected a subclass of suppress.Method, not an instance")
    if "__dataclass_fields__" not in vars(method) and get_annotations(method):
        raise UserError(f"{method.__name__} has settings, but no @dataclass(frozen=True) before it")
    needed = [f.name for f in fields(method) if f.init and f.default is MISSING and f.default_factory is MISSING]
    if needed:
        raise UserError(f"{method.__name__} has no default for {', '.join(needed)}; every setting needs one")
    about = about or (method.__doc__ or name).strip().splitlines()[0]
    bases = [base for base in method.mro() if base not in Method.mro()]
    METHODS[name] = Entry(method, about, preset=any("start" in get_annotations(base) for base in bases))


@dataclass(frozen=True)
class Published:
    """What a variant (suppress/methods/variant.py) does, and its constant if it has one."""

    about: str
    constant: str = ""  # its name in `about`; empty: there is no constant
    published: int | float | None = None  # its published value; an int if it must be a whole number


# The functions in suppress/edits/spectrum.py and suppress/edits/rows.py name the section of the paper.
PUBLISHED: dict[str, Published] = {
    "swr": Published("soft weighting of target and [EOT], σ e^(-γσ): what the method uses", "γ", 1.0),
    "top-k": Published("their K largest singular values become 0", "K", 2),
    "bottom-k": Published(
        "their K smallest singular values become 0: the target stays, the counter-check of top-k", "K", 70
    ),
    "attenuate": Published("target and [EOT] times a factor", "the factor", 0.1),
    "zero-target": Published("the target becomes 0, [EOT] still carries it"),
    "zero-eot": Published("[EOT] becomes 0, the target stays"),
    "zero": Published("target and [EOT] become 0"),
    "wnnm": Published(
        "soft thresholds C √n / σ on the singular values of [EOT], smaller for larger ones: the target stays",
        "C",
        2 * 2**0.5,
    ),
    "rank-cut": Published("[EOT] as a matrix of rank K: nearly the same picture", "K", 9),
    "mpe": Published("target and [EOT] less the mean of [EOT] (our reading)"),
    "mpe-zero": Published("mpe, and the target becomes 0 (our reading)"),
    "strengthen": Published("β e^(.001 σ) σ: more of the target", "β", 1.2),
}

METHODS: dict[str, Entry] = {
    "suppress-eot": Entry(
        "suppress_eot.SuppressEOT",
        "soft-weighted regularisation; ITO with iterations=10",
        for_pictures={"step_size": 5.0},
    ),
    "official": Entry(
        "suppress_eot.SuppressEOT.official",
        "suppress-eot with the settings of its authors' code",
        preset=True,
        for_pictures={"step_size": 5.0},
    ),
    "paper": Entry("suppress_eot.SuppressEOT.paper", "suppress-eot as its text has it", preset=True),
    "value-loss": Entry(
        "suppress_eot.SuppressEOT.official",
        "ITO on values instead of maps (appendix D)",
        preset=True,
        bound={"loss": "value"},
    ),
    "unread": Entry(
        "unread.Unread",
        "the text encoder run again with the target hidden from every word; SWR if no word follows the target",
        own=True,
    ),
    "negative-prompt": Entry(
        "negative_prompt.NegativePrompt",
        "the target in place of the empty prompt of the guidance; added to another method with to=NAME",
        preset=True,
    ),
    "delta": Entry(
        "delta.Delta", "other weights for the edited branch: delta:FILE.safetensors", preset=True, takes="path"
    ),
    "attn2zero": Entry("attention_to_zero.AttentionToZero", "the target's cross maps become 0 (appendix D)"),
    "attentive-eraser": Entry(
        "attentive_eraser.AttentiveEraser",
        "what is in a mask is filled from around it: no self attention to it (Sun 2025)",
        preset=True,
    ),
    "sld": Entry("sld.SLD", "guidance away from the target where the noise shows it (Schramowski 2023)", preset=True),
    "ledits": Entry(
        "ledits.Ledits",
        "pictures: guidance away from the target, where its map and its noise show it (LEDITS++)",
        preset=True,
    ),
    "gie": Entry("gie.GIE", "the target's own attention, times a negative scale, is added (GIE)", preset=True),
    "value-flip": Entry(
        "value_flip.ValueFlip", "the target's values change their sign where its keys attend (NegPiP)", preset=True
    ),
    "vsf": Entry(
        "value_flip.ValueFlip.vsf",
        "value-flip with the settings of Value Sign Flip",
        preset=True,
        bound={"form": "appended", "weighs": "values"},
    ),
    "magic-remover": Entry(
        "magic_remover.MagicRemover", "the latents descend on the target's cross maps (Yang 2023)", preset=True
    ),
    "magic-remover-blended": Entry(
        "magic_remover.MagicRemover.blended",
        "magic-remover as a third party runs it: binary masks, the original outside of them",
        preset=True,
    ),
    "prompt-to-prompt": Entry(
        "prompt_to_prompt.PromptToPrompt",
        "the phrase is taken out of the prompt, the other words keep their maps (Hertz 2022)",
        preset=True,
    ),
    "prompt-to-prompt-pnp": Entry(
        "prompt_to_prompt.PromptToPrompt.pnp",
        "prompt-to-prompt with the settings of PnP inversion, for real pictures",
        preset=True,
    ),
    "reweight": Entry(
        "prompt_to_prompt.PromptToPrompt.reweight",
        "the target's cross maps times -8 (Prompt-to-Prompt's re-weighting)",
        preset=True,
        bound={"mode": "reweight", "text": "", "instead": ""},
    ),
} | {name: Entry("variant.Variant", words.about, bound={"name": name}) for name, words in PUBLISHED.items()}


def describe_methods() -> list[str]:
    """One line per method: its name, what it does, and its constant if it has one."""
    width = max(map(len, METHODS))
    return [f"{name:<{width}}  {entry.about}{_constant(name)}" for name, entry in METHODS.items()]


def _constant(name: str) -> str:
    words = PUBLISHED.get(name)
    return f"; value={words.published:.3g} is {words.constant}" if words and words.constant else ""
