"""Maps of the context as files: what is kept, and files that do not fit."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

import suppress
from minisd import UserError
from suppress.edits.context_map import make_map, read_map, write_map
from suppress.methods import parse_method
from suppress.methods.rece import RECE
from suppress.methods.uce import UCE, fit

LIST = "a man with a beard wearing glasses and a hat"


@pytest.fixture(scope="module")
def file(sd, tmp_path_factory):
    settings = UCE(guide="person", preserve="a beard", lam=0.7)
    return write_map(tmp_path_factory.mktemp("maps") / "a map, of glasses.safetensors", fit(sd, ["glasses"], settings))


def test_a_file_holds_the_map_and_what_it_is_for(sd, file):
    got = read_map(file, sd)
    want = UCE(guide="person", preserve="a beard", lam=0.7).matrix(sd, ["glasses"])
    assert torch.equal(got.matrix, want.float())
    assert got.describe() == "uce of 'glasses', made with tiny" and got.about["settings"]["lam"] == 0.7
    assert {"start", "steps", "concept"}.isdisjoint(got.about["settings"])
    ctx = sd.encode_text(["a man with glasses", "a dog"])
    torch.testing.assert_close(got.apply(ctx), (ctx.double() @ want.T).float(), rtol=0, atol=1e-4)
    assert got.apply(ctx.bfloat16()).dtype == torch.bfloat16
    assert fit(sd, [], RECE()).describe() == "rece of nothing, made with tiny"
    assert torch.equal(fit(sd, []).matrix, torch.eye(192))
    with pytest.raises(UserError, match="erased = 'hat'; expected a list"):
        fit(sd, "hat")


def test_the_file_draws_what_its_method_draws(sd, file):
    def drawn(method, **settings):
        settings = parse_method(method, steps=3, **settings)
        return suppress.run(sd, LIST, "glasses", seed=8, settings=settings, height=64, width=64)

    want = drawn("uce", guide="person", preserve="a beard", lam=0.7)
    got = drawn(f"context-map:{file}")
    assert (got.latents - want.latents).abs().max() < 1e-4 < 0.1 < (got.latents - got.original_latents).abs().max()
    kept = drawn("context-map", path=str(file), uncond="kept")
    assert (kept.latents - want.latents).abs().max() > 1e-3
    none = drawn("context-map", path=file, strength=0)
    assert (none.latents - none.original_latents).abs().max() < 1e-4


def test_half_precision_keeps_the_fingerprint(sd, file):
    half = replace(sd, text_encoder=_copy(sd.text_encoder).to(torch.bfloat16))
    assert torch.equal(read_map(file, half).matrix, read_map(file, sd).matrix)


def _copy(module):
    other = type(module)(module.config)
    other.load_state_dict(module.state_dict())
    return other


def test_files_that_do_not_fit(sd, file, tmp_path):
    good = read_map(file, sd)
    other = _copy(sd.text_encoder)
    other.embeddings.token_embedding.weight.data = sd.text_encoder.embeddings.token_embedding.weight.roll(1, 0)
    message = "uce of 'glasses', made with tiny.* is for another text encoder than that of new"
    with pytest.raises(UserError, match=message):
        read_map(file, replace(sd, text_encoder=other, name="new"))
    wrong = {
        "wide": (replace(good, matrix=torch.eye(768)), r"has a matrix \(768, 768\); tiny reads contexts of width 192"),
        "nan": (replace(good, matrix=good.matrix * float("nan")), "infinite values or NaN"),
    }
    for name, (context_map, message) in wrong.items():
        with pytest.raises(UserError, match=message):
            read_map(write_map(tmp_path / f"{name}.safetensors", context_map), sd)
    save_file({"unet.to_v": torch.zeros(2)}, tmp_path / "delta.safetensors")
    with pytest.raises(UserError, match=r"not a context map .* it is for --method delta:FILE"):
        read_map(tmp_path / "delta.safetensors", sd)
    notes = {"format": "suppress context map 1", "about": "{"}
    save_file({"matrix": good.matrix, "probe": good.probe}, tmp_path / "notes.safetensors", notes)
    with pytest.raises(UserError, match="its metadata cannot be read"):
        read_map(tmp_path / "notes.safetensors", sd)
    (tmp_path / "damaged.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(UserError, match=r"not a \.safetensors file"):
        read_map(tmp_path / "damaged.safetensors", sd)
    with pytest.raises(UserError, match="there is no file"):
        read_map("x" * 5000, sd)
    with pytest.raises(UserError, match="path = ''; expected a file"):
        suppress.run(sd, LIST, "glasses", method="context-map")
    with pytest.raises(UserError, match="strength = 2"):
        parse_method("context-map", strength=2)
    with pytest.raises(UserError, match="uncond = 'x'"):
        parse_method("context-map", uncond="x")


def test_a_map_made_by_hand(sd):
    made = make_map(sd, 2 * torch.eye(192))
    ctx = sd.encode_text("a cat")
    assert torch.equal(made.apply(ctx), 2 * ctx) and made.describe() == "a map of nothing, made with tiny"
