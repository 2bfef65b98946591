"""The methods, one file each, and their names on the command line."""

from .base import Method, Prompt, Watch, two_branches
from .names import DEFAULT, METHODS, describe_methods, parse_method
from .suppress_eot import SuppressEOT
from .unread import Unread
from .variant import AttentionToZero, Rewrite, Variant

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
    "parse_method",
    "two_branches",
]
