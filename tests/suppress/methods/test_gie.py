"""GIE: both forms equal the insertion of columns written out; scale 0 is the original; the adapter gives the scales."""

import pytest
import torch

import suppress
from minisd import Tap, UserError, compose
from suppress.defaults import default_settings
from suppress.edits.fingerprint import fingerprints
from suppress.edits.scale_adapter import Adapter, write_adapter
from suppress.loop import Run
from suppress.methods import GIE, SLD, Ledits, Rewrite, ValueFlip
from suppress.methods.negative_prompt import NegativePrompt
from suppress.prompt import encode
from suppress.protocol import Inputs
from suppress.start.noise import from_noise

LIST = "a man with a beard wearing glasses and a hat"
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 2, 64, 64),
    suppress.Job("a cat on the beach", "crown", 3, 64, 64),  # a concept that the prompt does not have
]


@pytest.fixture
def at_work(sd):
    """GIE at work on two prompts: the first has two concepts, the second has one, which it does not name."""

    def make(settings, prompts=((LIST, ["glasses", "bow tie"]), ("a man", "van gogh"))):
        prompts = [encode(sd, text, remove, needs_words=False) for text, remove in prompts]
        run = Run(sd, prompts, from_noise(prompts, sd.noise(range(len(prompts)), 64, 64)), settings)
        edit = settings.edit(run)
        z, uncond = run.start.z, run.start.uncond(0).expand_as(run.ctx)
        return edit, Inputs(z, (uncond, run.ctx)), prompts

    return make


@pytest.fixture
def adapter(sd, tmp_path):
    """The file of an untrained adapter whose scales are about -2."""
    torch.manual_seed(1)
    network = Adapter(16)
    network.layers[-1].bias.data -= 2
    path = tmp_path / "adapter.safetensors"
    write_adapter(path, network, {"form": "paper", "model": "tiny", "fingerprints": fingerprints(sd.unet)})
    return path, network


class Heads:
    """One cross attention, sample by sample, in plain matrices."""

    def __init__(self, sd):
        self.attn = sd.unet.mid_block.attentions[0].transformer_blocks[0].attn2
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(4, 6, self.attn.to_q.in_features, generator=generator)

    def of(self, layer, rows):
        return self.attn.split_heads(layer(rows[None]))[0]

    def maps(self, x, rows):
        q, k = self.of(self.attn.to_q, x), self.of(self.attn.to_k, rows)
        return (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)

    def values(self, rows):
        return self.of(self.attn.to_v, rows)

    def out(self, maps, values):
        return self.attn.to_out[0]((maps @ values).transpose(0, 1).flatten(1))


@pytest.mark.parametrize("position", ["before-eot", "after-sot", "random"])
def test_the_papers_form_inserts_columns_and_values_at_any_position(sd, at_work, position):
    """Written out at the paper's position: Fig. 10's other positions give the same output."""
    edit, start, prompts = at_work(GIE(scale=-3, position=position))
    heads = Heads(sd)
    ctx = torch.cat([start.contexts[1]] * 2)
    got = heads.attn(heads.x, ctx, tap=edit.inputs(0, start, start, None).tap)
    torch.testing.assert_close(got[:2], heads.attn(heads.x, ctx)[:2])  # the original branch
    for n, prompt in enumerate(prompts):
        x, eot, rows = heads.x[2 + n], prompt.eot[0], prompt.ctx[0]
        columns, values = heads.maps(x, rows), heads.values(rows)
        for target in prompt.targets:
            concept = sd.encode_text(target)[0]
            words = slice(1, sd.tokens(target).index("[EOT]"))
            columns = torch.cat(
                [columns[..., :eot], -3 * heads.maps(x, concept)[..., words], columns[..., eot:]], dim=-1
            )
            values = torch.cat([values[:, :eot], heads.values(concept)[:, words], values[:, eot:]], dim=1)
        want = heads.out(columns, values)
        torch.testing.assert_close(got[2 + n], want, rtol=0, atol=1e-5)
        assert (want - heads.out(heads.maps(x, rows), heads.values(rows))).abs().max() > 0.01


def test_positions(at_work):
    """How many of the prompt's columns stand before the inserted ones: up to [SOT], the words, or some of them."""
    counts = {}
    for position in ("before-eot", "after-sot", "random"):
        edit, _, prompts = at_work(GIE(position=position))
        counts[position] = edit.insertion.keep.diagonal(dim1=1, dim2=2).sum(dim=1).tolist()
    assert counts["before-eot"] == [prompt.eot[0] for prompt in prompts] == [11, 3]
    assert counts["after-sot"] == [1, 1]
    assert all(1 <= k <= most for k, most in zip(counts["random"], [11, 3], strict=True))
    assert counts["random"] not in (counts["before-eot"], counts["after-sot"])


