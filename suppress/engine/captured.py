"""A function of tensors as a CUDA graph: recorded once, then replayed on new contents without Python and launches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UPS = 2  # libraries make their handles and workspaces in the first calls, which a recording must not contain


class Captured:
    """f on buffers that stay where they are. Inputs are copied into them, outputs are copied out.

    f: tensors -> a tensor or a tuple of them, no synchronisation inside. All calls must have the shapes of the first.
    On the CPU f runs as it is, on the same buffers.
    """

    def __init__(self, f: Callable[..., Any], pool: Any = None):
        self.f, self.pool = f, pool
        self.buffers: list[Tensor] = []
        self.graph: torch.cuda.CUDAGraph | None = None
        self.output: Any = None

    def __call__(self, *inputs: Tensor) -> Any:
        if not self.buffers:
            self.buffers = [x.clone() for x in inputs]
            if inputs[0].is_cuda:
                self._record()
        for buffer, new in zip(self.buffers, inputs, strict=True):
            buffer.copy_(new)
        if self.graph is None:
            return self.f(*self.buffers)
        self.graph.replay()
        return self.output.clone() if isinstance(self.output, Tensor) else tuple(x.clone() for x in self.output)

    def _record(self) -> None:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                self.f(*self.buffers)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=self.pool):
            self.output = self.f(*self.buffers)
