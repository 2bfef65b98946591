"""The text of `minisd info`: what a checkpoint is, from headers and config files alone. No weights are loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import torch

from ..base.counted import counted
from ..base.errors import CheckpointError
from ..base.inputs import read_json
from ..config import SD14, UNetConfig
from ..loading import compvis
from ..loading.checkpoint import check, first_keys, read_parts
from ..loading.config_files import unet_config
from ..loading.family import SD1, family, has_ema
from ..loading.source import Source, find, weight_files
from ..loading.weight_files import Header, open_weights
from ..unet import UNet

_PREFIXES = {"unet": compvis.UNET, "vae": compvis.VAE, "text_encoder": compvis.TEXT}


def describe(source: str, variant: str | None = None, revision: str | None = None) -> list[str]:
    """Lines of text: family, parameters, dtype, EMA, attention sites. A hub id must be in the cache."""
    found = find(source, variant, revision, download=False)
    lines = [f"source      {source}" + (f"  ({found.path})" if str(found.path) != source else "")]
    if found.is_folder:
        headers = {part: open_weights(file).shapes for part, file in weight_files(found.path, variant).items()}
        unet = unet_config(read_json(found.path / "unet" / "config.json"))
        lines += ["family      Stable Diffusion v1.x, folder (diffusers)"]
        ema = "no (a folder holds one set; look for a non_ema variant)"
    else:
        shapes = open_weights(found.path).shapes
        lines += [f"family      {family(shapes)}"]
        if family(shapes) != SD1:
            return [
                *lines,
                f"tensors     {len(shapes)}, {_parameters(shapes.values())}",
                *_dtypes(shapes.values()),
            ]
        headers = {part: _under(shapes, prefix) for part, prefix in _PREFIXES.items()}
        unet = SD14.unet
        ema = "yes (--ema)" if has_ema(shapes) else "no"
    counts = ", ".join(f"{part.replace('_', ' ')} {_parameters(h.values())}" for part, h in headers.items())
    everything = [h for part in headers.values() for h in part.values()]
    lines += [f"parameters  {counts}", *_dtypes(everything), f"EMA         {ema}"]
    return [*lines, *_loads(found, variant), *_sites(unet)]


def _loads(source: Source, variant: str | None) -> list[str]:
    """Whether `minisd.load` can load it: yes, with the keys that it ignores, or no, with the reason."""
    try:
        ignored = check(read_parts(source, variant, ema=False)[1])
    except CheckpointError as error:
        return ["loads       no: " + str(error).replace("\n", "\n          ")]
    return ["loads       yes" + (f"; ignored: {first_keys(ignored)}" if ignored else "")]


def _under(shapes: Mapping[str, Header], prefix: str) -> dict[str, Header]:
    return {k: h for k, h in shapes.items() if k.startswith(prefix) and not k.endswith("position_ids")}


def _parameters(headers: Iterable[Header]) -> str:
    return f"{sum(h.size for h in headers) / 1e6:,.2f} M"


def _dtypes(headers: Iterable[Header]) -> list[str]:
    return [f"dtype       {', '.join(sorted(Counter(h.dtype for h in headers)))}"]


def _sites(config: UNetConfig) -> list[str]:
    """One line per transformer: its two sites have the same place, scale and heads."""
    with torch.device("meta"):
        sites = UNet(config).sites
    side = config.sample_size
    lines = [f"attention   {len(sites)} sites (each .self and .cross), grids at latents {side}×{side}"]
    for site in sites[::2]:
        name = site.name.removesuffix(".self")
        grid = -(-side // site.scale)
        lines.append(f"            {name:<8} {site.place:<5} {grid}×{grid}, {counted(site.heads, 'head')}")
    return lines
