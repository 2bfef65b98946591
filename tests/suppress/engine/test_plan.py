"""What each flag of a plan changes: the UNet calls of a run, their numbers of samples, their maps and weights.

test_fast.py tests that the pictures stay the same. That would also pass if a flag did nothing.
"""

from dataclasses import dataclass, field, replace

import pytest
import torch

import minisd
import suppress
from minisd import UNet
from suppress.engine import Fast, Plan, Reference, fast, find_engine, passes
from suppress.engine.cpu import SlicedFeedForward
from suppress.engine.packed import Packed, can_pack
from suppress.engine.plan import CPU_TECHNIQUES, compiled_plan, fast_plan
from suppress.prompt import encode
from suppress.start.noise import from_noise

PROMPT = "a man without glasses"
SETTINGS = suppress.SuppressEOT.official(steps=4, start=1, stop=3, iterations=2)
SITES, READ = 32, 10  # the number of the UNet's sites, and of those whose maps the loss reads
END_SITE = "up.1.2.cross"  # the last of those


@dataclass(frozen=True)
class Call:
    """One pass of a UNet."""

    samples: int
    maps: int = 0  # the number of sites whose maps were computed
    end_site: str | None = None  # the site after which it ended
    prefix: bool = True  # whether it continues from a prefix, which was computed separately
    gradient: bool = False
    packed: bool = False


ITERATION = Call(1, READ, END_SITE, gradient=True)
# the passes with and without the prompt; WITH_MAPS: the maps of the sample with the prompt are read
PLAIN, WITH_MAPS = Call(2), Call(2, READ)


@dataclass
class Calls:
    passes: list[Call] = field(default_factory=list)
    prefixes: int = 0  # how often a prefix was computed

    def clear(self):
        self.passes, self.prefixes = [], 0


@pytest.fixture
def calls(monkeypatch):
    """Records all passes of all UNets, complete and short ones."""
    found = Calls()
    forward, finish, read_until, before_text = UNet.forward, passes.finish, passes.read_until, passes.before_text

    def note(unet, ctx, tap, end_site, prefix):
        maps = sum(tap.wants(site) for site in unet.sites) if tap is not None else 0
        packed = isinstance(unet.conv_in, Packed)
        found.passes.append(Call(len(ctx), maps, end_site, prefix, torch.is_grad_enabled(), packed))

    def watched_forward(unet, z, t, ctx, tap=None):
        note(unet, ctx, tap, None, False)
        return forward(unet, z, t, ctx, tap)

    def watched_finish(unet, prefix, ctx, tap=None):
        note(unet, ctx, tap, None, True)
        return finish(unet, prefix, ctx, tap)

    def watched_read(unet, prefix, ctx, tap, end_site):
        note(unet, ctx, tap, end_site, True)
        read_until(unet, prefix, ctx, tap, end_site)

    def watched_before(unet, z, t):
        found.prefixes += 1
        return before_text(unet, z, t)

    monkeypatch.setattr(UNet, "forward", watched_forward)
    monkeypatch.setattr(passes, "finish", watched_finish)
    monkeypatch.setattr(passes, "read_until", watched_read)
    for module in (passes, fast):
        monkeypatch.setattr(module, "before_text", watched_before)
    return found


@pytest.fixture
def draw(sd, calls):
    """Runs the loop of a plan and returns its calls."""

    def draw(plan, seeds=(0,), settings=SETTINGS):
        calls.clear()
        prompts = [encode(sd, PROMPT, ["glasses"])] * len(seeds)
        assert (
            len(list(Fast(sd, plan).two_branches(prompts, from_noise(prompts, sd.noise(seeds, 128, 128)), settings)))
            == settings.steps
        )
        return calls.passes

    return draw


def iterations(calls):
    return [call for call in calls if call.gradient]


def others(calls):
    return [call for call in calls if not call.gradient]


