"""Methods that are defined outside the package, on both engines: each part of the protocol alone, and all together."""

from dataclasses import dataclass, replace

import pytest
import torch

import minisd
import suppress
from minisd import Part, Tap
from suppress.edits.maps import map_spec
from suppress.edits.weights import with_weights
from suppress.edits.wrapped import Wrapped
from suppress.engine import Fast, Plan, Reference, find_engine
from suppress.prompt import encode
from suppress.protocol import Edit, Inputs, Method
from suppress.start.noise import from_noise

LIST, LAST = "a man with a beard wearing glasses and a hat", "a man without glasses"


class AppendColumns(Tap):
    """As in GIE: appends keys and values of another context, and multiplies their maps by `weight`."""

    def __init__(self, ctx, weight):
        self.ctx, self.weight = ctx, weight

    def wants(self, site):
        return site.kind == "cross"

    def keys_values(self, site, k, v, attn):
        more = [attn.split_heads(layer(self.ctx.to(k))) for layer in (attn.to_k, attn.to_v)]
        return torch.cat([k, more[0]], dim=2), torch.cat([v, more[1]], dim=2)

    def probs(self, site, p):
        return torch.cat([p[..., :77], self.weight * p[..., 77:]], dim=-1)


@dataclass(frozen=True)
class Everything(Method):
    """Uses those parts of the protocol whose names are in `parts`."""

    parts: tuple[str, ...] = ()

    def edit(self, run):
        return EverythingEdit(self, run)


class EverythingEdit(Edit):
    def __init__(self, settings, run):
        super().__init__(run)
        self.parts, sd = settings.parts, run.sd
        self.ctx = run.soft_weight(1.0)
        self.other = run.per_prompt(lambda p: sd.encode_text(", ".join(p.targets)))
        self.moved = torch.zeros_like(run.start.z)  # state of a job: it belongs to the edit
        if "weights" in self.parts:
            name = "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_v.weight"
            self.unet = with_weights(sd.unet, {name: -sd.unet.get_parameter(name)})
        if "maps" in self.parts:
            self.maps = map_spec(sd, run.start.z)

    def reads_maps(self, i):
        return i == 2

    def inputs(self, i, same, original, maps):
        run = self.run
        uncond, ctx = same.contexts
        contexts = [self.other if "uncond" in self.parts else uncond, self.ctx if "context" in self.parts else ctx]
        if maps is not None:  # the rows with large maps keep the prompt's context
            large = maps.cross.mean(dim=1) > maps.cross.mean()
            contexts[1] = torch.where(large[..., None], ctx, 0.5 * contexts[1])
        if "third" in self.parts:
            contexts.append(self.other)
        tap = tap_uncond = None
        if "tap" in self.parts:  # the edited samples have more columns than the original's
            tap = Part(AppendColumns(self.other[:, 1:5], -2.0), slice(run.batch, None))
        if "tap_uncond" in self.parts:
            tap_uncond = Part(AppendColumns(self.other[:, 1:3], -2.0), slice(run.batch, None))
        return Inputs(same.z, tuple(contexts), tap, tap_uncond)

    def combine(self, i, eps):
        guided = super().combine(i, eps)
        return guided - 2 * (eps[2] - eps[0]) if len(eps) == 3 else guided

    def step(self, i, z, eps):
        z = super().step(i, z, eps)
        if "step" in self.parts:
            self.moved = 0.5 * self.moved + 0.05 * z.sign()
            z = z + self.moved
        return z

    def blend(self, i, z, original):
        return z.lerp(original, 0.3) if "blend" in self.parts else z


PARTS = ["context", "uncond", "third", "tap", "tap_uncond", "step", "blend", "weights", "maps"]


@pytest.mark.parametrize("parts", [*[(part,) for part in PARTS], tuple(PARTS)], ids=lambda p: "+".join(p))
def test_both_engines_draw_the_same(sd, parts):
    """The batch has two prompts; one ends in its target. No part may change the original branch."""
    settings = Everything(steps=4, start=1, parts=parts)
    jobs = [suppress.Job(LIST, "glasses", 2), suppress.Job(LAST, "glasses", 2)]
    runs = {e: suppress.run_batch(sd, jobs, settings=settings, engine=e, maps=True) for e in ("reference", "fast")}
    plain = suppress.run_batch(sd, jobs, settings=Everything(steps=4, start=4))
    for want, got, alone in zip(runs["reference"], runs["fast"], plain, strict=True):
        assert (got.latents - want.latents).abs().max() < 1e-3
        assert (got.original_latents - want.original_latents).abs().max() < 1e-3
        assert (got.original_latents - alone.original_latents).abs().max() < 1e-3
        if parts != ("blend",):  # alone it has nothing to blend with
            assert (got.latents - got.original_latents).abs().max() > 0.05  # the part does something
        for name in ("maps", "original_maps"):
            assert torch.allclose(getattr(got, name), getattr(want, name), atol=1e-4)


