"""The methods, one file each, and their names on the command line. A method's file is imported when it is used."""

from typing import TYPE_CHECKING

from minisd.base.lazy import attributes

from .catalogue import DEFAULT, METHODS, describe_methods
from .names import method_spec, parse_method

if TYPE_CHECKING:
    from .base import Method, Prompt, Watch, two_branches
    from .suppress_eot import SuppressEOT
    from .unread import Unread
    from .variant import AttentionToZero, Rewrite, Variant

_MODULES = {
    "base": ("Method", "Prompt", "Watch", "two_branches"),
    "suppress_eot": ("SuppressEOT",),
    "unread": ("Unread",),
    "variant": ("AttentionToZero", "Rewrite", "Variant"),
}
__getattr__ = attributes(__name__, {name: module for module, names in _MODULES.items() for name in names})

__all__ = [
    "DEFAULT",
    "METHODS",
    "AttentionToZero",
    "Method",
    "Prompt",
    "Rewrite",
    "SuppressEOT",
    "Unread",
    "Variant",
    "Watch",
    "describe_methods",
    "method_spec",
    "parse_method",
    "two_branches",
]
