"""Reads a pickle as data: no function or class that it names is looked up or called.

A pickle is a small program for a machine with a stack, which builds objects. Python's machine calls the functions that
the program names, so a stranger's checkpoint can run anything. The machine here knows only the instructions that
torch.save writes. Instead of calling a function, it notes the function's name and its arguments.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

MOST = 2_000_000  # instructions of a pickle; SD v1.4's file with the state of its training has about 10^5


class UnknownInstruction(ValueError):
    """An instruction that torch.save does not write."""


@dataclass(eq=False)
class Name:
    """A class or function that the pickle names, such as collections.OrderedDict."""

    name: str


@dataclass(eq=False)
class Call:
    """The object that a function or class would have made. `entries` and `state` were added to it later."""

    function: str
    args: tuple[Any, ...]
    entries: dict[str, Any] = field(default_factory=dict)
    state: Any = None


@dataclass(eq=False)
class Elsewhere:
    """A reference to something outside the pickle: torch.save stores the numbers of tensors there."""

    reference: Any


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
        self._below: list[list[Any]] = []  # the stack under each mark
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
                raise ValueError("a call of something that is not a function")
            stack.append(Call(function.name, args))
        elif opcode == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], Call):
                raise ValueError("a state for something that cannot have one")
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
        """Adds items to the list or mapping on top of the stack. In a mapping, only entries with a string as key count.

        Other keys are dropped before they are hashed: a million nested tuples would overflow the interpreter's stack.
        """
        target = self.stack[-1]
        if opcode == "APPEND":
            if isinstance(target, list):
                target += items
            elif not isinstance(target, Call):
                raise ValueError("an item for something that is not a list")
            return
        if not isinstance(target, dict | Call) or len(items) % 2:
            raise ValueError("an entry for something that is not a mapping")
        pairs = zip(items[::2], items[1::2], strict=True)
        entries(target).update({key: value for key, value in pairs if isinstance(key, str)})


class Pickle(NamedTuple):
    content: Any
    names: set[str]  # of all classes and functions in it
    elsewhere: list[Elsewhere]


def read(file: IO[bytes]) -> Pickle:
    """Reads one pickle; the file's position is then after it.

    UnknownInstruction, or another ValueError, IndexError or KeyError, if the pickle is damaged.
    """
    machine = _Machine()
    for count, (opcode, argument, _position) in enumerate(pickletools.genops(file)):
        if count > MOST:
            raise ValueError(f"a pickle of more than {MOST:,} instructions")
        machine.step(opcode.name, argument)
    return Pickle(machine.stack[-1], machine.names, machine.elsewhere)


def entries(value: Any) -> dict[str, Any]:
    """The entries of a dict, or of an object that is filled like a dict. Empty for anything else."""
    found = value.entries if isinstance(value, Call) else value
    return found if isinstance(found, dict) else {}
