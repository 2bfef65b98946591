"""Make tests/goldens/tiny.safetensors: what diffusers computes with the embedded tiny model.

Run it from anywhere, with the extra `parity` installed (diffusers, transformers):

    python tests/goldens/make_tiny.py [MODEL_FOLDER] [--out FILE]

MODEL_FOLDER is a model in the diffusers layout, by default weights/tiny of this repository.  Its fp16
weights are loaded as float32 and everything runs in float32 on the CPU.  The file's metadata holds
the versions of the packages that made it, the prompts and the DDIM settings (JSON where structured).
Made again, the tensors are the same to about 1e-5 (the order of the metadata, hence the bytes, varies).

Tensors (float32 unless said otherwise).  Latents are always in the UNet's scale: encoder mean times
the scaling factor; the decoder is given latent / scaling factor.

    text.input_ids     (4, 77) int64   the metadata's `prompts`, cut to 77 and padded with EOT
    text.last_hidden   (4, 77, 192)    from input_ids alone, without an attention mask
    unet.z             (2, 4, 16, 16)
    unet.ctx_index     (2,) int64      ctx = text.last_hidden[ctx_index]
    unet.t             (5,) int64
    unet.eps           (5, 2, 4, 16, 16)   one noise prediction per timestep, both samples at that t
    unet.odd.z         (1, 4, 17, 25)      136x200 pixels: sides that halve unevenly
    unet.odd.t         (1,) int64
    unet.odd.eps       (1, 4, 17, 25)      with ctx = text.last_hidden[unet.ctx_index[:1]]
    vae.x              (1, 3, 128, 128)    ddim.image clamped to [-1, 1]
    vae.latent         (1, 4, 16, 16)      encoding of vae.x
    vae.z              (1, 4, 16, 16)
    vae.decoded        (1, 3, 128, 128)    decoding of vae.z, not clamped
    vae.odd.latent     (1, 4, 17, 25)      encoding of vae.x padded to 136x200 by reflection:
                                           torch.nn.functional.pad(x, (36, 36, 4, 4), mode="reflect")
    vae.odd.decoded_every3  (1, 3, 46, 67)  decoding of vae.odd.latent, [:, :, ::3, ::3] of it
    ddim.noise         (1, 4, 16, 16)      torch.randn, generator seeded with 0
    ddim.timesteps     (20,) int64
    ddim.latents_every5  (4, 4, 16, 16)    after steps 5, 10, 15 and 20
    ddim.latents       (1, 4, 16, 16)      the final ones
    ddim.image         (1, 3, 128, 128)    decoding of ddim.latents, not clamped
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

HERE = Path(__file__).resolve().parent
PACKAGES = ("torch", "diffusers", "transformers", "tokenizers", "safetensors")
PROMPTS = (
    "",
    "a man without glasses",
    "a man with a beard wearing glasses and a hat in a blue shirt",
    ", ".join(["a man with a beard wearing glasses and a hat in a blue shirt"] * 8),
)
CTX_INDEX = (1, 2)
TIMESTEPS = (1, 261, 501, 741, 981)
ODD_TIMESTEP = 501
ODD_LATENT = (17, 25)
ODD_PADDING = (36, 36, 4, 4)
ODD_STRIDE = 3
DDIM = {"steps": 20, "guidance": 7.5, "prompt": PROMPTS[1], "negative": PROMPTS[0], "seed": 0, "eta": 0.0}
DDIM_KEEP_EVERY = 5

Tensors = dict[str, Tensor]


def randn(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tokenize(folder: Path) -> Tensor:
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    batch = tokenizer(list(PROMPTS), padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    return batch.input_ids


def text_goldens(folder: Path) -> Tensors:
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
    ids = tokenize(folder)
    return {"text.input_ids": ids, "text.last_hidden": encoder(input_ids=ids).last_hidden_state}


def unet_goldens(unet: UNet2DConditionModel, text: Tensor) -> Tensors:
    index = torch.tensor(CTX_INDEX)
    ctx = text[index]
    z = randn((2, 4, 16, 16), seed=1)
    odd_z = randn((1, 4, *ODD_LATENT), seed=2)
    return {
        "unet.z": z,
        "unet.ctx_index": index,
        "unet.t": torch.tensor(TIMESTEPS),
        "unet.eps": torch.stack([unet(z, t, ctx).sample for t in TIMESTEPS]),
        "unet.odd.z": odd_z,
        "unet.odd.t": torch.tensor([ODD_TIMESTEP]),
        "unet.odd.eps": unet(odd_z, ODD_TIMESTEP, ctx[:1]).sample,
    }


def encode(vae: AutoencoderKL, x: Tensor) -> Tensor:
    return vae.encode(x).latent_dist.mean * vae.config.scaling_factor


def decode(vae: AutoencoderKL, z: Tensor) -> Tensor:
    return vae.decode(z / vae.config.scaling_factor).sample


def ddim_goldens(folder: Path, unet: UNet2DConditionModel, vae: AutoencoderKL, text: Tensor) -> Tensors:
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(DDIM["steps"])
    ctx = text[[PROMPTS.index(DDIM["negative"]), PROMPTS.index(DDIM["prompt"])]]
    noise = z = randn((1, 4, 16, 16), seed=DDIM["seed"])
    after = []
    for t in scheduler.timesteps:
        negative, positive = unet(torch.cat([z, z]), t, ctx).sample.chunk(2)
        eps = negative + DDIM["guidance"] * (positive - negative)
        z = scheduler.step(eps, t, z, eta=DDIM["eta"]).prev_sample
        after.append(z)
    return {
        "ddim.noise": noise,
        "ddim.timesteps": scheduler.timesteps,
        "ddim.latents_every5": torch.cat(after[DDIM_KEEP_EVERY - 1 :: DDIM_KEEP_EVERY]),
        "ddim.latents": z,
        "ddim.image": decode(vae, z),
    }


def vae_goldens(vae: AutoencoderKL, image: Tensor) -> Tensors:
    x = image.clamp(-1, 1)
    z = randn((1, 4, 16, 16), seed=3)
    odd_latent = encode(vae, nn.functional.pad(x, ODD_PADDING, mode="reflect"))
    return {
        "vae.x": x,
        "vae.latent": encode(vae, x),
        "vae.z": z,
        "vae.decoded": decode(vae, z),
        "vae.odd.latent": odd_latent,
        f"vae.odd.decoded_every{ODD_STRIDE}": decode(vae, odd_latent)[:, :, ::ODD_STRIDE, ::ODD_STRIDE],
    }


@torch.no_grad()
def make(folder: Path) -> Tensors:
    tensors = text_goldens(folder)
    text = tensors["text.last_hidden"]
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval()
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).eval()
    tensors |= unet_goldens(unet, text)
    tensors |= ddim_goldens(folder, unet, vae, text)
    tensors |= vae_goldens(vae, tensors["ddim.image"])
    return tensors


def check(tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise SystemExit(f"{name} is not finite")


def save(tensors: Tensors, out: Path) -> None:
    metadata = {name: version(name) for name in PACKAGES}
    metadata |= {
        "made_by": "tests/goldens/make_tiny.py",
        "prompts": json.dumps(PROMPTS),
        "ddim": json.dumps(DDIM),
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out, metadata=metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the golden file of the embedded tiny model with diffusers.")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE.parents[1] / "weights" / "tiny")
    parser.add_argument("--out", type=Path, default=HERE / "tiny.safetensors")
    args = parser.parse_args()
    if not args.folder.is_dir():
        parser.error(f"no model folder at {args.folder}")
    tensors = make(args.folder)
    check(tensors)
    save(tensors, args.out)
    for name, tensor in tensors.items():
        print(f"{name:26} {tuple(tensor.shape)}")
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
