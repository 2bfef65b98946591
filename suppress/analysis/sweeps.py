"""One setting of SuppressEOT over its range, all else the checkpoint's: γ, K, R, and ITO's stop and iterations."""

from __future__ import annotations

from collections.abc import Sequence

from ..edits.spectrum import soft_weight
from ..edits.variants import zero_bottom, zero_top
from ..job import run
from ..methods import SuppressEOT
from .findings import Findings, Panel, gather, score
from .study import Study

# the paper gives no values for Fig. 16; singular values reach from 0.1 to some 100: these tell them apart
GAMMAS = (0, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3)
TOP = (1, 2, 4)  # Fig. 4 has 2
LEFT = (1, 3, 9)  # bottom-K counted from the other end; Fig. 4's K = 70 leaves 3 of 73
STARTS = (0, 0.04, 0.1, 0.2, 0.3, 0.5, 1)  # shares of the steps; .2 is the authors' R, 1 is the original
# (share of the steps at which ITO stops, gradient steps at each): Fig. 8 varies one and then the other
ITO = ((0.4, 5), (0.4, 10), (0.4, 20), (0.6, 10), (1, 10))


def gamma(study: Study, gammas: Sequence[float] = GAMMAS) -> Findings:
    """SWR with σ̂ = σ e^(-γσ) for several γ (Fig. 16): 0 is the original, a large one zeroes the rows."""
    ctxs = [soft_weight(study.prompt.ctx, study.rows, value) for value in gammas]
    drawn = study.draw(ctxs, study.settings.first)
    panels = [score(study, f"γ = {g:g}", {"gamma": g}, p) for g, p in zip(gammas, drawn, strict=True)]
    return gather(study, panels, [_from(study)])


def spectrum(study: Study, top: Sequence[int] = TOP, left: Sequence[int] = LEFT) -> Findings:
    """Zeros for the K largest singular values of χ, or for all but a few of the largest (Fig. 4)."""
    ctx, rows = study.prompt.ctx, study.rows
    count = min(len(rows), ctx.shape[-1])
    zeroed = [("top", k) for k in top if k <= count] + [("bottom", count - k) for k in left if k < count]
    ctxs = [ctx, *(zero_top(ctx, rows, k) if end == "top" else zero_bottom(ctx, rows, k) for end, k in zeroed)]
    settings = [("nothing", 0), *zeroed]
    panels = [
        score(study, f"{end} {k} zeroed" if k else "original", {"zeroed": end, "k": k, "of": count}, pictures)
        for (end, k), pictures in zip(settings, study.draw(ctxs, study.settings.first), strict=True)
    ]
    return gather(study, panels, [_from(study), f"χ has {count} singular values"])


def start(study: Study, starts: Sequence[float] = STARTS) -> Findings:
    """SWR from several steps R on, the checkpoint's own among them; R after the last step is the original."""
    steps = study.settings.steps
    firsts = sorted({round(share * steps) for share in starts} | {study.settings.first})
    panels = []
    for first in firsts:
        [pictures] = study.draw([study.weighted], first)
        own = " (default)" if first == study.settings.first else ""
        panels.append(score(study, f"R = {first}{own}", {"start": first, "steps": steps}, pictures))
    return gather(study, panels, [f"SWR with γ = {study.settings.gamma:g}"])


def stop(study: Study, settings: Sequence[tuple[float, int]] = ITO) -> Findings:
    """ITO's last step and its iterations (Fig. 8), in the authors' code's form; beside it SWR alone.

    R is the checkpoint's own. After the stop SWR's context goes on, as in the code; the figure's caption has the
    original's there (`SuppressEOT(after="original")`).
    """
    s = study.settings
    swr, own = study.weighted, s.first
    panels = [
        score(study, "original", {"stop": 0, "iterations": 0, "method": "original"}, study.originals),
        score(study, "SWR", {"stop": own, "iterations": 0, "method": "swr"}, study.draw([swr], own)[0]),
    ]
    for share, iterations in settings:
        last = round(share * s.steps)
        if last <= own:  # no step is left between R and the stop: SWR again
            continue
        panels.append(_ito(study, last, iterations))
    return gather(study, panels, [_from(study)])


def _ito(study: Study, last: int, iterations: int) -> Panel:
    s = study.settings
    official = SuppressEOT.official(
        steps=s.steps, guidance=s.guidance, gamma=s.gamma, start=s.first, stop=last, iterations=iterations
    )
    result = run(
        study.sd,
        study.prompt.text,
        study.prompt.request,
        seed=study.seeds,
        settings=official,
        batch_size=study.batch_size,
        progress=study.progress,
    )
    assert isinstance(result.image, list)
    setting = {"stop": last, "iterations": iterations, "method": "swr+ito"}
    return score(study, f"{iterations} × to step {last}", setting, result.image)


def _from(study: Study) -> str:
    return f"from step R = {study.settings.first} of {study.settings.steps}"
