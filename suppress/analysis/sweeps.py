"""One setting of SuppressEOT takes several values, the others stay: γ, K, R, and ITO's stop and iterations."""

from __future__ import annotations

from collections.abc import Sequence

from minisd.base.counted import counted

from ..edits.spectrum import soft_weight, zero_bottom, zero_top
from ..job import run
from ..methods import SuppressEOT
from .findings import Findings, Panel, gather, score
from .study import Study

# The paper gives no values for Fig. 16. Singular values lie between 0.1 and about 100, where these γ differ visibly.
GAMMAS = (0, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3)
TOP = (1, 2, 4)  # how many of the largest values become 0; Fig. 4 has 2
KEPT = (1, 3, 9)  # how many of the largest values stay; Fig. 4's bottom-K with K = 70 keeps 3 of 73
STARTS = (0, 0.04, 0.1, 0.2, 0.3, 0.5, 1)  # R as a fraction of the steps; .2 is the authors' R, 1 is the original
# (the fraction of the steps at which ITO stops, gradient steps at each step): Fig. 8 varies one, then the other
ITO = ((0.4, 5), (0.4, 10), (0.4, 20), (0.6, 10), (1, 10))


def gamma(study: Study, gammas: Sequence[float] = GAMMAS) -> Findings:
    """SWR, σ̂ = σ e^(-γσ), with several γ (Fig. 16): γ = 0 is the original, a large γ makes the rows zero."""
    ctxs = [soft_weight(study.prompt.ctx, study.rows, value) for value in gammas]
    drawn = study.draw(ctxs, study.settings.start_step)
    panels = [score(study, f"γ = {g:g}", {"gamma": g}, p) for g, p in zip(gammas, drawn, strict=True)]
    return gather(study, panels, [_from(study)])


def spectrum(study: Study, top: Sequence[int] = TOP, kept: Sequence[int] = KEPT) -> Findings:
    """Zeros in place of the K largest singular values of χ, or of the K smallest (Fig. 4)."""
    ctx, rows = study.prompt.ctx, study.rows
    count = min(len(rows), ctx.shape[-1])
    zeroed = [("top", k) for k in top if k <= count] + [("bottom", count - k) for k in kept if k < count]
    ctxs = [ctx, *(zero_top(ctx, rows, k) if end == "top" else zero_bottom(ctx, rows, k) for end, k in zeroed)]
    settings = [("nothing", 0), *zeroed]
    panels = [
        score(study, f"{end} {k} zeroed" if k else "original", {"zeroed": end, "k": k, "of": count}, pictures)
        for (end, k), pictures in zip(settings, study.draw(ctxs, study.settings.start_step), strict=True)
    ]
    return gather(study, panels, [_from(study), f"χ has {counted(count, 'singular value')}"])


def start(study: Study, starts: Sequence[float] = STARTS) -> Findings:
    """SWR from several steps R on, among them the checkpoint's own R. An R after the last step is the original."""
    steps = study.settings.steps
    start_steps = sorted({round(fraction * steps) for fraction in starts} | {study.settings.start_step})
    panels = []
    for step in start_steps:
        [pictures] = study.draw([study.weighted], step)
        own = " (default)" if step == study.settings.start_step else ""
        panels.append(score(study, f"R = {step}{own}", {"start": step, "steps": steps}, pictures))
    return gather(study, panels, [f"SWR with γ = {study.settings.gamma:g}"])


def stop(study: Study, settings: Sequence[tuple[float, int]] = ITO) -> Findings:
    """Where ITO stops, and its iterations (Fig. 8), as the authors' code computes it; beside it SWR alone.

    R is the checkpoint's own. After the stop, SWR's context is used, as in the authors' code. The caption of Fig. 8
    says that the original's is used (`SuppressEOT(after="original")`).
    """
    s = study.settings
    swr, start_step = study.weighted, s.start_step
    panels = [
        score(study, "original", {"stop": 0, "iterations": 0, "method": "original"}, study.originals),
        score(study, "SWR", {"stop": start_step, "iterations": 0, "method": "swr"}, study.draw([swr], start_step)[0]),
    ]
    for fraction, iterations in settings:
        ito_end = round(fraction * s.steps)
        if ito_end > start_step:  # otherwise ITO has no step, and the picture is SWR's
            panels.append(_ito(study, ito_end, iterations))
    return gather(study, panels, [_from(study)])


def _ito(study: Study, ito_end: int, iterations: int) -> Panel:
    """ITO in the steps from R to `ito_end`, without `ito_end` itself."""
    s = study.settings
    official = SuppressEOT.official(
        steps=s.steps, guidance=s.guidance, gamma=s.gamma, start=s.start_step, stop=ito_end, iterations=iterations
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
    setting = {"stop": ito_end, "iterations": iterations, "method": "swr+ito"}
    return score(study, f"{iterations} × to step {ito_end}", setting, result.image)


def _from(study: Study) -> str:
    return f"from step R = {study.settings.start_step} of {study.settings.steps}"
