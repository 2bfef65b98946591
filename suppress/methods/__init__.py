"""The methods, one file each, and their names on the command line. A method's file is imported at its first use."""

from typing import TYPE_CHECKING

from minisd.base.lazy import attributes

from .catalogue import DEFAULT, METHODS, describe_methods, register
from .names import method_spec, parse_method

if TYPE_CHECKING:
    from .attend_and_excite import AttendAndExcite
    from .attention_to_zero import AttentionToZero
    from .attentive_eraser import AttentiveEraser
    from .casteer import CASteer
    from .fixed import Rewrite
    from .gie import GIE
    from .ledits import Ledits
    from .magic_remover import MagicRemover
    from .prompt_to_prompt import PromptToPrompt
    from .semantic_surgery import SemanticSurgery
    from .sld import SLD
    from .ssdv import SSDV
    from .stg import STG
    from .suppress_eot import SuppressEOT
    from .unread import Unread
    from .value_flip import ValueFlip
    from .variant import Variant

_MODULES = {
    "attend_and_excite": ("AttendAndExcite",),
    "attention_to_zero": ("AttentionToZero",),
    "attentive_eraser": ("AttentiveEraser",),
    "casteer": ("CASteer",),
    "fixed": ("Rewrite",),
    "gie": ("GIE",),
    "ledits": ("Ledits",),
    "magic_remover": ("MagicRemover",),
    "prompt_to_prompt": ("PromptToPrompt",),
    "semantic_surgery": ("SemanticSurgery",),
    "sld": ("SLD",),
    "ssdv": ("SSDV",),
    "stg": ("STG",),
    "suppress_eot": ("SuppressEOT",),
    "unread": ("Unread",),
    "value_flip": ("ValueFlip",),
    "variant": ("Variant",),
}
__getattr__ = attributes(__name__, {name: module for module, names in _MODULES.items() for name in names})

__all__ = [
    "DEFAULT",
    "GIE",
    "METHODS",
    "SLD",
    "SSDV",
    "STG",
    "AttendAndExcite",
    "AttentionToZero",
    "AttentiveEraser",
    "CASteer",
    "Ledits",
    "MagicRemover",
    "PromptToPrompt",
    "Rewrite",
    "SemanticSurgery",
    "SuppressEOT",
    "Unread",
    "ValueFlip",
    "Variant",
    "describe_methods",
    "method_spec",
    "parse_method",
    "register",
]