def test_all_techniques_together(draw):
    """Before R there is one branch. In steps 1 and 2 there is ITO, with the original one step ahead. Then both branches
    are drawn."""
    ito = [ITERATION, ITERATION]
    both = replace(WITH_MAPS, samples=4)
    assert draw(Plan()) == [PLAIN, WITH_MAPS, *ito, both, *ito, PLAIN, replace(PLAIN, samples=4)]


def test_sdpa(draw):
    """Without it every pass computes the maps of every site."""
    assert {call.maps for call in others(draw(Plan(sdpa=False)))} == {SITES}


def test_early_exit(draw):
    assert {call.end_site for call in iterations(draw(Plan(early_exit=False)))} == {None}


def test_prefix_once(draw, calls):
    """Without it, each of the two iterations of a step computes its own prefix."""
    draw(Plan())
    shared = calls.prefixes
    draw(Plan(prefix_once=False))
    assert calls.prefixes == shared + 2 and len(iterations(calls.passes)) == 4


def test_one_branch(draw):
    assert [call.samples for call in others(draw(Plan(one_branch=False)))] == [4, 2, 4, 2, 4]


def test_shared_maps(draw):
    """Without it, the reference maps are read in an additional pass, as short as ITO's."""
    calls = others(draw(Plan(shared_maps=False)))
    additional = Call(1, READ, END_SITE)
    assert calls == [PLAIN, additional, Call(4), additional, Call(4), Call(4)]


def test_ahead(draw):
    """Without it, the original and the edited branch are two batches in ITO."""
    assert others(draw(Plan(ahead=False))) == [PLAIN, WITH_MAPS, PLAIN, WITH_MAPS, PLAIN, Call(4)]


def test_one_batch(draw):
    """Without it, the samples with and without the prompt are two calls."""
    half = Call(1)
    with_maps, both = replace(half, maps=READ), replace(half, samples=2)
    calls = others(draw(Plan(one_batch=False, ahead=False)))
    assert calls == [half, half, half, with_maps, half, half, half, with_maps, half, half, both, both]


def test_ito_samples(draw):
    settings = replace(SETTINGS, steps=2, stop=2, iterations=1)
    assert [call.samples for call in iterations(draw(Plan(ito_samples=2), (0, 1, 2), settings))] == [2, 1]


def test_gram(sd, monkeypatch):
    """With it, no SVD is computed; without it, one SVD is computed per run."""
    calls = []
    svd = torch.linalg.svd
    monkeypatch.setattr(torch.linalg, "svd", lambda *args, **kwargs: calls.append(1) or svd(*args, **kwargs))
    for gram in (True, False):
        settings = suppress.SuppressEOT(steps=2, start=0)
        prompts = [encode(sd, PROMPT, ["glasses"])]
        list(Fast(sd, Plan(gram=gram)).two_branches(prompts, from_noise(prompts, sd.noise([0], 128, 128)), settings))
        assert len(calls) == (not gram)


PACKS = pytest.mark.skipif(not can_pack(torch.zeros(1)), reason="this PyTorch is built without oneDNN")


