"""Make tests/goldens/sd14.safetensors: full-size SD v1.4 modules of diffusers with random weights.

Run it from anywhere, with the extra `parity` installed (diffusers, transformers); it takes about
6 GB of memory and a minute or two:

    python tests/goldens/make_sd14.py [TOKENIZER_FOLDER] [--out FILE]

TOKENIZER_FOLDER holds CLIP's vocab.json and merges.txt, by default weights/clip_tokenizer of this
repository.  The architectures are those of Stable Diffusion v1.4 (UNet, VAE, CLIP ViT-L/14 text
encoder); the weights follow the rule in random_weights.py, so that another implementation can make
the same ones without diffusers.  They are rounded to float16 and then used in float32 on the CPU.
The file's metadata holds the prompt and the versions of the packages that made it.

Tensors (float32 unless said otherwise).  Latents are in the UNet's scale: encoder mean times 0.18215;
the decoder is given latent / 0.18215.

    text.input_ids           (1, 77) int64   the metadata's `prompt`, padded with EOT
    text.last_hidden_every4  (1, 20, 768)    last_hidden_state[:, ::4], from input_ids alone (no mask)
    unet.z                   (1, 4, 8, 8)
    unet.t                   (2,) int64
    unet.eps                 (2, 4, 8, 8)    one noise prediction per timestep, with the context
                                             random_weights.noise("unet.ctx", (1, 77, 768)), not stored
    vae.z                    (1, 4, 8, 8)
    vae.decoded              (1, 3, 64, 64)  decoding of vae.z, not clamped
    vae.x                    (1, 3, 64, 64)  in [-1, 1]
    vae.latent               (1, 4, 8, 8)    encoding of vae.x
"""

import argparse
from importlib.metadata import version
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from random_weights import fill, noise
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

HERE = Path(__file__).resolve().parent
PACKAGES = ("torch", "diffusers", "transformers", "tokenizers", "safetensors")
PROMPT = "a photograph of an astronaut riding a horse"
TIMESTEPS = (1, 801)
TEXT_PREFIX = "text_model."
MIN_DEPENDENCE = 0.01
UNET = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
VAE = {
    "sample_size": 512,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "scaling_factor": 0.18215,
}
TEXT = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 49407,
}

Tensors = dict[str, Tensor]


def randomize(module: nn.Module, prefix: str = "") -> nn.Module:
    """Give the module the rule's weights; `prefix` is what the rule's names have before the module's."""
    for name, tensor in module.state_dict().items():
        if "position_ids" not in name:
            rule_name = prefix + name.removeprefix(prefix)
            tensor.copy_(fill({rule_name: tuple(tensor.shape)})[rule_name])
    return module.eval()


def tokenize(folder: Path) -> Tensor:
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer(PROMPT, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids


def text_goldens(tokenizer_folder: Path) -> Tensors:
    encoder = randomize(CLIPTextModel(CLIPTextConfig(**TEXT)), TEXT_PREFIX)
    ids = tokenize(tokenizer_folder)
    hidden = encoder(input_ids=ids).last_hidden_state
    return {"text.input_ids": ids, "text.last_hidden_every4": hidden[:, ::4]}


def relative_change(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / a.norm()).item()


def check_dependence(what: str, a: Tensor, b: Tensor) -> None:
    change = relative_change(a, b)
    print(f"{what} changes eps by {change:.1%}")
    if change < MIN_DEPENDENCE:
        raise SystemExit(f"eps hardly depends on {what}")


def unet_goldens() -> Tensors:
    unet = randomize(UNet2DConditionModel(**UNET))
    z = noise("unet.z", (1, 4, 8, 8))
    ctx, other_ctx = noise("unet.ctx", (1, 77, 768)), noise("unet.other_ctx", (1, 77, 768))
    eps = torch.cat([unet(z, t, ctx).sample for t in TIMESTEPS])
    check_dependence("t", eps[0], eps[1])
    check_dependence("the context", eps[:1], unet(z, TIMESTEPS[0], other_ctx).sample)
    return {"unet.z": z, "unet.t": torch.tensor(TIMESTEPS), "unet.eps": eps}


def vae_goldens() -> Tensors:
    vae = randomize(AutoencoderKL(**VAE))
    scale = vae.config.scaling_factor
    z = noise("vae.z", (1, 4, 8, 8))
    x = noise("vae.x", (1, 3, 64, 64)).mul(0.5).clamp(-1, 1)
    return {
        "vae.z": z,
        "vae.decoded": vae.decode(z / scale).sample,
        "vae.x": x,
        "vae.latent": vae.encode(x).latent_dist.mean * scale,
    }


@torch.no_grad()
def make(tokenizer_folder: Path) -> Tensors:
    return text_goldens(tokenizer_folder) | vae_goldens() | unet_goldens()


def check(tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise SystemExit(f"{name} is not finite")


def save(tensors: Tensors, out: Path) -> None:
    metadata = {name: version(name) for name in PACKAGES}
    metadata |= {"made_by": "tests/goldens/make_sd14.py", "prompt": PROMPT}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out, metadata=metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the golden file of the full-size modules with diffusers.")
    default = HERE.parents[1] / "weights" / "clip_tokenizer"
    parser.add_argument("tokenizer", nargs="?", type=Path, default=default)
    parser.add_argument("--out", type=Path, default=HERE / "sd14.safetensors")
    args = parser.parse_args()
    if not args.tokenizer.is_dir():
        parser.error(f"no tokenizer folder at {args.tokenizer}")
    tensors = make(args.tokenizer)
    check(tensors)
    save(tensors, args.out)
    for name, tensor in tensors.items():
        std = tensor.float().std().item()
        print(f"{name:26} {tuple(tensor.shape)!s:18} std {std:.3f}")
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
