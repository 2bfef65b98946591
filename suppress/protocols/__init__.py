"""The papers' tables as protocols, one file a paper: prompts, rows, and the paper's own figures beside ours.

`suppress eval --protocol NAME` measures one. The prompts are those of the drawn world, because the embedded model knows
nothing else: they ask the same question as the paper's, on a small model. So its figures are about the embedded model,
and the paper's about SD v1.4; no protocol was run on SD v1.4 so far.
"""

from __future__ import annotations

from collections.abc import Iterable

from .gie import GIE
from .protocol import Protocol
from .suppress_eot import SUPPRESS_EOT
from .world import WORLD


def _by_name(protocols: Iterable[Protocol]) -> dict[str, Protocol]:
    return {protocol.name: protocol for protocol in protocols}


PROTOCOLS = _by_name((*SUPPRESS_EOT, *GIE, *WORLD))
