"""Make tests/goldens/suppress_eot.safetensors: the official SuppressEOT loop, written on diffusers' UNet.

`python tests/goldens/make_suppress_eot.py [MODEL_FOLDER] [--out FILE]`, with the extra `parity` installed.

It imports nothing of this repository, so that an error in it and one in the packages would have to be made twice; it
was written from a description of the official code (sen-mao/SuppressEOT), which was also read where that is silent;
no line is taken from it. MODEL_FOLDER is a folder in diffusers layout (weights/tiny); its fp16 weights run as float32
on the CPU, SVD and losses as float64.
Where the official code has 16x16 maps of 64x64 latents, here they are 4x4 of 16x16: the same layers (cross and self
attention of down_blocks.2 and up_blocks.1). Masks go 4 -> 64 -> 4. Metadata: versions, prompts, cases, settings.

Cases (n = tokens of the prompt with SOT and first EOT; positions count SOT as 0):

    half    "a man without glasses", target [4], seed 0; maps of heads 0-3 only, as the official code does; n = 6
    all     the same with the maps of all 8 heads
    long    "a man with a beard wearing glasses and a hat in a blue shirt", target [7], seed 1, heads 0-3; n = 16
    swr     `half` with 0 iterations: SWR alone
    long2   `long` with 2 iterations a step instead of 10
    brief   `half` with seed 5, in 10 steps instead of 50, ITO × 5 in steps 2 and 3: a test of it is soon done

Tensors (float32 unless said otherwise):

    c.uncond, c.short, c.long    (77, 192)   contexts of "", of the prompt of half/all/swr, of that of long/long2
    swr.short, swr.long          (77, 192)   SWR(c)
    CASE.original, CASE.edited   (1, 4, 16, 16)  final latents of the two branches
    CASE.start                   (1, 4, 16, 16)  latents that enter step 10 (t = 781), the same in both branches
    CASE.edited_next             (1, 4, 16, 16)  the edited branch after step 10

and for the cases with ITO (k iterations; of brief step 2 stands for step 10, and loss has 2 rows):

    CASE.loss      (10, k) float64   [step - 10, iteration], each before that iteration's update of the context
    CASE.parts     (k, 4) float64    of step 10, by iteration: cross kept, cross erased, self kept, self erased;
                                     loss = parts @ (1, -1/2, 1, -1/2)
    CASE.context   (k, n + 1, 192)   rows 0..n of the context after each iteration of step 10
    CASE.cross     (16, 77)          reference cross map of step 10, [pixel, token]: mean of 5 layers and the heads
    CASE.self      (16, 16)          reference self map of step 10, [query pixel, key pixel]
    CASE.masks     (n - 2, 16) bool  M_i of step 10 for the positions i = 1..n-2, row i - 1

    maskS.map, maskS.target, maskS.kept  (32, S²) for S = 4, 16: uniform numbers, their masks with both thresholds

How far rounding moves them: with contexts moved by 1e-7 of their size, or two threads instead of one (half and all
only), the final latents of half, all, swr and long2 change by 1e-5 of their standard deviation or less. `long` does
not bear it: its descent overshoots, and from the third iteration on a rounding error grows tenfold every iteration or
two (2 to 5 % of the final latents' standard deviation). Compare of `long` what the first three iterations of step 10
give; long2 is there for the rest.
"""

import argparse
import json
import math
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

HERE = Path(__file__).resolve().parent
PACKAGES = ("torch", "diffusers", "transformers", "tokenizers", "safetensors")
PROMPTS = {
    "uncond": "",
    "short": "a man without glasses",
    "long": "a man with a beard wearing glasses and a hat in a blue shirt",
}
TARGET_WORD = "glasses</w>"
GUIDANCE = 7.5
GAMMA = 1.0
STEP_SIZE = 20.0
STEP_DECAY = (1.0, 0.1)
ERASE_WEIGHT = -0.5
THRESHOLD_TARGET, THRESHOLD_KEPT = 0.85, 0.95
MASK_ENLARGED = 16
RANDOM_MASKS = {"count": 32, "sides": (4, 16), "seed": 0}
LATENT_SIDE = 16
MAP_SIDE = LATENT_SIDE // 4
MAP_LAYERS = 5
TOKENS = 77

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    prompt: str
    targets: tuple[int, ...]
    seed: int
    heads: int
    iterations: int = 10
    steps: int = 50
    first_step: int = 10  # R: from here on the edited branch gets SWR(c)
    end_step: int = 20  # ITO in first_step <= i < end_step


