"""A pickle read as data: no name that it holds is looked up, and no function is called.

A pickle is a small program for a machine with a stack, which puts objects together. Python's own machine calls what
the program names, so a checkpoint from a stranger can run anything. The machine here knows the instructions that
torch.save writes, and where the program calls a function it only notes which one, and with what.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

MOST = 2_000_000  # instructions of a pickle; SD v1.4's file with the trainer's state has some 10^5


class UnknownInstruction(ValueError):
    """An instruction that torch.save does not write."""


@dataclass(eq=False)
class Name:
    """A class or function that the pickle names, such as collections.OrderedDict."""

    name: str


@dataclass(eq=False)
class Call:
    """What a function or class would have made. `entries` and `state` were put into the object afterwards."""

    function: str
    args: tuple[Any, ...]
    entries: dict[str, Any] = field(default_factory=dict)
    state: Any = None


@dataclass(eq=False)
class Elsewhere:
    """Something that the file keeps outside the pickle: torch.save does so with the tensors' numbers."""

    place: Any


_VALUES = {"BINUNICODE", "BINSTRING", "SHORT_BINSTRING", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"}
_MAKES: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.elsewhere: list[Elsewhere] = []
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under each mark
        self._memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        stack = self.stack
        if opcode in _VALUES:
            stack.append(argument)
        elif opcode in _MAKES:
            stack.append(_MAKES[opcode]())
        elif opcode in _TUPLES:
            items = [stack.pop() for _ in range(_TUPLES[opcode])]
            stack.append(tuple(items[::-1]))
        elif opcode in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif opcode == "MARK":
            self._below.append(stack)
            self.stack = []
        elif opcode == "TUPLE":
            items = self._above_mark()
            self.stack.append(tuple(items))
        elif opcode in ("SETITEM", "APPEND"):
            items = [stack.pop() for _ in range(2 if opcode == "SETITEM" else 1)][::-1]
            self._fill(opcode, items)
        elif opcode in ("SETITEMS", "APPENDS"):
            self._fill(opcode.removesuffix("S"), self._above_mark())
        elif opcode == "GLOBAL":
            self.names.add(name := argument.replace(" ", "."))
            stack.append(Name(name))
        elif opcode in ("REDUCE", "NEWOBJ"):
            args, function = stack.pop(), stack.pop()
            if not isinstance(function, Name) or not isinstance(args, tuple):
                raise ValueError("a call of something that is no function")
            stack.append(Call(function.name, args))
        elif opcode == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], Call):
                raise ValueError("a state for something that has none")
            stack[-1].state = state
        elif opcode == "BINPERSID":
            stack.append(Elsewhere(stack.pop()))
            self.elsewhere.append(stack[-1])
        elif opcode not in ("PROTO", "STOP"):
            raise UnknownInstruction(opcode)

    def _above_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._below.pop()
        return items

    def _fill(self, opcode: str, items: list[Any]) -> None:
        """Into the list or mapping on top of the stack. Of a mapping, what has a text as its key is kept.

        A key is hashed: of a tuple in a tuple in … a million times, the interpreter would run out of stack.
        """
        target = self.stack[-1]
        if opcode == "APPEND":
            if isinstance(target, list):
                target += items
            elif not isinstance(target, Call):
                raise ValueError("an item for something that is no list")
            return
        if not isinstance(target, dict | Call) or len(items) % 2:
            raise ValueError("an entry for something that is no mapping")
        pairs = zip(items[::2], items[1::2], strict=True)
        entries(target).update({key: value for key, value in pairs if isinstance(key, str)})


class Pickle(NamedTuple):
    content: Any
    names: set[str]  # of all classes and functions
    elsewhere: list[Elsewhere]


def read(file: IO[bytes]) -> Pickle:
    """One pickle; the file stands behind it afterwards.

    Raises UnknownInstruction, or another ValueError, IndexError or KeyError if the pickle is damaged.
    """
    machine = _Machine()
    for count, (opcode, argument, _position) in enumerate(pickletools.genops(file)):
        if count > MOST:
            raise ValueError(f"a pickle of more than {MOST:,} instructions")
        machine.step(opcode.name, argument)
    return Pickle(machine.stack[-1], machine.names, machine.elsewhere)


def entries(value: Any) -> dict[str, Any]:
    """Of a dict, or of a class that is filled as a dict is. None of anything else."""
    found = value.entries if isinstance(value, Call) else value
    return found if isinstance(found, dict) else {}
