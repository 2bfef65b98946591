"""GIE: it equals the paper's insertion of columns, and scale 0 gives the original, on both engines and in any batch."""

import pytest
import torch

import suppress
from minisd import UserError
from suppress.loop import Run
from suppress.methods import GIE
from suppress.prompt import encode
from suppress.start.noise import from_noise

LIST = "a man with a beard wearing glasses and a hat"
SETTINGS = GIE(steps=4, guidance=2)  # a low guidance, so that rounding errors stay small
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 1, 64, 64),
    suppress.Job("a cat with a crown on the beach", "crown", 3, 64, 64),
]


def test_the_sum_is_the_insertion_of_columns_before_eot(sd):
    """The two samples have different targets and numbers of targets. The original's samples do not change."""
    prompts = [encode(sd, LIST, ["glasses", "a hat"]), encode(sd, "a man without glasses", "glasses")]
    edit = GIE(scale=-3).edit(Run(sd, prompts, from_noise(prompts, sd.noise([0, 1], 64, 64)), GIE()))
    attn = sd.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    x = torch.randn(4, 6, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    ctx = torch.cat([prompt.ctx for prompt in prompts] * 2)
    got, plain = attn(x, ctx, tap=edit.tap), attn(x, ctx)
    torch.testing.assert_close(got[:2], plain[:2])

    def heads(layer, rows):
        return attn.split_heads(layer(rows[None]))[0]

    def maps(q, rows):
        k = heads(attn.to_k, rows)
        return (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)

    for n, prompt in enumerate(prompts):
        q, eot = heads(attn.to_q, x[2 + n]), prompt.eot[0]
        columns, values = maps(q, prompt.ctx[0]), heads(attn.to_v, prompt.ctx[0])
        for target in prompt.targets:
            concept = sd.encode_text(target)[0]
            words = slice(1, sd.tokens(target).index("[EOT]"))
            inhibitor = -3 * maps(q, concept)[..., words]
            columns = torch.cat([columns[..., :eot], inhibitor, columns[..., eot:]], dim=-1)
            values = torch.cat([values[:, :eot], heads(attn.to_v, concept)[:, words], values[:, eot:]], dim=1)
        assert columns.shape[-1] == 77 + sum(len(sd.tokens(target)) - 2 for target in prompt.targets)
        want = attn.to_out[0]((columns @ values).transpose(0, 1).flatten(1))
        torch.testing.assert_close(got[2 + n], want, rtol=0, atol=1e-5)
        assert (want - plain[2 + n]).abs().max() > 0.01


def test_without_a_scale_it_is_the_original(sd):
    result = suppress.run(sd, LIST, "glasses", settings=GIE(steps=3, scale=0), height=64, width=64)
    assert (result.latents - result.original_latents).abs().max() < 1e-3


def test_any_batch_on_both_engines_is_each_job_alone(check_batch):
    check_batch(JOBS, SETTINGS)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "strong", None, True])
def test_bad_scales_are_named(value):
    with pytest.raises(UserError, match=f"scale = {value!r}"):
        GIE(scale=value)