CASES = {
    "half": Case("short", (4,), seed=0, heads=4),
    "all": Case("short", (4,), seed=0, heads=8),
    "long": Case("long", (7,), seed=1, heads=4),
    "swr": Case("short", (4,), seed=0, heads=4, iterations=0),
    "long2": Case("long", (7,), seed=1, heads=4, iterations=2),
    "brief": Case("short", (4,), seed=5, heads=4, iterations=5, steps=10, first_step=2, end_step=4),
}


class Recorder:
    """An attention processor with an explicit softmax, which keeps the maps of MAP_SIDE² queries while it records."""

    def __init__(self) -> None:
        self.recording = False
        self.cross: list[Tensor] = []
        self.self: list[Tensor] = []

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        assert attention_mask is None and not attn.residual_connection and attn.rescale_output_factor == 1
        assert attn.group_norm is None and attn.spatial_norm is None and not attn.norm_cross
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source)
        q, k, v = (x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (q, k, v))
        scores = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
        probabilities = torch.softmax(scores, dim=-1)  # (batch, heads, queries, keys)
        if self.recording and probabilities.shape[2] == MAP_SIDE**2:
            (self.self if encoder_hidden_states is None else self.cross).append(probabilities)
        out = (probabilities @ v).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))


class Model:
    def __init__(self, folder: Path) -> None:
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval()
        self.unet.requires_grad_(False)
        self.recorder = Recorder()
        self.unet.set_attn_processor(self.recorder)
        self.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")

    def eps(self, z: Tensor, t: Tensor, ctx: Tensor) -> Tensor:
        return self.unet(z, t, encoder_hidden_states=ctx).sample

    def maps(self, z: Tensor, t: Tensor, ctx: Tensor, heads: int) -> tuple[Tensor, Tensor]:
        """The cross (pixels, tokens) and self (pixels, pixels) map of one conditional pass of one sample."""
        recorder = self.recorder
        recorder.cross, recorder.self, recorder.recording = [], [], True
        self.eps(z, t, ctx[None])
        recorder.recording = False
        assert len(recorder.cross) == len(recorder.self) == MAP_LAYERS
        cross, itself = (
            torch.cat([layer[0, :heads] for layer in layers]).mean(0) for layers in (recorder.cross, recorder.self)
        )
        return cross, itself


def encode(folder: Path) -> tuple[Tensors, dict[str, int]]:
    """The contexts (77, D) of the prompts, and each prompt's n."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
    for case in CASES.values():
        words = tokenizer.convert_ids_to_tokens(tokenizer(PROMPTS[case.prompt]).input_ids)
        assert all(words[position] == TARGET_WORD for position in case.targets), words
    padded = tokenizer(list(PROMPTS.values()), padding="max_length", max_length=TOKENS, return_tensors="pt")
    with torch.no_grad():
        contexts = encoder(input_ids=padded.input_ids).last_hidden_state
    lengths = {name: len(tokenizer(prompt).input_ids) for name, prompt in PROMPTS.items()}
    return dict(zip(PROMPTS, contexts, strict=True)), lengths


def swr(c: Tensor, targets: tuple[int, ...], n: int) -> Tensor:
    """Soft-weighted regularization of the targets' rows and those of every EOT: sigma becomes sigma exp(-sigma)."""
    rows = [*targets, *range(n - 1, TOKENS)]
    u, sigma, vh = torch.linalg.svd(c[rows].double().T, full_matrices=False)
    softened = (u * (sigma * torch.exp(-GAMMA * sigma))) @ vh
    out = c.clone()
    out[rows] = softened.T.float()
    return out


