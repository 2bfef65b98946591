"""Which techniques the fast loop uses. Each changes how the loop runs, none what it computes, beyond rounding.

`python -m bench` adds them one by one and measures each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from minisd import UserError

if TYPE_CHECKING:
    from minisd import StableDiffusion

    from .fast import Fast

ENGINES = ("reference", "fast", "compiled")


@dataclass(frozen=True)
class Plan:
    """The first eight are for every machine; the rest suits one kind of hardware or another.

    All off, it is the reference's passes with the losses in tensor operations instead of loops. Half precision is none
    of them: the dtype is the user's choice when the model is loaded.
    """

    sdpa: bool = True  # fused attention at every site whose maps nobody reads
    early_exit: bool = True  # ITO's passes, forward and so backward, end at the last layer whose maps the loss reads
    one_head: bool = True  # what ITO's passes of a step do before they meet the text: once
    one_branch: bool = True  # before step R the branches are equal: one of them is drawn
    shared_maps: bool = True  # the reference maps come out of the original branch's own pass
    ahead: bool = True  # with shared maps, the original runs a step ahead in ITO: one batch with the suppressed
    one_batch: bool = True  # with and without the prompt, original and suppressed: one UNet call
    gram: bool = True  # SWR once a run, on the Gram matrix (suppress/gram.py), and not an SVD every step
    packed: bool = False  # a CPU's float32 weights arranged once for its vectors, in copies of their own (packed.py)
    sliced: bool = False  # feed-forward layers a slice of the pixels at a time, which stays in a CPU's cache (cpu.py)
    channels_last: bool = False  # memory layout of the UNet's weights: tensor cores want it, once compiled
    graph: bool = False  # UNet calls, and all iterations of a step's ITO, as CUDA graphs: no Python, no launches
    compile: str | None = None  # torch.compile's backend, e.g. "inductor"
    micro: int | None = None  # samples in ITO at once; None: what fits into the GPU's free memory, 4 on a CPU

    def __post_init__(self) -> None:
        if self.micro is not None and self.micro < 1:
            raise UserError(f"micro = {self.micro!r}; expected a whole number, 1 or more")
        if self.packed and self.compile:
            raise UserError(
                "packed=True, compile=…: expected one of them, as torch.compile arranges the weights itself"
            )


def fast_plan(device: torch.device) -> Plan:
    """What pays for a single run, without a compiler."""
    return Plan(graph=device.type == "cuda", packed=device.type == "cpu", sliced=device.type == "cpu")


def compiled_plan(device: torch.device) -> Plan:
    """Everything: for many runs of one size, as the first waits a minute or more for the compiler."""
    return Plan(graph=device.type == "cuda", channels_last=True, compile="inductor")


def find_engine(sd: StableDiffusion, engine: str | Fast | None) -> Fast | None:
    """An engine by name, None standing for "fast"; the reference is no engine, but the plain loop: None."""
    from .fast import Fast

    if isinstance(engine, Fast):
        if engine.sd is not sd:
            raise UserError("this engine was made for another model; make one with Fast(sd)")
        return engine
    if engine not in (None, *ENGINES):
        raise UserError(f"engine = {engine!r}; expected one of {', '.join(ENGINES)}, or a suppress.Fast")
    if engine == "reference":
        return None
    return Fast(sd, (compiled_plan if engine == "compiled" else fast_plan)(sd.device))