def test_the_codes_form_inserts_into_the_originals_maps(sd, at_work):
    """The width stays 77, and [EOT] and the padding are those of the prompt with the concept behind it."""
    edit, start, prompts = at_work(GIE.official(scale=-3))
    edited = edit.inputs(0, start, start, None)
    heads = Heads(sd)
    ctx = torch.cat([start.contexts[1], edited.contexts[1]])
    got = heads.attn(heads.x, ctx, tap=edited.tap)
    torch.testing.assert_close(got[:2], heads.attn(heads.x, ctx)[:2])
    for n, prompt in enumerate(prompts):
        phrase, eot = " ".join(prompt.targets), prompt.eot[0]
        both, concept = (sd.encode_text(text)[0] for text in (f"{prompt.text} {phrase}", phrase))
        count = len(sd.tokens(phrase)) - 2
        base, own = heads.maps(heads.x[n], prompt.ctx[0]), -3 * heads.maps(heads.x[2 + n], concept)
        rows, columns = [], []
        for j in range(77):
            if eot <= j < eot + count:
                rows.append(concept[j - eot + 1])
                columns.append(own[..., j - eot + 1])
            else:
                k = eot if j == eot + count else j  # [EOT] is moved; the padding keeps its positions
                rows.append(both[k])
                columns.append(base[..., k])
        torch.testing.assert_close(edited.contexts[1][n], torch.stack(rows), rtol=0, atol=1e-5)
        want = heads.out(torch.stack(columns, dim=-1), heads.values(torch.stack(rows)))
        torch.testing.assert_close(got[2 + n], want, rtol=0, atol=1e-5)


def test_the_codes_form_ends_early_and_shares_the_coarse_self_maps_first(at_work):
    settings = GIE.official(steps=40)
    assert settings.end_step == 32 and GIE.official(steps=4).end_step == 4 and GIE().end_step == 50
    edit, start, _ = at_work(settings)
    taps = [edit.inputs(i, start, start, None).tap for i in (15, 16, 31, 32)]
    wants = [{(s.kind, s.scale) for s in edit.run.sd.unet.sites if tap and tap.wants(s)} for tap in taps]
    cross = {("cross", scale) for scale in (1, 2, 4, 8)}
    assert wants == [cross | {("self", 4), ("self", 8)}, cross, cross, set()]
    assert (edit.inputs(32, start, start, None).contexts[1] - start.contexts[1]).abs().max() > 0.1


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_scale_0_is_the_original(sd, engine):
    result = suppress.run(sd, LIST, "glasses", settings=GIE(steps=3, scale=0), engine=engine, height=64, width=64)
    assert torch.equal(result.latents, result.original_latents)


def test_without_steps_it_is_the_original(sd):
    settings = GIE(steps=2, until=0), GIE(steps=2, until=1), GIE(steps=2)
    none, half, full = (suppress.run(sd, LIST, "glasses", settings=s, height=64, width=64) for s in settings)
    assert (none.latents - none.original_latents).abs().max() < 1e-4
    assert (half.latents - none.latents).abs().max() > 0.1 and (half.latents - full.latents).abs().max() > 0.01


@pytest.mark.parametrize("make", [GIE, GIE.official], ids=["paper", "code"])
def test_any_batch_on_both_engines_is_each_job_alone(check_batch, make):
    check_batch(JOBS[:2] if make is GIE else JOBS[1:], make(scale=-2, steps=4, guidance=2))


def test_any_batch_with_an_adapter_is_each_job_alone(check_batch, adapter):
    check_batch(JOBS[1:], GIE(steps=3, guidance=2, adapter=str(adapter[0])))


@pytest.mark.parametrize("form", ["paper", "code"])
def test_features_are_the_means_of_the_concepts_maps_with_scale_1(sd, at_work, form):
    """With w = 1 at all sites; here those of the first and the last site are computed again."""
    edit, start, prompts = at_work(GIE(form=form))
    one, _, _ = at_work(GIE(form=form, scale=1))
    original = Inputs(start.z, start.contexts)
    edited = one.inputs(0, start, start, None)
    found = edit.features(0, original, edited, [])
    assert found.shape == (2, 1 if form == "code" else 2, 77, 16)
    seen = {}

    class Look(Tap):
        def output(self, site, q, out, attn):
            if site.kind == "cross":
                seen[site.name] = q, attn
            return out

    z, ctx = torch.cat([start.z] * 2), torch.cat([start.contexts[1], edited.contexts[1]])
    sd.unet(z, 981, ctx, tap=compose(edited.tap, Look()))
    names = [site.name for site in sd.unet.sites if site.kind == "cross"]
    for site in (0, 15):
        q, attn = seen[names[site]]
        phrase = " ".join(prompts[0].targets) if form == "code" else prompts[0].targets[0]
        k = attn.split_heads(attn.to_k(sd.encode_text(phrase)))
        maps = (q[2:3] @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)
        torch.testing.assert_close(found[0, 0, :, site], maps.mean(dim=(0, 1, 2)), rtol=1e-4, atol=1e-6)


