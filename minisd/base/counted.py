"""A number before its noun: 1 picture, 2 pictures."""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    """ "1 picture", "2 pictures". several: the noun after other numbers than 1, if it is not `one` with an s."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"
