"""Whether one result of the bench is faster than another: `python -m bench compare A.json B.json`.

Machines, and hours on one machine, differ more than versions of the code do. So a rung's seconds in a round are divided
by those of the first rung in the same round, where both ran side by side. For each rung this gives

    ratio      median of A / median of B, of the divided seconds: above 1, B is faster
    noise      the ratio from its 10th to its 90th percentile, over all pairs of a round of A with a round of B
    verdict    better or worse, if chance alone would order the rounds so clearly in fewer than 5 % of cases (the rank
               test of Mann and Whitney 1947, exact and on both sides) and the ratio is 2 % off 1; else: cannot tell

With fewer than four rounds in each file no order is that rare. The first rung has nothing to be divided by; its plain
seconds are printed, to show how much the two machines or hours differ.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from minisd import UserError
from minisd.base.inputs import read_json
from minisd.cli import options

from .report import caption
from .timing import quantile

CHANCE = 0.05
SMALLEST = 0.02  # a smaller difference matters to nobody


def main(argv: Sequence[str]) -> int:
    p = argparse.ArgumentParser(prog="python -m bench compare", description="Is B faster than A?")
    p.add_argument("a", metavar="A.json", help="a file that python -m bench has written: before")
    p.add_argument("b", metavar="B.json", help="another one, of the same scenario: after")
    return options.run("python -m bench compare", _compare, options.parse(p, argv))


def _compare(args: argparse.Namespace) -> None:
    a, b = read(args.a), read(args.b)
    check_comparable(a, b)
    print(f"A: {caption(a)}\nB: {caption(b)}\n\n{markdown(a, b)}")


def read(name: str) -> dict[str, Any]:
    """The content of a result file. UserError if it is something else."""
    path = Path(name)
    if not path.is_file():
        raise UserError(f"{name} is not a file; expected a result of python -m bench, such as bench/results/*.json")
    data = read_json(path)
    try:
        caption(data)
        complete = all(rung["rung"] and len(rung["seconds"]) for rung in data["rungs"]) and bool(data["rungs"])
    except (KeyError, TypeError):
        complete = False
    if not complete:
        raise UserError(f"{name} is not a result of python -m bench: it has no machine, scenario and timed rungs")
    return data


def check_comparable(a: dict[str, Any], b: dict[str, Any]) -> None:
    """UserError if the files measured different jobs, or divide by different first rungs."""
    for what in ("model", "job", "batch"):
        if a["scenario"][what] != b["scenario"][what]:
            raise UserError(
                f"A has the {what} {a['scenario'][what]!r}, B has {b['scenario'][what]!r}; compare results of one job"
            )
    firsts = [data["rungs"][0]["rung"] for data in (a, b)]
    if firsts[0] != firsts[1]:
        raise UserError(f"the first rung is {firsts[0]!r} in A and {firsts[1]!r} in B; both must begin with the same")


def markdown(a: dict[str, Any], b: dict[str, Any]) -> str:
    """One line per rung that is in both files."""
    lines = ["|  | A, s | B, s | ratio | noise | verdict |", "|---" * 6 + "|"]
    theirs = {rung["rung"]: rung["seconds"] for rung in b["rungs"]}
    first_a, first_b = a["rungs"][0]["seconds"], b["rungs"][0]["seconds"]
    for k, rung in enumerate(a["rungs"]):
        name, seconds = rung["rung"], rung["seconds"]
        if name not in theirs:
            continue
        cells = [name, f"{quantile(seconds, 0.5):.2f}", f"{quantile(theirs[name], 0.5):.2f}"]
        if k == 0:
            cells += ["", "", "all others are divided by it"]
        else:
            x, y = divided(seconds, first_a), divided(theirs[name], first_b)
            low, high = noise(x, y)
            cells += [f"{ratio(x, y):.2f}", f"{low:.2f} to {high:.2f}", verdict(x, y)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def divided(seconds: Sequence[float], first: Sequence[float]) -> list[float]:
    """The seconds of each round, divided by those of the first rung."""
    return [own / base for own, base in zip(seconds, first, strict=True)]


def ratio(a: Sequence[float], b: Sequence[float]) -> float:
    """How many times faster b is, by medians."""
    return quantile(a, 0.5) / quantile(b, 0.5)


def noise(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """The 10th and 90th percentile of the ratio of one value of a to one of b."""
    ratios = [x / y for x, y in product(a, b)]
    return quantile(ratios, 0.1), quantile(ratios, 0.9)


def verdict(a: Sequence[float], b: Sequence[float]) -> str:
    """ "better" if b is faster, "worse" if it is slower, else "cannot tell"."""
    difference = ratio(a, b) - 1
    if abs(difference) < SMALLEST or by_chance(a, b) >= CHANCE:
        return "cannot tell"
    return "better" if difference > 0 else "worse"


def by_chance(a: Sequence[float], b: Sequence[float]) -> float:
    """The probability that equal distributions give ranks at least as far apart, on either side.

    U is the number of pairs in which a is the larger one (½ for equal values). Its mean is half the number of pairs.
    """
    u = sum((x > y) + 0.5 * (x == y) for x, y in product(a, b))
    counts, middle = orders(len(a), len(b)), len(a) * len(b) / 2
    far = sum(count for k, count in enumerate(counts) if abs(k - middle) >= abs(u - middle))
    return far / sum(counts)


@cache
def orders(m: int, n: int) -> tuple[int, ...]:
    """For U = 0 … m n, the number of orders of m and n values that have it.

    The largest value belongs to the m, and then it is larger than all n; or it belongs to the n, and adds nothing.
    """
    if m == 0 or n == 0:
        return (1,)
    counts = [0] * (m * n + 1)
    for u, count in enumerate(orders(m - 1, n)):
        counts[u + n] += count
    for u, count in enumerate(orders(m, n - 1)):
        counts[u] += count
    return tuple(counts)