def resize(x: Tensor, side: int) -> Tensor:
    return nn.functional.interpolate(x[None, None], size=(side, side), mode="bilinear", align_corners=False)[0, 0]


def mask(column: Tensor, threshold: float) -> Tensor:
    """Which key pixels belong to a word, from its column of the reference cross map."""
    side = math.isqrt(len(column))
    large = resize(column.double().reshape(side, side), MASK_ENLARGED * side)
    marked = torch.where(large >= threshold * large.max(), 255.0, 0.0)
    return resize(marked, side).flatten() > 0


def masks(cross: Tensor, targets: tuple[int, ...], n: int) -> Tensor:
    """(n - 2, pixels): one row for each of the positions 1..n-2."""
    thresholds = [THRESHOLD_TARGET if i in targets else THRESHOLD_KEPT for i in range(1, n - 1)]
    return torch.stack([mask(cross[:, i], threshold) for i, threshold in enumerate(thresholds, start=1)])


def random_masks() -> Tensors:
    tensors = {}
    for side in RANDOM_MASKS["sides"]:
        generator = torch.Generator().manual_seed(RANDOM_MASKS["seed"])
        maps = torch.rand((RANDOM_MASKS["count"], side**2), generator=generator)
        tensors[f"mask{side}.map"] = maps
        tensors[f"mask{side}.target"] = torch.stack([mask(column, THRESHOLD_TARGET) for column in maps])
        tensors[f"mask{side}.kept"] = torch.stack([mask(column, THRESHOLD_KEPT) for column in maps])
    return tensors


def distance(a: Tensor, b: Tensor) -> Tensor:
    return 1 - nn.functional.cosine_similarity(a, b, dim=0)


def loss_parts(reference: tuple[Tensor, Tensor], maps: tuple[Tensor, Tensor], case: Case, n: int) -> Tensor:
    """(4,) float64: cross kept, cross erased, self kept, self erased; plain sums, not yet weighted."""
    chosen = masks(reference[0], case.targets, n)
    (a, s), (a_new, s_new) = ([x.double() for x in pair] for pair in (reference, maps))
    kept = [i for i in range(1, n - 1) if i not in case.targets]
    parts = []
    for words in (kept, case.targets):
        parts.append(sum((distance(a[:, i], a_new[:, i]) for i in words), start=torch.zeros((), dtype=torch.float64)))
    for words in (kept, case.targets):
        pixels = [j for i in words for j in chosen[i - 1].nonzero().flatten().tolist()]
        parts.append(sum((distance(s[:, j], s_new[:, j]) for j in pixels), start=torch.zeros((), dtype=torch.float64)))
    return torch.stack(parts)


def ito(
    model: Model, z: Tensor, z_edited: Tensor, i: int, t: Tensor, c: Tensor, soft: Tensor, case: Case, n: int
) -> tuple[Tensor, Tensors]:
    """Inference-time optimization: the context after the iterations of step i, and what a golden tells of them."""
    weights = torch.tensor([1, ERASE_WEIGHT, 1, ERASE_WEIGHT], dtype=torch.float64)
    decay = torch.linspace(*STEP_DECAY, case.steps, dtype=torch.float64)[i].item()
    rate = STEP_SIZE * math.sqrt(decay)
    with torch.no_grad():
        reference = model.maps(z, t, c, case.heads)
    ctx, told, after = soft, [], []
    for _ in range(case.iterations):
        ctx = ctx.detach().requires_grad_(True)
        parts = loss_parts(reference, model.maps(z_edited, t, ctx, case.heads), case, n)
        [gradient] = torch.autograd.grad(parts @ weights, [ctx])
        ctx = (ctx - rate * gradient).detach()
        told.append(parts.detach())
        after.append(ctx[: n + 1])
    parts = torch.stack(told)
    return ctx, {
        "loss": parts @ weights,
        "parts": parts,
        "context": torch.stack(after),
        "cross": reference[0],
        "self": reference[1],
        "masks": masks(reference[0], case.targets, n),
    }


