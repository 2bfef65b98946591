"""Random specs: attributes are drawn independently, each at its own rate, except where two would hide each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from .palette import BACKS, COLORS, FRAMES, FURS, HAIRS
from .spec import EXPRESSIONS, HAIR_STYLES, HATS, KINDS, OBJECTS, SCENES, STYLES, Spec

_KIND_WEIGHTS = (0.24, 0.20, 0.11, 0.11, 0.13, 0.12, 0.09)
_HAT_WEIGHTS = (0.26, 0.20, 0.22, 0.22, 0.10)
_ADULT_HAIR_WEIGHTS = (0.30, 0.30, 0.15, 0.13, 0.12)
_HAIR_WEIGHTS = (0.32, 0.34, 0.18, 0.16, 0)  # children have no gray hair
_HEADPHONE_COLORS = ("red", "blue", "black", "white", "pink", "green")
_OBJECT_COLORS = ("red", "blue", "yellow", "pink", "purple", "orange", "green")


def sample_spec(rng: np.random.Generator, kind: str | None = None) -> Spec:
    """A random Spec, of the given kind if there is one. Equal generators give equal specs. UserError for other kinds.

    The order of the draws must stay as it is: another order gives other pictures for the same seed.
    """
    spec = Spec(kind=kind or _pick(rng, KINDS, _KIND_WEIGHTS))
    spec = _sample_head(rng, spec)
    spec = _sample_neck(rng, spec)
    spec = _sample_surroundings(rng, spec)
    spec = _sample_colours(rng, spec)
    return _sample_rest(rng, spec)


def _pick(rng: np.random.Generator, values: Iterable[str], weights: Sequence[float] | None = None) -> str:
    values = tuple(values)
    if weights is None:
        return values[int(rng.integers(len(values)))]
    return values[int(rng.choice(len(values), p=np.asarray(weights) / np.sum(weights)))]


def _chance(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def _sample_head(rng: np.random.Generator, spec: Spec) -> Spec:
    """Eyewear, hat, beard, moustache, mask."""
    r = rng.random()
    eyewear = _pick(rng, ("round", "square")) if r < 0.35 else "sunglasses" if r < 0.43 else ""
    hat = _pick(rng, HATS, _HAT_WEIGHTS) if _chance(rng, 0.35) else ""
    hat_color = "yellow" if hat == "crown" else _pick(rng, COLORS)
    man = spec.kind == "man"
    beard = _pick(rng, ("short", "long")) if man and _chance(rng, 0.35) else ""
    moustache = man and _chance(rng, 0.35 if beard else 0.15)
    # a mask would hide beard and moustache. 55 % of men have neither, so all kinds wear masks equally often
    mask = not (beard or moustache) and _chance(rng, 0.07 / 0.55 if man else 0.07)
    return replace(spec, eyewear=eyewear, hat=hat, hat_color=hat_color, beard=beard, moustache=moustache, mask=mask)


def _sample_neck(rng: np.random.Generator, spec: Spec) -> Spec:
    """Scarf or bow tie: the scarf would hide the bow tie, and so would a long beard."""
    scarf = _pick(rng, COLORS) if _chance(rng, 0.15) else ""
    bow_tie = _pick(rng, COLORS) if not scarf and _chance(rng, 0.1 / 0.85) else ""
    beard = "short" if bow_tie and spec.beard == "long" else spec.beard
    return replace(spec, scarf=scarf, bow_tie=bow_tie, beard=beard)


def _sample_surroundings(rng: np.random.Generator, spec: Spec) -> Spec:
    """Object, weather, background. It neither rains nor snows in a room."""
    obj = _pick(rng, OBJECTS) if _chance(rng, 0.2) else ""
    weather = _pick(rng, ("rain", "snow")) if _chance(rng, 0.12) else ""
    plain = _pick(rng, BACKS)
    scenes = tuple(scene for scene in SCENES if not (weather and scene == "room"))
    back = _pick(rng, scenes) if _chance(rng, 0.4) else plain
    return replace(spec, obj=obj, weather=weather, plain=plain, back=back)


def _sample_colours(rng: np.random.Generator, spec: Spec) -> Spec:
    """Fur and shirt, kept apart from the background, the scarf and the bow tie."""
    if spec.kind in FURS:
        fur = _pick(rng, FURS[spec.kind])
        spec = replace(spec, fur=fur)
        if spec.back == spec.plain == fur:
            other = "pink" if fur != "pink" else "blue"
            spec = replace(spec, plain=other, back=other)
    shirt = _pick(rng, COLORS)
    if spec.scarf == shirt:
        shirt = "white" if spec.scarf != "white" else "green"
    if spec.bow_tie == shirt:
        shirt = "white" if spec.bow_tie != "white" else "blue"
    return replace(spec, shirt=shirt)


def _sample_rest(rng: np.random.Generator, spec: Spec) -> Spec:
    """Where everything stands, and what hides nothing else. Python evaluates the arguments in the order written."""
    side = 1 if _chance(rng, 0.5) else -1
    dx = -side * rng.uniform(11, 15) if spec.obj else rng.uniform(-6, 6)  # an object needs room
    return replace(
        spec,
        side=side,
        dx=round(float(dx), 2),
        skin=int(rng.integers(5)),
        hair=_pick(rng, HAIR_STYLES[spec.kind]) if spec.is_person else "short",
        hair_color=_pick(rng, HAIRS, _ADULT_HAIR_WEIGHTS if spec.kind in ("man", "woman") else _HAIR_WEIGHTS),
        frame_color=_pick(rng, FRAMES, (0.5, 0.18, 0.18, 0.14)),
        earrings=_chance(rng, 0.2),
        headphones=_pick(rng, _HEADPHONE_COLORS) if _chance(rng, 0.1) else "",
        stripes=_chance(rng, 0.2),
        expression=_pick(rng, EXPRESSIONS, (0.35, 0.35, 0.15, 0.15)),
        disc=_chance(rng, 0.4),
        obj_color=_pick(rng, _OBJECT_COLORS),
        style=_pick(rng, STYLES) if _chance(rng, 0.15) else "",
        flip=1 if _chance(rng, 0.5) else -1,
        dy=round(float(rng.uniform(-3, 4)), 2),
        scale=round(float(rng.uniform(0.96, 1.08) if spec.obj else rng.uniform(0.98, 1.14)), 3),
        tilt=round(float(rng.uniform(-6, 6)), 2),
        seed=int(rng.integers(1 << 16)),
    )
