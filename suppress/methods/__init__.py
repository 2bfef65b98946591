"""The methods, one file each, and their names on the command line. A method's file is imported at its first use."""

from typing import TYPE_CHECKING

from minisd.base.lazy import attributes

from .catalogue import DEFAULT, METHODS, describe_method, describe_methods, register
from .names import check_removes, method_spec, parse_method

if TYPE_CHECKING:
    from .adavd import AdaVD
    from .adavd_word import AdaVDWord
    from .attend_and_excite import AttendAndExcite
    from .attention_guidance import NAG, NASA, ONG
    from .attention_to_zero import AttentionToZero
    from .attentive_eraser import AttentiveEraser
    from .casteer import CASteer
    from .cfg_pp import CfgPP
    from .context_map import FromFile
    from .fixed import Rewrite
    from .gie import GIE
    from .guidance_rules import CRG, ComposableNot, ContrastiveCFG, PerpNeg, Sega, Signed
    from .ledits import Ledits
    from .magic_remover import MagicRemover
    from .prompt_to_prompt import PromptToPrompt
    from .rece import RECE
    from .safree import SAFREE
    from .safree_word import SAFREEWord
    from .semantic_surgery import SemanticSurgery
    from .sld import SLD
    from .ssdv import SSDV
    from .stg import STG
    from .suppress_eot import SuppressEOT
    from .uce import UCE
    from .uce_word import UCEWord
    from .unread import Unread
    from .value_flip import ValueFlip
    from .variant import Variant

_MODULES = {
    "attention_guidance": ("NAG", "NASA", "ONG"),
    "attention_to_zero": ("AttentionToZero",),
    "attentive_eraser": ("AttentiveEraser",),
    "cfg_pp": ("CfgPP",),
    "adavd": ("AdaVD",),
    "adavd_word": ("AdaVDWord",),
    "context_map": ("FromFile",),
    "attend_and_excite": ("AttendAndExcite",),
    "casteer": ("CASteer",),
    "fixed": ("Rewrite",),
    "gie": ("GIE",),
    "guidance_rules": ("CRG", "ComposableNot", "ContrastiveCFG", "PerpNeg", "Sega", "Signed"),
    "ledits": ("Ledits",),
    "magic_remover": ("MagicRemover",),
    "prompt_to_prompt": ("PromptToPrompt",),
    "rece": ("RECE",),
    "safree": ("SAFREE",),
    "safree_word": ("SAFREEWord",),
    "semantic_surgery": ("SemanticSurgery",),
    "sld": ("SLD",),
    "ssdv": ("SSDV",),
    "stg": ("STG",),
    "suppress_eot": ("SuppressEOT",),
    "uce": ("UCE",),
    "uce_word": ("UCEWord",),
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
    "RECE",
    "SAFREE",
    "SLD",
    "SSDV",
    "STG",
    "UCE",
    "AdaVD",
    "AdaVDWord",
    "AttendAndExcite",
    "AttentionToZero",
    "AttentiveEraser",
    "CASteer",
    "CfgPP",
    "ComposableNot",
    "ContrastiveCFG",
    "FromFile",
    "Ledits",
    "MagicRemover",
    "PerpNeg",
    "PromptToPrompt",
    "Rewrite",
    "SAFREEWord",
    "Sega",
    "SemanticSurgery",
    "Signed",
    "SuppressEOT",
    "UCEWord",
    "Unread",
    "ValueFlip",
    "Variant",
    "check_removes",
    "describe_method",
    "describe_methods",
    "method_spec",
    "parse_method",
    "register",
]
