"""`--on ray`: each cell is a task on a Ray cluster (https://docs.ray.io), or on a Ray that is started on this machine.
With --batch, a task is a batch of cells.

This process gives out the cells and is the only one that writes the file. Ray runs a task again whose worker or machine
has died, and shares a GPU among tasks that need a part of it. A worker loads the model for its first cell and keeps it.
The machines of a cluster need this package, and at the same place the pictures and the detector of a user.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from minisd import UserError

from .cells import Cell
from .fit import Making
from .jobs import TRIES, Group, Job
from .plan import Plan, answers, scores_in

LOCAL = "ray"


def on_ray(
    plan: Plan, address: str, gpus: float, making: Making, groups: Sequence[Group]
) -> Iterator[tuple[Job, Cell | None]]:
    """The jobs with their scores, in the order in which they are finished; None: its worker died `TRIES` times.

    address: "ray", for the cluster that the variable RAY_ADDRESS names, or one that runs on this machine, or else a Ray
    that is started for this run; or "ray://host:port" of a cluster. gpus: the part of a GPU that a cell needs, or
    several; 0: the CPU is used.
    UserError without Ray, without that cluster, and if a worker has other code or weights.
    """
    if not groups:
        return
    ray = _connected(address)
    try:
        _check_gpus(gpus, ray.cluster_resources())
        task = ray.remote(answers).options(num_cpus=1, num_gpus=gpus, max_retries=TRIES - 1)
        shared = ray.put(plan)
        device = "cuda" if gpus else "cpu"
        running = {task.remote(shared, device, [job.key for job in group]): group for group in groups}
        while running:
            [finished], _ = ray.wait(list(running), num_returns=1)
            group = running.pop(finished)
            try:
                found = ray.get(finished)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError):
                yield from ((job, None) for job in group)
            except ray.exceptions.RayError as error:
                if "No module named" not in str(error):
                    raise
                raise UserError(f"a worker lacks a module: {_last_line(error)}; install it on all machines") from None
            else:
                yield from ((job, scores_in(each, making)) for job, each in zip(group, found, strict=True))
    finally:
        ray.shutdown()


def _check_gpus(gpus: float, resources: Mapping[str, float]) -> None:
    """Warns if the cells would wait. They may not wait for ever: a cluster may start machines with GPUs when asked."""
    present = resources.get("GPU", 0)
    if gpus > present:
        warnings.warn(
            f"--gpus {gpus:g} is more than this Ray has now, {present:g}: cells wait until it has more (Ctrl-C stops)",
            stacklevel=2,
        )


def _connected(address: str) -> Any:
    """The module `ray`, connected."""
    try:
        import ray
    except ImportError:
        raise UserError(f'--on {address} needs Ray: pip install "minisd[cluster]"') from None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
    options |= {"include_dashboard": False} if address == LOCAL else {"address": address}
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"--on {address}: no Ray answers there ({_last_line(error)}); check the address, or start it"
        ) from None
    return ray


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[-1].strip()
