"""A function of tensors as a CUDA graph. It is recorded once, then replayed on new inputs without running Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UPS = 2  # in the first calls, libraries make handles and workspaces, which must not be recorded


class Captured:
    """Calls f on buffers with fixed addresses. Inputs are copied into the buffers, and outputs are copied out.

    f: tensors -> a tensor or a tuple of tensors. It must not synchronise. All calls must have the same shapes. On the
    CPU, f runs without a graph, on the same buffers.
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
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(WARM_UPS):
                self.f(*self.buffers)
        torch.cuda.current_stream().wait_stream(side_stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=self.pool):
            self.output = self.f(*self.buffers)
