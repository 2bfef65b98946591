"""A pipeline of diffusers in memory, by duck typing: the same model, the same strictness, clear refusals.

test_diffusers_parity.py does the same with diffusers itself.
"""

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from checkpoints import modules, same_model, same_weights

import minisd
from minisd import CheckpointError, UserError

pytestmark = pytest.mark.quick


def refused(pipe, *words, kind=UserError):
    with pytest.raises(kind) as caught:
        minisd.from_pipeline(pipe)
    for word in words:
        assert word in str(caught.value)


def change(part, **fields):
    part.config = part.config | fields


def add(part, name, tensor):
    """One more tensor in the part's state dict."""
    state = part.module.state_dict() | {name: tensor}
    part.state_dict = lambda: state


def test_it_is_the_same_model(pipe, sd, recwarn):
    found = minisd.from_pipeline(pipe)
    same_model(found, sd)
    assert (found.config, found.dtype, found.device) == (sd.config, sd.dtype, sd.device)
    assert found.tokenizer.ids("a man without glasses") == sd.tokenizer.ids("a man without glasses")
    assert (found.name, found.folder) == ("some/pipeline", None) and not recwarn.list


def test_no_weight_is_copied_and_the_pipeline_stays_as_it_is(pipe):
    pipe.unet.module = deepcopy(pipe.unet.module).requires_grad_(True).train()
    found = minisd.from_pipeline(pipe)
    for part, module in modules(found).items():
        theirs = [tensor.data_ptr() for tensor in getattr(pipe, part).state_dict().values()]
        assert [tensor.data_ptr() for tensor in module.state_dict().values()] == theirs
        assert not any(p.requires_grad for p in module.parameters()) and not module.training
    assert pipe.unet.module.training and all(p.requires_grad for p in pipe.unet.module.parameters())


def test_the_dtype_is_the_pipelines(pipe, recwarn):
    for part in ("unet", "vae", "text_encoder"):
        getattr(pipe, part).module = deepcopy(getattr(pipe, part).module).half()
    found = minisd.from_pipeline(pipe)
    assert {p.dtype for module in modules(found).values() for p in module.parameters()} == {torch.float16}
    assert not recwarn.list


def test_a_part_of_another_dtype_is_converted_and_told(pipe, sd):
    pipe.text_encoder.module = deepcopy(pipe.text_encoder.module).half()
    with pytest.warns(UserWarning, match=r"to the UNet's torch\.float32 on cpu: text_encoder \(torch\.float16, cpu\)"):
        found = minisd.from_pipeline(pipe)
    assert found.text_encoder.final_layer_norm.weight.dtype == torch.float32
    same_weights(found, sd)  # the embedded model's own numbers are float16


def test_configs_of_transformers_and_compiled_parts(pipe, sd):
    pipe.text_encoder.config = SimpleNamespace(to_dict=lambda content=pipe.text_encoder.config: content)
    pipe.unet = SimpleNamespace(_orig_mod=pipe.unet, config=pipe.unet.config)
    same_weights(minisd.from_pipeline(pipe), sd)