def worst(sd, settings, engine):
    """The largest difference of an engine's latents from the reference's."""
    prompts = [encode(sd, LIST, ["glasses"]), encode(sd, LAST, ["glasses"])]
    start = from_noise(prompts, sd.noise([2, 2], 64, 64))
    found = []
    for one in (Reference(sd), engine):
        *_, latents = one.two_branches(prompts, start, settings)
        found.append(torch.cat(latents))
    return (found[0] - found[1]).abs().max()


@pytest.mark.parametrize("parts", [PARTS, ["context", "third", "maps"]], ids=["all", "without taps"])
@pytest.mark.parametrize("off", ["", "ahead", "one_batch", "shared_maps", "sdpa", "one_branch"])
def test_every_plan_draws_all_parts(sd, parts, off):
    settings = EveryStep(steps=4, start=1, parts=tuple(parts))
    assert worst(sd, settings, Fast(sd, Plan(**{off: False} if off else {"graph": True}))) < 1e-3


class Shift(Wrapped):
    """What an inversion may add: the latents move a little after each step."""

    def step(self, i, z, eps):
        return super().step(i, z, eps) + 0.02


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_what_a_start_adds_works_before_r_too(sd, engine):
    prompts = [encode(sd, LAST, ["glasses"])]
    start = replace(from_noise(prompts, sd.noise([5], 64, 64)), around=Shift)
    settings = Everything(steps=3, start=2)
    steps = list(find_engine(sd, engine).two_branches(prompts, start, settings))
    assert torch.allclose(steps[0][1], steps[0][0] + 0.02, atol=1e-5)
    alone = list(find_engine(sd, engine).two_branches(prompts, replace(start, around=None), settings))
    assert torch.equal(alone[1][0], alone[1][1]) and not torch.equal(steps[1][0], steps[1][1])


def test_maps_everywhere_draws_all_parts(sd):
    settings = Everything(steps=4, start=1, parts=tuple(PARTS))
    assert worst(sd, settings, Reference(sd, maps_everywhere=True)) < 1e-3


@dataclass(frozen=True)
class EveryStep(Everything):
    """The maps of all steps, so that an engine may read them ahead."""

    def edit(self, run):
        edit = super().edit(run)
        edit.reads_maps = lambda i: True
        return edit


@dataclass(frozen=True)
class ChangesItsMind(Everything):
    def edit(self, run):
        return Hesitant(self, run)


class Hesitant(EverythingEdit):
    """Whether it reads maps is decided by the step before: what an engine was told ahead may be wrong."""

    done = 0

    def reads_maps(self, i):
        return self.done in (0, 1, 3)

    def step(self, i, z, eps):
        self.done += 1
        return super().step(i, z, eps)


def test_what_was_computed_ahead_is_of_no_later_step(sd):
    assert worst(sd, ChangesItsMind(steps=5, start=1, parts=("maps",)), Fast(sd)) < 1e-3


@dataclass(frozen=True)
class HalfWay(suppress.SuppressEOT):
    """A subclass of a method of the package that changes its edit."""

    def edit(self, run):
        edit = super().edit(run)
        edit.swr = (edit.swr + run.ctx) / 2
        return edit


@pytest.mark.parametrize("iterations", [0, 1])
def test_engines_use_the_edit_of_a_subclass(sd, iterations):
    settings = HalfWay(steps=4, start=1, stop=3, iterations=iterations)
    want, got = (suppress.run(sd, LIST, "glasses", seed=2, settings=settings, engine=e) for e in ("reference", "fast"))
    assert (got.latents - want.latents).abs().max() < 1e-3
    plain = suppress.SuppressEOT(steps=4, start=1, stop=3, iterations=iterations)
    assert (got.latents - suppress.run(sd, LIST, "glasses", seed=2, settings=plain).latents).abs().max() > 0.1


