"""The ladder: from the loop as the authors' code has it, one technique per rung, each on top of those before it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from suppress import Plan
from suppress.engine.plan import CPU_TECHNIQUES

# none of the techniques: the baseline's passes, the losses as tensor operations
BARE = Plan(
    sdpa=False,
    early_exit=False,
    prefix_once=False,
    one_branch=False,
    shared_maps=False,
    ahead=False,
    one_batch=False,
    gram=False,
    ito_samples=1_000_000,
)


@dataclass(frozen=True)
class Rung:
    name: str
    plan: Plan | None  # None: the reference loop with maps at every site, as the authors' code has them
    dtype: torch.dtype = torch.float32


def ladder(device: str, dtype: torch.dtype, compiler: bool) -> list[Rung]:
    """The rungs for a device. dtype: a rung named after it lowers the weights to it; float32 has no such rung.

    CUDA graphs are a rung on CUDA only. compiler: adds the last rung, torch.compile.
    """
    techniques: list[tuple[str, dict]] = [
        ("losses as tensors", {}),
        ("fused attention", {"sdpa": True}),
        ("early exit", {"early_exit": True}),
        ("text-independent part once a step", {"prefix_once": True}),
        ("one branch before R", {"one_branch": True}),
        ("reference maps shared", {"shared_maps": True}),
        ("one batch", {"one_batch": True}),
        ("original a step ahead", {"ahead": True}),
        ("SWR once, by Gram matrix", {"gram": True}),
    ]
    if device == "cuda":
        techniques.append(("CUDA graphs", {"graph": True}))
    else:
        techniques += [
            ("packed weights", {"packed": True}),
            ("sliced feed-forward", {"sliced": True}),
            ("keys and values once", {"keys_once": True}),
            ("wide heads", {"wide_heads": True}),
            ("matrix products", {"products": True}),
            ("group norm by sums", {"norm_by_sums": True}),
            ("calls at the same time", {"at_once": True}),
        ]
    rungs, plan = [Rung("reference", None)], BARE
    for name, change in techniques:
        plan = replace(plan, **change)
        rungs.append(Rung(name, plan))
    if dtype != torch.float32:
        # before the rung of the graphs, because they record the kernels of one precision
        place = len(rungs) - (device == "cuda")
        rungs.insert(place, Rung(str(dtype).removeprefix("torch."), rungs[place - 1].plan))
        rungs = [replace(rung, dtype=dtype) if k >= place else rung for k, rung in enumerate(rungs)]
    if compiler:
        own_forms = dict.fromkeys(CPU_TECHNIQUES, False)
        plan = replace(plan, compile="inductor", channels_last=True, at_once=False, **own_forms)
        rungs.append(Rung("torch.compile", plan, rungs[-1].dtype))
    return rungs
