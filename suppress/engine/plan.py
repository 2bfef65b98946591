"""The techniques of the fast loop. They change how the loop runs, but not what it computes, except for rounding.

`python -m bench` adds them one by one and measures each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

from minisd import UserError
from minisd.base.arguments import plain, shown, whole_number

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from minisd import StableDiffusion

    from ..loop import Branches, Watch
    from ..prompt import Prompt
    from ..protocol import Method, Start

ENGINES = ("reference", "fast", "compiled")
# backends that every PyTorch has; asking PyTorch for all of them takes seconds
BACKENDS = ("inductor", "eager", "aot_eager", "cudagraphs")
# the fields of `Plan` that replace layers of the UNet (cpu.py)
CPU_TECHNIQUES = ("packed", "sliced", "keys_once", "wide_heads", "products", "norm_by_sums")


@dataclass(frozen=True)
class Plan:
    """Which techniques an engine uses. The first eight help on every machine; the others suit some hardware.

    With all techniques off, the passes are those of the reference loop, and the losses are tensor operations instead of
    loops. Half precision is not a technique here: the user chooses the dtype when loading the model.
    """

    sdpa: bool = True  # fused attention at every site whose maps are not read
    early_exit: bool = True  # ITO's passes, forward and backward, leave out the layers after the last maps of the loss
    prefix_once: bool = True  # the part of ITO's passes that does not depend on the text is computed once per step
    one_branch: bool = True  # before step R the branches are equal, so only one is drawn
    shared_maps: bool = True  # the reference maps come from the original branch's own pass
    # with shared_maps, in ITO, the original runs one step ahead and is in one batch with the edited branch
    ahead: bool = True
    one_batch: bool = True  # one UNet call for the passes with and without the prompt, of both branches
    gram: bool = True  # SWR of all prompts at once, on the Gram matrix (suppress/engine/gram.py) instead of by SVD
    packed: bool = False  # float32 weights on a CPU are copied once into the layout of its vectors (packed.py)
    sliced: bool = False  # feed-forward layers run on slices of the pixels, which stay in a CPU's cache (cpu.py)
    # the next four: for float32 weights on a CPU
    keys_once: bool = False  # keys and values of contexts that stay the same are computed once (attention.py)
    wide_heads: bool = False  # fused attention gets narrow heads filled up with zeros (attention.py)
    products: bool = False  # convolutions of one pixel, and q, k and v together, are matrix products (cpu.py)
    norm_by_sums: bool = False  # group norms of large batches in the channels-last layout (cpu.py)
    # on a CPU, calls that need nothing of each other run at the same time, on a share of the threads each (threads.py)
    at_once: bool = False
    channels_last: bool = False  # the memory layout of the UNet's weights that tensor cores need, if compiled
    graph: bool = False  # UNet calls, and all iterations of a step's ITO, are CUDA graphs: no Python, no launches
    # the backend of torch.compile: its name, e.g. "inductor", or a function
    compile: str | Callable[..., Any] | None = None
    # how many samples ITO takes at once; None: as many as fit into the GPU's free memory, 4 on a CPU
    ito_samples: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = plain(getattr(self, field.name))
            object.__setattr__(self, field.name, value)
            if isinstance(field.default, bool) and not isinstance(value, bool):
                raise UserError(f"{field.name} = {shown(value)}; expected True or False")
        if self.ito_samples is not None:
            whole_number("ito_samples", self.ito_samples, 1)
        check_backend(self.compile)
        for name in (*CPU_TECHNIQUES, "at_once") if self.compile else ():
            if getattr(self, name) and name != "sliced":
                raise UserError(f"{name}=True, compile=…: expected one of them; torch.compile has forms of its own")


def check_backend(backend: Any) -> None:
    """UserError, with the list of backends, if torch.compile cannot use it. PyTorch's own error comes minutes later."""
    if backend is None or callable(backend) or (isinstance(backend, str) and backend in BACKENDS):
        return
    import torch

    if not isinstance(backend, str) or backend not in torch.compiler.list_backends(exclude_tags=()):
        known = ", ".join(sorted({*BACKENDS, *torch.compiler.list_backends()}))
        raise UserError(f"compile = {shown(backend)}; expected a backend of torch.compile, one of {known}, or None")


def fast_plan(device: torch.device) -> Plan:
    """The techniques that make a single run faster, without a compiler."""
    on_cpu: dict[str, Any] = dict.fromkeys((*CPU_TECHNIQUES, "at_once"), device.type == "cpu")
    return Plan(graph=device.type == "cuda", **on_cpu)


def compiled_plan(device: torch.device) -> Plan:
    """For many runs of one size. The first run waits a minute or more for the compiler."""
    return Plan(graph=device.type == "cuda", channels_last=True, compile="inductor")


class Engine(Protocol):
    """The interface of `Fast` and `Reference`."""

    sd: StableDiffusion

    def two_branches(
        self, prompts: Sequence[Prompt], start: Start, settings: Method, watch: Watch | None = None
    ) -> Branches: ...

    def noise(self, z: Tensor, t: int, ctx: Tensor) -> Tensor: ...

    def decode(self, z: Tensor) -> Tensor: ...


def find_engine(sd: StableDiffusion, engine: str | Engine | None) -> Engine:
    """The engine of this name; None means "fast". An engine that was made for this model is returned unchanged."""
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