@dataclass(frozen=True)
class Darken:
    """A user's own loss, which makes the target's maps smaller. The engine has no fused form of it."""

    maps: object
    rows: tuple

    def __call__(self, reference, new):
        return sum(
            (new.cross[b][:, list(rows)] / reference.cross[b][:, list(rows)]).sum() for b, rows in enumerate(self.rows)
        )


@dataclass(frozen=True)
class OwnLoss(Method):
    def edit(self, run):
        return OwnLossEdit(run)


class OwnLossEdit(Edit):
    def __init__(self, run):
        super().__init__(run)
        self.maps = map_spec(run.sd, run.start.z)
        self.loss = Darken(self.maps, tuple(p.target for p in run.prompts))

    def reads_maps(self, i):
        return i < 3

    def inputs(self, i, same, original, maps):
        if maps is None:
            return same
        ctx = self.run.descend(i, same.z, self.run.ctx.float(), self.loss, maps, 2, 0.5)
        return replace(same, contexts=(same.contexts[0], ctx))


class GradientToLatents(Edit):
    """Attend-and-Excite and MagicRemover need this: the gradient of a map with respect to z."""

    def inputs(self, i, same, original, maps):
        spec = map_spec(self.run.sd, same.z)
        with torch.enable_grad():
            z = same.z.detach().requires_grad_()
            cross = self.run.read_maps(i, z, self.run.ctx, spec).cross
            (g,) = torch.autograd.grad(
                sum(cross[b][:, list(p.target)].sum() for b, p in enumerate(self.run.prompts)), z
            )
        return replace(same, z=same.z - 0.1 * g.sign())


@dataclass(frozen=True)
class MovesLatents(Method):
    def edit(self, run):
        return GradientToLatents(run)


@pytest.mark.parametrize(
    "settings", [OwnLoss(steps=4, start=1), MovesLatents(steps=3, start=1)], ids=["loss", "latents"]
)
def test_inner_loops(sd, settings):
    jobs = [suppress.Job(LIST, "glasses", 2), suppress.Job(LAST, "glasses", 2)]
    runs = [suppress.run_batch(sd, jobs, settings=settings, engine=e) for e in ("reference", "fast")]
    for want, got in zip(*runs, strict=True):
        assert (got.latents - want.latents).abs().max() < 1e-3 * max(1, want.latents.abs().max())
        assert (got.latents - got.original_latents).abs().max() > 0.05


@dataclass(frozen=True)
class OtherNoise(Method):
    """At its first step it goes on with the noise of another seed."""

    def edit(self, run):
        edit = Edit(run)
        other = run.sd.noise([7], *(8 * side for side in run.start.z.shape[-2:]))
        edit.inputs = lambda i, same, original, maps: replace(same, z=other) if i == 0 else same
        return edit


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_latents_that_inputs_moves_stay_moved(sd, engine):
    size = {"height": 64, "width": 64}
    got = suppress.run(sd, LAST, "glasses", settings=OtherNoise(steps=3, start=0), engine=engine, **size)
    want = suppress.run(sd, LAST, "glasses", seed=7, settings=OtherNoise(steps=3, start=3), **size)
    assert (got.latents - want.original_latents).abs().max() < 1e-3


def test_an_unfinished_method_gets_a_clear_error(sd):
    with pytest.raises(NotImplementedError, match=r"Method\.edit"):
        suppress.run(sd, LAST, "glasses", settings=Method(steps=2))
    z = sd.noise([0], 128, 128)
    with pytest.raises(minisd.UserError, match=r"Inputs with 1 context; expected \(∅, c\)"):
        Inputs(z, (z,))
    ctx = sd.encode_text([LAST, LIST])
    for context in (ctx, None, torch.cat([ctx[:1]] * 2, dim=1)):  # of two samples; none; more tokens
        with pytest.raises(minisd.UserError, match=r"Inputs with a context .*; expected shape \(1,77,D\)"):
            Inputs(z, (ctx[:1], context))


def test_no_engine_asks_for_the_class_of_a_method():
    import ast
    import inspect
    from pathlib import Path

    import suppress.engine

    methods = {"Method", "SuppressEOT", "Unread", "Variant", "Edit"}
    for file in Path(inspect.getfile(suppress.engine)).parent.glob("*.py"):
        tree = ast.parse(file.read_text())
        imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        assert not any("methods" in module for module in imported), file
        calls = [
            n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") in ("isinstance", "type")
        ]
        assert not any(methods & {getattr(x, "id", "") for a in c.args for x in ast.walk(a)} for c in calls), file
