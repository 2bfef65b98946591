"""Which techniques the fast loop uses. Each changes how the loop runs, none what it computes, beyond rounding.

`python -m bench` adds them one by one and measures each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

from minisd import UserError
from minisd.base.arguments import plain, shown, whole_number

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from minisd import StableDiffusion

    from ..loop import Watch
    from ..prompt import Prompt
    from ..protocol import Method, Start

ENGINES = ("reference", "fast", "compiled")
# backends that every PyTorch has; the list of all takes seconds to import
BACKENDS = ("inductor", "eager", "aot_eager", "cudagraphs")


@dataclass(frozen=True)
class Plan:
    """The first eight are for every machine; the rest suits one kind of hardware or another.

    All off, it is the reference's passes with the losses in tensor operations instead of loops. Half precision is none
    of them: the dtype is the user's choice when the model is loaded.
    """

    sdpa: bool = True  # fused attention at every site whose maps nobody reads
    early_exit: bool = True  # ITO's passes, forward and so backward, end at the last layer whose maps the loss reads
    prefix_once: bool = True  # the text-independent part of ITO's passes: once a step
    one_branch: bool = True  # before step R the branches are equal: one of them is drawn
    shared_maps: bool = True  # the reference maps come out of the original branch's own pass
    ahead: bool = True  # with shared maps, the original runs a step ahead in ITO: one batch with the suppressed
    one_batch: bool = True  # with and without the prompt, original and suppressed: one UNet call
    gram: bool = True  # SWR once a run, on the Gram matrix (suppress/engine/gram.py), and not an SVD every step
    packed: bool = False  # a CPU's float32 weights arranged once for its vectors, in copies of their own (packed.py)
    sliced: bool = False  # feed-forward layers a slice of the pixels at a time, which stays in a CPU's cache (cpu.py)
    channels_last: bool = False  # memory layout of the UNet's weights: tensor cores want it, once compiled
    graph: bool = False  # UNet calls, and all iterations of a step's ITO, as CUDA graphs: no Python, no launches
    compile: str | Callable[..., Any] | None = (
        None  # torch.compile's backend, e.g. "inductor", or a function that is one
    )
    ito_samples: int | None = None  # samples in ITO at once; None: what fits into the GPU's free memory, 4 on a CPU

    def __post_init__(self) -> None:
        for field in fields(self):
            value = plain(getattr(self, field.name))
            object.__setattr__(self, field.name, value)
            if isinstance(field.default, bool) and not isinstance(value, bool):
                raise UserError(f"{field.name} = {shown(value)}; expected True or False")
        if self.ito_samples is not None:
            whole_number("ito_samples", self.ito_samples, 1)
        check_backend(self.compile)
        if self.packed and self.compile:
            raise UserError(
                "packed=True, compile=…: expected one of them, as torch.compile arranges the weights itself"
            )


def check_backend(backend: Any) -> None:
    """UserError, with those that there are, for what torch.compile could not use; its own comes minutes later."""
    if backend is None or callable(backend) or (isinstance(backend, str) and backend in BACKENDS):
        return
    import torch

    if not isinstance(backend, str) or backend not in torch.compiler.list_backends(exclude_tags=()):
        known = ", ".join(sorted({*BACKENDS, *torch.compiler.list_backends()}))
        raise UserError(f"compile = {shown(backend)}; expected a backend of torch.compile, one of {known}, or None")


def fast_plan(device: torch.device) -> Plan:
    """What pays for a single run, without a compiler."""
    return Plan(graph=device.type == "cuda", packed=device.type == "cpu", sliced=device.type == "cpu")


def compiled_plan(device: torch.device) -> Plan:
    """Everything: for many runs of one size, as the first waits a minute or more for the compiler."""
    return Plan(graph=device.type == "cuda", channels_last=True, compile="inductor")


class Engine(Protocol):
    """What `Fast` and `Reference` have in common."""

    sd: StableDiffusion

    def two_branches(
        self, prompts: Sequence[Prompt], start: Start, settings: Method, watch: Watch | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]: ...

    def decode(self, z: Tensor) -> Tensor: ...


def find_engine(sd: StableDiffusion, engine: str | Engine | None) -> Engine:
    """An engine by its name, None standing for "fast"; an engine of this model stays what it is."""
    from minisd.pipeline import check_model

    from .fast import Fast
    from .reference import Reference

    check_model(sd)
    if isinstance(engine, Fast | Reference):
        if engine.sd is not sd:
            raise UserError("this engine was made for another model; make one with Fast(sd)")
        return engine
    if engine is not None and not (isinstance(engine, str) and engine in ENGINES):
        raise UserError(f"engine = {shown(engine)}; expected one of {', '.join(ENGINES)}, or a suppress.Fast")
    if engine == "reference":
        return Reference(sd)
    return Fast(sd, (compiled_plan if engine == "compiled" else fast_plan)(sd.device))
