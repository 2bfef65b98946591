"""`from_pipeline`, `apply` and `export` with diffusers itself, on the embedded model: the same pictures."""

import numpy as np
import pytest
import torch
from checkpoints import modules, same_weights
from safetensors.torch import save_file

import minisd
import suppress
from minisd.loading.source import data_folder

diffusers = pytest.importorskip("diffusers", minversion="0.30", reason='needs pip install "minisd[parity]"')

PROMPT, STEPS = "a man without glasses", 4


def load(folder):
    """The pipeline, all parts in float32. transformers 5 would keep the text encoder in the file's dtype."""
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.text_encoder.float()
    return pipe


@pytest.fixture(scope="module")
def theirs():
    return load(data_folder() / "tiny")


def psnr(a, b):
    difference = np.asarray(a, float) - np.asarray(b, float)
    return 10 * np.log10(255**2 / max((difference**2).mean(), 1e-10))


def drawn(pipe, sd):
    """The pipeline's picture from minisd's noise."""
    return pipe(PROMPT, num_inference_steps=STEPS, latents=sd.noise([0], sd.side, sd.side)).images[0]


def test_from_pipeline_is_the_embedded_model(theirs, sd):
    found = minisd.from_pipeline(theirs)
    same_weights(found, sd)
    assert found.config == sd.config and found.tokenizer.ids(PROMPT) == sd.tokenizer.ids(PROMPT)
    assert psnr(found.generate(PROMPT, steps=STEPS)[0], drawn(theirs, sd)) > 50


def test_an_exported_model_draws_the_same_picture_in_diffusers(tmp_path, sd):
    folder = minisd.export(sd, tmp_path / "model")
    pipe = load(folder)
    for text in (PROMPT, "Ünïcödé, don't [x] (y:1.2) 12", "<|endoftext|> a cat", ""):
        assert pipe.tokenizer(text, add_special_tokens=False).input_ids == sd.tokenizer.ids(text)
    assert psnr(sd.generate(PROMPT, steps=STEPS)[0], drawn(pipe, sd)) > 50
    same_weights(minisd.from_pipeline(pipe), sd)


def test_apply_on_a_pipeline(theirs, sd):
    """The original of the two branches is the pipeline's own picture, and the other one lacks the glasses."""
    settings = suppress.Unread(steps=STEPS, start=0)
    found = suppress.apply(theirs, PROMPT, "glasses", settings=settings)
    assert psnr(found.result.original, drawn(theirs, sd)) > 50
    same = suppress.run(sd, PROMPT, "glasses", settings=settings)
    assert psnr(found.images[0], same.image) > 50 and psnr(found.images[0], found.result.original) < 40


def test_a_word_of_textual_inversion(sd):
    pipe = load(data_folder() / "tiny")
    pipe.load_textual_inversion({"<crown>": sd.text_encoder.embeddings.token_embedding.weight[5].clone()})
    found = minisd.from_pipeline(pipe)
    assert found.tokenizer.ids("a <crown>") == pipe.tokenizer("a <crown>", add_special_tokens=False).input_ids
    assert found.text_encoder.embeddings.token_embedding.weight[869].equal(
        sd.text_encoder.embeddings.token_embedding.weight[5]
    )


@pytest.mark.parametrize("skip", [0, 1, 3])
def test_clip_skip(theirs, skip):
    """What `clip_skip` of diffusers takes for the prompt: a hidden state of transformers, after the final LayerNorm."""
    encoder = theirs.text_encoder
    norm = getattr(encoder, "text_model", encoder).final_layer_norm  # transformers 5 has it without the prefix
    ids = theirs.tokenizer(PROMPT, padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        expected = norm(encoder(ids, output_hidden_states=True).hidden_states[-(skip + 1)])
    found = minisd.from_pipeline(theirs, clip_skip=skip).encode_text(PROMPT)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["kohya", "diffusers"])
def test_a_lora_is_merged_as_diffusers_does(tmp_path, sd, kind):
    """In the UNet: with transformers 5, diffusers 0.42 drops what such a file has for the text encoder."""
    pytest.importorskip("peft", reason='diffusers needs it for LoRAs: pip install "minisd[parity]"')
    random, tensors = torch.Generator().manual_seed(0), {}
    names = ("up_blocks.1.attentions.2.transformer_blocks.0.attn1.to_out.0", "mid_block.attentions.0.proj_in")
    for name in names:
        shape = sd.unet.get_parameter(f"{name}.weight").shape
        down = torch.randn(4, *shape[1:], generator=random) / 50
        up = torch.randn(shape[0], 4, *[1] * (len(shape) - 2), generator=random)
        if kind == "kohya":
            flat = f"lora_unet_{name.replace('.', '_')}"
            tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
            tensors[f"{flat}.alpha"] = torch.tensor(2.0)
        else:
            tensors |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
    path = tmp_path / "l.safetensors"
    save_file(tensors, path)
    pipe = load(data_folder() / "tiny")
    pipe.load_lora_weights(str(path))
    with pytest.raises(minisd.UserError, match="has LoRA layers"):
        minisd.from_pipeline(pipe)
    pipe.fuse_lora(lora_scale=0.8)
    pipe.unload_lora_weights()
    mine, theirs = minisd.load("tiny", device="cpu", lora=f"{path}:0.8"), minisd.from_pipeline(pipe)
    for part, module in modules(mine).items():
        other, before = modules(theirs)[part].state_dict(), modules(sd)[part].state_dict()
        changed = {name for name, x in module.state_dict().items() if not torch.equal(x, before[name])}
        assert changed == ({f"{name}.weight" for name in names} if part == "unet" else set())
        for name, x in module.state_dict().items():
            torch.testing.assert_close(x, other[name], rtol=1e-5, atol=1e-5)
