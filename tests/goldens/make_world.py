"""Make tests/goldens/world.json: what the drawn world drew when the embedded model was trained on it.

`python tests/goldens/make_world.py WORLD.py [--out FILE]`. WORLD.py is the single file of that time, which is not part
of the repository; suppress/world/ was made from it. It has the same public functions. Nothing of this repository is
imported, so that the golden does not follow a change of suppress/world/.

The file holds the versions of numpy and pillow, and for each seed from 0 to 239, with rng = default_rng(seed):

    spec      digest of sample_spec(rng), its fields by name
    captions  digest of four captions that the same rng gives afterwards, then one with full=True
    picture   digest of the pixels of render(spec)
    blocks    96 hexadecimal digits: means of the 4 × 4 blocks of the picture, 32 × 32 pixels × 3 colours each
    regions   of the first 40 seeds: digest of region(spec, name) for each name that the picture can lose

Digests are the first 16 hexadecimal digits of SHA-256. Another version of pillow may round the edge of a shape to
another pixel, which changes `picture` and hardly moves `blocks`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

SEEDS = range(240)
REGIONS = range(40)


def digest(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def blocks(picture) -> np.ndarray:
    """(4,4,3) uint8."""
    pixels = np.asarray(picture, np.float64).reshape(4, 32, 4, 32, 3)
    return np.rint(pixels.mean((1, 3))).astype(np.uint8)


def what_it_draws(world: ModuleType, seed: int) -> dict[str, Any]:
    """The entry of one seed. world: a module with the functions of suppress.world."""
    rng = np.random.default_rng(seed)
    spec = world.sample_spec(rng)
    captions = [world.caption(spec, rng) for _ in range(4)] + [world.caption(spec, rng, full=True)]
    picture = world.render(spec)
    entry = {
        "spec": digest(asdict(spec)),
        "captions": digest(captions),
        "picture": digest(picture.tobytes()),
        "blocks": blocks(picture).tobytes().hex(),
    }
    if seed in REGIONS:
        names = [name for name, shown in world.attributes(spec).items() if shown and name != spec.kind]
        entry["regions"] = digest({name: digest(world.region(spec, name).tobytes()) for name in names})
    return entry


def load(file: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location("world", file)
    assert found and found.loader, file
    module = importlib.util.module_from_spec(found)
    sys.modules["world"] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("world", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("world.json"))
    args = parser.parse_args()
    world = load(args.world)
    lines = [f'"{seed}": {json.dumps(what_it_draws(world, seed))}' for seed in SEEDS]
    versions = json.dumps({name: version(name) for name in ("numpy", "pillow")})
    args.out.write_text(f'{{"versions": {versions}, "seeds": {{\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    main()
