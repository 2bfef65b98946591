"""The methods, one file each."""

from .suppress_eot import SuppressEOT, suppress_eot

__all__ = ["SuppressEOT", "suppress_eot"]
