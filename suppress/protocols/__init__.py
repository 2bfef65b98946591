"""The papers' tables as protocols: prompts or pictures, rows, and the paper's own figures beside ours.

`suppress eval --protocol NAME` measures one. The prompts are those of the drawn world, because the embedded model knows
nothing else: they ask the same question as the paper's, on a small model. So its figures are about the embedded model,
and the paper's about SD v1.4; no protocol was run on SD v1.4 so far.
"""

from __future__ import annotations

from .gie import GIE
from .magic_remover import MAGIC_REMOVER
from .protocol import PictureProtocol, Protocol
from .suppress_eot import SUPPRESS_EOT
from .suppress_eot_pictures import SUPPRESS_EOT_PICTURES
from .world import WORLD

__all__ = ["PICTURE_PROTOCOLS", "PROTOCOLS", "PictureProtocol", "Protocol"]

PROTOCOLS = {protocol.name: protocol for protocol in (*SUPPRESS_EOT, *GIE, *WORLD)}  # of prompts
PICTURE_PROTOCOLS = {protocol.name: protocol for protocol in (*SUPPRESS_EOT_PICTURES, *MAGIC_REMOVER)}
