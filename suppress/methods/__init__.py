"""The methods, one file each, and their names on the command line. A method's file is imported at its first use."""

from typing import TYPE_CHECKING

from minisd.base.lazy import attributes

from .catalogue import DEFAULT, METHODS, describe_method, describe_methods, register
from .names import method_spec, parse_method

if TYPE_CHECKING:
    from .attention_guidance import NAG, NASA, ONG
    from .attention_to_zero import AttentionToZero
    from .attentive_eraser import AttentiveEraser
    from .cfg_pp import CfgPP
    from .fixed import Rewrite
    from .gie import GIE
    from .guidance_rules import CRG, ComposableNot, ContrastiveCFG, PerpNeg, Sega, Signed
    from .ledits import Ledits
    from .magic_remover import MagicRemover
    from .prompt_to_prompt import PromptToPrompt
    from .sld import SLD
    from .suppress_eot import SuppressEOT
    from .unread import Unread
    from .value_flip import ValueFlip
    from .variant import Variant

_MODULES = {
    "attention_guidance": ("NAG", "NASA", "ONG"),
    "attention_to_zero": ("AttentionToZero",),
    "attentive_eraser": ("AttentiveEraser",),
    "cfg_pp": ("CfgPP",),
    "fixed": ("Rewrite",),
    "gie": ("GIE",),
    "guidance_rules": ("CRG", "ComposableNot", "ContrastiveCFG", "PerpNeg", "Sega", "Signed"),
    "ledits": ("Ledits",),
    "magic_remover": ("MagicRemover",),
    "prompt_to_prompt": ("PromptToPrompt",),
    "sld": ("SLD",),
    "suppress_eot": ("SuppressEOT",),
    "unread": ("Unread",),
    "value_flip": ("ValueFlip",),
    "variant": ("Variant",),
}
__getattr__ = attributes(__name__, {name: module for module, names in _MODULES.items() for name in names})

__all__ = [
    "CRG",
    "DEFAULT",
    "GIE",
    "METHODS",
    "NAG",
    "NASA",
    "ONG",
    "SLD",
    "AttentionToZero",
    "AttentiveEraser",
    "CfgPP",
    "ComposableNot",
    "ContrastiveCFG",
    "Ledits",
    "MagicRemover",
    "PerpNeg",
    "PromptToPrompt",
    "Rewrite",
    "Sega",
    "Signed",
    "SuppressEOT",
    "Unread",
    "ValueFlip",
    "Variant",
    "describe_method",
    "describe_methods",
    "method_spec",
    "parse_method",
    "register",
]