def test_old_names_and_the_prefix_of_the_text_encoder(pipe, sd):
    text = {f"text_model.{name}": x for name, x in pipe.text_encoder.module.state_dict().items()}
    text["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    pipe.text_encoder.state_dict = lambda: text
    same_weights(minisd.from_pipeline(pipe), sd)


def test_a_word_of_textual_inversion(pipe, sd):
    def save(folder, save=pipe.tokenizer.save_pretrained):
        save(folder)
        Path(folder, "added_tokens.json").write_text('{"<crown>": 869}')

    pipe.tokenizer.save_pretrained = save
    refused(pipe, "pipe.tokenizer has ids up to 869", "embeds 869 tokens", kind=CheckpointError)
    embedding = "embeddings.token_embedding.weight"
    rows = pipe.text_encoder.module.state_dict()[embedding]
    add(pipe.text_encoder, embedding, torch.cat([rows, rows[:1]]))
    change(pipe.text_encoder, vocab_size=870)
    found = minisd.from_pipeline(pipe)
    assert found.tokenizer.ids("a <crown>") == [*sd.tokenizer.ids("a"), 869]


@pytest.mark.parametrize("thing", [None, 3, "tiny", object(), {"unet": None}])
def test_what_is_no_pipeline(thing):
    refused(thing, "expected a StableDiffusionPipeline of diffusers", "minisd.load")


def test_a_model_of_minisd(sd):
    refused(sd, "is a model of minisd already")


def test_missing_parts(pipe):
    pipe.vae = None
    refused(pipe, "has no vae; load the pipeline with all its parts")
    del pipe.vae, pipe.scheduler
    refused(pipe, "has no vae, scheduler")


@pytest.mark.parametrize("name", ["unet", "vae", "text_encoder"])
def test_parts_without_weights_or_config(pipe, name):
    setattr(pipe, name, SimpleNamespace(config={}))
    refused(pipe, f"pipe.{name} = ", "has no weights")
    setattr(pipe, name, torch.nn.Linear(2, 2))
    refused(pipe, f"pipe.{name} = ", "has no config")


def test_a_tokenizer_that_writes_nothing(pipe):
    pipe.tokenizer = "clip"
    refused(pipe, "pipe.tokenizer = 'clip'; expected a CLIPTokenizer")


def test_other_families(pipe):
    pipe.text_encoder_2 = object()
    refused(pipe, "SDXL")
    pipe.text_encoder_2, pipe.transformer = None, object()
    refused(pipe, "FLUX")


CONFIGS = [
    ("unet", {"use_linear_projection": True}, "pipe.unet.config is a Stable Diffusion 2.x UNet"),
    ("unet", {"in_channels": 9}, "for inpainting"),
    ("vae", {"latent_channels": 16}, "the VAE's latents have 16 channels"),
    ("text_encoder", {"hidden_size": 96}, "the pipeline: the text encoder is 96 wide and the UNet expects 192"),
    ("scheduler", {"prediction_type": "v_prediction"}, "pipe.scheduler.config is not of the Stable Diffusion v1"),
    ("scheduler", {"beta_schedule": "linear"}, "beta_schedule = 'linear' (SD v1: 'scaled_linear')"),
    ("scheduler", {"beta_end": 2.0}, "beta runs from"),
]


@pytest.mark.parametrize("part, fields, text", CONFIGS)
def test_configs_are_checked_as_a_folders(pipe, part, fields, text):
    change(getattr(pipe, part), **fields)
    refused(pipe, text, kind=CheckpointError)


def test_weights_are_checked_as_a_folders(pipe):
    add(pipe.unet, "conv_in.more", torch.zeros(1))
    add(pipe.vae, "quant_conv.weight", torch.zeros(2, 2))
    refused(pipe, "unexpected (1): conv_in.more", "quant_conv.weight (2, 2) for (8, 8, 1, 1)", kind=CheckpointError)


def test_quantised_weights(pipe):
    add(pipe.unet, "conv_in.weight", torch.zeros(64, 4, 3, 3, dtype=torch.uint8))
    refused(pipe, "conv_in.weight of the kind UINT8, quantised", kind=CheckpointError)


def test_loras_that_are_not_merged(pipe):
    add(pipe.unet, "mid_block.attentions.0.proj_in.lora_A.default.weight", torch.zeros(4, 192))
    refused(pipe, "pipe.unet has LoRA layers", "pipe.fuse_lora()")


def test_weights_that_are_not_in_memory(pipe):
    pipe.vae.module = deepcopy(pipe.vae.module).to("meta")
    refused(pipe, "pipe.vae are not in memory", "enable_sequential_cpu_offload")


def test_further_parts_are_told(pipe):
    pipe.components = {"unet": pipe.unet, "controlnet": object(), "safety_checker": object(), "image_encoder": None}
    with pytest.warns(UserWarning, match="its controlnet cannot be taken over"):
        minisd.from_pipeline(pipe)
