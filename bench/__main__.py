"""How fast the optimisation loop is, and why: `python -m bench` climbs the ladder and prints one line per rung.

python -m bench                                   # the embedded model, on whatever machine this is
python -m bench --fake-weights --dtype bf16       # SD v1.4's shape at 512², random weights
python -m bench --model path/to/sd-v1-4 --job 200 --batch 1 4 16
python -m bench --top 20 --flame run.html         # and where the last rung's time goes
python -m bench compare A.json B.json             # is B faster than A, or is it noise?
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from minisd import UserError
from minisd.cli import options

from . import compare, look, report
from .ladder import Rung, ladder
from .roofline import job_flops, matrix_peak
from .scenario import JOBS, Scenario
from .timing import Runner, profiled


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["compare"]:
        return compare.main(argv[1:])
    p = argparse.ArgumentParser(prog="python -m bench", description="The optimisation loop, rung by rung.")
    p.add_argument("--model", default="tiny", help="tiny (default), or what minisd.load takes")
    p.add_argument(
        "--fake-weights", action="store_true", help="SD v1.4's shape with random weights, instead of a model"
    )
    p.add_argument("--job", choices=JOBS, default="bench", help="bench (default), 200 iterations, SWR alone, or Unread")
    p.add_argument(
        "--batch", type=int, nargs="+", default=[1], help="pictures at once; several values: one ladder for each"
    )
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    p.add_argument("--dtype", choices=options.DTYPES, default="fp32", help="of the rung that lowers the precision")
    p.add_argument("--compile", action="store_true", help="add the last rung, torch.compile")
    p.add_argument("--rungs", metavar="NAME", nargs="+", help="only the reference and these rungs, by their names")
    p.add_argument("--repeats", type=int, default=5, help="timed runs per rung, after one untimed run (default 5)")
    p.add_argument("--profile", metavar="FILE.json", help="a Chrome trace of a job on the last rung")
    p.add_argument(
        "--top", metavar="N", type=int, help="the N operators on which a job on the last rung spends most time"
    )
    p.add_argument("--flame", metavar="FILE.html", help="a flame graph of a job on the last rung")
    p.add_argument("--plot", metavar="FILE.png", help="the ladder as a picture")
    p.add_argument(
        "--out", metavar="FOLDER", default=str(report.RESULTS), help="folder of the JSON file (default bench/results)"
    )
    return options.run("python -m bench", _bench, options.parse(p, argv))


def _bench(args: argparse.Namespace) -> None:
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("this machine has no CUDA device; --device cpu measures the CPU, and says so")
    if args.repeats < 1 or min(args.batch) < 1:
        raise UserError(f"--repeats {args.repeats}, --batch {args.batch}: expected 1 or more")
    if args.top is not None and args.top < 1:
        raise UserError(f"--top {args.top}: expected 1 or more operators")
    look.check_flame(args.flame)
    dtype = getattr(torch, options.DTYPES[args.dtype])
    rungs = _chosen(ladder(args.device, dtype, args.compile), args.rungs)
    for batch in args.batch:
        scenario = Scenario("fake-sd14" if args.fake_weights else args.model, args.job, batch, args.device)
        runners, data = climb(scenario, rungs, args.repeats)
        print(f"{report.caption(data)}\n\n{report.markdown(data)}\n\n{report.write(data, Path(args.out))}")
        if args.plot:
            print(report.plot(data, Path(args.plot)))
        _look(runners[-1], args)


def _look(runner: Runner, args: argparse.Namespace) -> None:
    """Prints and writes what the options ask about the job on the last rung."""
    if args.top or args.profile:
        profile = profiled(runner)
        if args.profile:
            profile.export_chrome_trace(args.profile)
        if args.top:
            print(f"\n{runner.rung.name}, by operators\n\n{look.operators(profile, args.top, args.device == 'cuda')}")
    if args.flame:
        print(look.flame(runner, Path(args.flame)))


def _chosen(rungs: list[Rung], names: list[str] | None) -> list[Rung]:
    known = [rung.name for rung in rungs]
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise UserError(f"no rung {', '.join(unknown)}; there is {', '.join(known)}")
    return [rung for k, rung in enumerate(rungs) if k == 0 or not names or rung.name in names]


def climb(scenario: Scenario, rungs: list[Rung], repeats: int) -> tuple[list[Runner], dict]:
    """Measures all rungs in one process. Each round runs every rung once, so a slow machine slows them all."""
    runners = [Runner(scenario.load(rung.dtype), scenario, rung) for rung in rungs]
    device = runners[0].sd.device
    results = [runner.start() for runner in tqdm(runners, desc="first runs", unit="rung", disable=None)]
    for _ in tqdm(range(repeats), desc="timed rounds", unit="round", disable=None):
        for runner in runners:
            runner.again()
    peaks = {str(d).removeprefix("torch."): matrix_peak(device, d) for d in {rung.dtype for rung in rungs}}
    measured = [
        (runner.figures(results[0], result), job_flops(runner.sd, scenario, runner.rung.plan))
        for runner, result in zip(runners, results, strict=True)
    ]
    return runners, report.content(report.machine(device), scenario, measured, peaks)


if __name__ == "__main__":
    raise SystemExit(main())