@PACKS
def test_packed_and_sliced(sd, draw):
    def kinds(**flags):
        modules = list(Fast(sd, Plan(**flags)).unet.modules())
        return sum(isinstance(m, Packed) for m in modules) > 200, sum(isinstance(m, SlicedFeedForward) for m in modules)

    assert kinds() == (False, 0)
    assert kinds(packed=True) == (True, 0) and kinds(sliced=True) == (False, SITES // 2)
    calls = draw(Plan(packed=True))
    assert calls and all(call.packed for call in calls)  # the packed copy runs


def test_channels_last():
    own = minisd.load("tiny", device="cpu")  # the layout changes for good, so not the model of the other tests
    kernel = own.unet.up_blocks[0].resnets[0].conv1.weight
    Fast(own, Plan())
    assert kernel.is_contiguous() and not kernel.is_contiguous(memory_format=torch.channels_last)
    Fast(own, Plan(channels_last=True))
    assert kernel.is_contiguous(memory_format=torch.channels_last)


def test_graph(sd):
    """Each kind of pass has its own buffers (and on a GPU its own graph), which the second run uses again."""
    engine = Fast(sd, Plan(graph=True))
    kept = []
    prompts = [encode(sd, PROMPT, ["glasses"])]
    for _ in range(2):
        list(engine.two_branches(prompts, from_noise(prompts, sd.noise([0], 128, 128)), SETTINGS))
        kept.append(list(engine._graphs.values()))
    assert len(kept[0]) == 5 and kept[0] == kept[1]  # [∅, c], with maps, with maps ahead, ITO, both branches
    assert not Fast(sd, Plan())._graphs


# ---------------------------------------------------------------------- which plan runs


def test_plans_by_name(sd):
    cpu = torch.device("cpu")
    assert (
        find_engine(sd, None).plan
        == find_engine(sd, "fast").plan
        == fast_plan(cpu)
        == Plan(at_once=True, **dict.fromkeys(CPU_TECHNIQUES, True))
    )
    assert isinstance(find_engine(sd, "reference"), Reference)
    assert compiled_plan(cpu) == find_engine(sd, "compiled").plan == Plan(channels_last=True, compile="inductor")
    gpu = torch.device("cuda")
    assert fast_plan(gpu) == Plan(graph=True) and compiled_plan(gpu).graph


@PACKS
def test_a_run_is_fast_unless_the_reference_is_asked_for(sd, calls):
    runs = {}
    for engine in (None, "fast", "reference"):
        calls.clear()
        suppress.run(sd, PROMPT, "glasses", settings=SETTINGS, engine=engine)
        runs[engine] = calls.passes
    ito = [ITERATION, ITERATION]
    want = [PLAIN, WITH_MAPS, *ito, replace(WITH_MAPS, samples=4), *ito, PLAIN, replace(PLAIN, samples=4)]
    want = [replace(call, packed=True) for call in want]
    assert runs[None] == runs["fast"] == want
    # two calls per step with both branches; in ITO also the original's maps and those of each iteration; all complete
    both, with_maps = Call(2, prefix=False), Call(1, READ, prefix=False)
    ito = [with_maps, *[replace(with_maps, gradient=True)] * 2]
    assert runs["reference"] == [both, both, *[*ito, both, both] * 2, both, both]


# ---------------------------------------------------------------------- passes that cannot begin with a prefix


def test_no_prefix_if_its_maps_are_read(sd, draw, calls):
    """At the scale of the latents, the loss reads the maps of the first site, which is in the prefix."""
    settings = replace(SETTINGS, steps=2, stop=2, resolution=16)
    found = iterations(draw(Plan(), settings=settings))
    assert found and set(found) == {Call(1, READ, None, prefix=False, gradient=True)}  # this scale has as many sites
    want = suppress.run(sd, PROMPT, "glasses", settings=settings, engine="reference").latents
    got = suppress.run(sd, PROMPT, "glasses", settings=settings, engine=Fast(sd, Plan())).latents
    assert (got - want).abs().max() < 1e-3


def test_no_prefix_if_the_first_block_has_no_attention(sd, calls):
    """A small UNet of random weights without attention at the finest resolution."""
    torch.manual_seed(0)
    config = replace(sd.config.unet, channels=(32, 32, 64, 64), attention=(False, True, True, False))
    unet = UNet(config).eval().requires_grad_(False)
    other = replace(sd, unet=unet, config=replace(sd.config, unet=config))
    prompts = [encode(other, PROMPT, ["glasses"])]
    start = from_noise(prompts, other.noise([0], 128, 128))
    list(Fast(other, Plan()).two_branches(prompts, start, replace(SETTINGS, steps=2, stop=2)))
    assert calls.prefixes == 0 and iterations(calls.passes) and not any(call.prefix for call in calls.passes)