def run(model: Model, case: Case, contexts: Tensors, soft: Tensor, n: int) -> Tensors:
    """One case: both branches from noise to latents.  contexts: by prompt's name; soft: SWR of the case's."""
    c, uncond = contexts[case.prompt], contexts["uncond"]
    noise = torch.randn((1, 4, LATENT_SIDE, LATENT_SIDE), generator=torch.Generator().manual_seed(case.seed))
    z = torch.cat([noise, noise])  # [original, edited]
    tensors: Tensors = {}
    losses = []
    model.scheduler.set_timesteps(case.steps)
    for i, t in enumerate(model.scheduler.timesteps):
        edited = c if i < case.first_step else soft  # reset at every step
        if i == case.first_step:
            assert torch.equal(z[0], z[1])
            tensors["start"] = z[:1]
        if case.first_step <= i < case.end_step and case.iterations:
            edited, told = ito(model, z[:1], z[1:], i, t, c, soft, case, n)
            losses.append(told["loss"])
            if i == case.first_step:
                tensors |= told
        with torch.no_grad():
            eps_uncond = model.eps(z, t, torch.stack([uncond, uncond]))
            eps_text = model.eps(z, t, torch.stack([c, edited]))
            eps = eps_uncond + GUIDANCE * (eps_text - eps_uncond)
            z = model.scheduler.step(eps, t, z, eta=0.0).prev_sample
        if i == case.first_step:
            tensors["edited_next"] = z[1:]
    if losses:
        tensors["loss"] = torch.stack(losses)
    return {"original": z[:1], "edited": z[1:]} | tensors


def make(folder: Path) -> Tensors:
    model = Model(folder)
    contexts, lengths = encode(folder)
    softened = {case.prompt: swr(contexts[case.prompt], case.targets, lengths[case.prompt]) for case in CASES.values()}
    tensors = {f"c.{name}": c for name, c in contexts.items()} | {f"swr.{name}": c for name, c in softened.items()}
    for name, case in CASES.items():
        made = run(model, case, contexts, softened[case.prompt], lengths[case.prompt])
        tensors |= {f"{name}.{key}": tensor for key, tensor in made.items()}
    return tensors | random_masks()


def check(tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise SystemExit(f"{name} is not finite")
    for name in ("half", "all"):  # the long prompt's descent overshoots
        loss, change = tensors[f"{name}.loss"], tensors[f"{name}.edited"] - tensors["swr.edited"]
        if not (loss[:, -1] < loss[:, 0]).all():
            raise SystemExit(f"{name}: the iterations do not lower the loss")
        if change.std() < 0.02 * tensors["swr.edited"].std():
            raise SystemExit(f"{name}: the iterations change nothing")


def save(tensors: Tensors, out: Path) -> None:
    settings = {
        "guidance": GUIDANCE,
        "eta": 0.0,
        "gamma": GAMMA,
        "step_size": STEP_SIZE,
        "step_decay": STEP_DECAY,
        "erase_weight": ERASE_WEIGHT,
        "threshold_target": THRESHOLD_TARGET,
        "threshold_kept": THRESHOLD_KEPT,
    }
    metadata = {name: version(name) for name in PACKAGES}
    metadata |= {
        "made_by": "tests/goldens/make_suppress_eot.py",
        "prompts": json.dumps(PROMPTS),
        "cases": json.dumps({name: asdict(case) for name, case in CASES.items()}),
        "settings": json.dumps(settings),
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out, metadata=metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the golden file of SuppressEOT on the embedded tiny model.")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE.parents[1] / "weights" / "tiny")
    parser.add_argument("--out", type=Path, default=HERE / "suppress_eot.safetensors")
    args = parser.parse_args()
    if not args.folder.is_dir():
        parser.error(f"no model folder at {args.folder}")
    tensors = make(args.folder)
    check(tensors)
    save(tensors, args.out)
    for name, tensor in tensors.items():
        print(f"{name:18} {tuple(tensor.shape)}")
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