def test_the_adapter_gives_each_word_its_scale(sd, at_work, adapter):
    path, network = adapter[0], adapter[1].requires_grad_(False)
    edit, start, _ = at_work(GIE(adapter=str(path)))
    edit.inputs(0, start, start, None)
    means = edit.features(0, start, start, [])
    assert edit.scales[0, 0, 1] == pytest.approx(float(network(means[0, 0, 1])), abs=1e-4)
    assert edit.scales[0, 1, 2] == pytest.approx(float(network(means[0, 1, 2])), abs=1e-4)  # "tie"
    assert (edit.scales[0] != 0).sum() == 3 and (edit.scales[1] != 0).sum() == 2
    fixed, _, _ = at_work(GIE(adapter="no such file", scale=-2))  # a scale takes the adapter's place
    fixed.inputs(0, start, start, None)
    assert fixed.scales[0, 0, 1] == -2
    first = edit.scales
    edit.inputs(1, start, start, None)
    assert edit.scales is first  # of the first step, for all steps


def test_of_two_near_concepts_the_stronger_is_inserted(sd, at_work):
    """Spectacles are glasses; a hat is neither. The second sample has two concepts, and none of them is near."""
    prompts = ("a man", ["glasses", "hat", "spectacles"]), ("a cat", ["hat", "glasses"])
    edit, start, _ = at_work(GIE(distance=0.2), prompts)
    words = edit.insertion.words
    assert edit.kept(-5 * words).tolist() == [[1, 1, 0], [1, 1, 1]]
    scales = words * torch.tensor([-1.0, -1.0, -2.0])[None, :, None]
    assert edit.kept(scales).tolist() == [[0, 1, 1], [1, 1, 1]]
    edit.inputs(0, start, start, None)
    assert edit.scales.sum(dim=2).tolist() == [[-5, -5, 0], [-5, -5, 0]]
    near, _, _ = at_work(GIE(distance=3), prompts)  # all are near, but the empty third concept of the cat replaces none
    assert near.kept(words).tolist() == [[1, 0, 0], [1, 0, 1]]
    every, _, _ = at_work(GIE(), prompts)
    every.inputs(0, start, start, None)
    assert (every.scales.sum(dim=2)[0] < 0).all()


def test_the_embedded_model_has_an_adapter(sd):
    settings, _ = default_settings(sd, "gie")
    assert settings.adapter == "own" and settings.distance > 0
    assert GIE.paper().adapter == "own" and GIE.official().adapter == ""
    file = sd.folder / "adapters" / "gie.safetensors"
    assert file.stat().st_size < 20_000
    result = suppress.run(sd, "a man", "hat", method="gie:steps=2", height=64, width=64)
    assert (result.latents - result.original_latents).abs().max() > 0.01


def test_what_it_says_about_its_scale(sd):
    prompt = encode(sd, LIST, "glasses")
    remarks = [s.remark(prompt) for s in (GIE(), GIE(scale=-2), GIE.paper(), GIE(adapter="a.safetensors"))]
    assert "w = -5, because no adapter" in remarks[0] and remarks[1] == "w = -2"
    assert "checkpoint" in remarks[2] and "a.safetensors" in remarks[3]


BAD = [
    ({"scale": float("nan")}, "scale = nan"),
    ({"scale": "strong"}, "scale = 'strong'"),
    ({"scale": True}, "scale = True"),
    ({"adapter": None}, "adapter = None"),
    ({"distance": -1}, "distance = -1"),
    ({"position": "anywhere"}, "position = 'anywhere'"),
    ({"form": "thesis"}, "form = 'thesis'"),
    ({"until": 1.5}, "until = 1.5"),
    ({"self_until": -1}, "self_until = -1"),
    ({"form": "code", "distance": 0.2}, "distance = 0.2; it is for form=paper"),
    ({"form": "code", "position": "random"}, "position = 'random'; it is for form=paper"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_settings_are_named(values, message):
    with pytest.raises(UserError, match=message):
        GIE(**values)


def test_the_codes_form_needs_room_in_the_prompt(at_work):
    with pytest.raises(UserError, match="appends the 1 token of 'hat' to the 75"):
        at_work(GIE.official(), (("a " * 75, "hat"),))


def test_methods_that_need_no_word_of_the_prompt():
    free = GIE(), SLD(), NegativePrompt(), NegativePrompt(to=SLD()), ValueFlip(), Ledits(), Rewrite()
    bound = suppress.Unread(), NegativePrompt(to=suppress.Unread()), ValueFlip(form="in-place")
    assert not any(s.needs_words for s in free) and all(s.needs_words for s in bound)
