"""`from_pipeline`, `apply` and `export` with diffusers itself, on the embedded model: the same pictures."""

import numpy as np
import pytest
from checkpoints import same_weights

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
