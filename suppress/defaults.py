"""A method's settings for a checkpoint: those measured on it, or else the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minisd import CheckpointError, StableDiffusion, UserError
from minisd.base.arguments import shown
from minisd.base.inputs import read_json

from .methods import DEFAULT, METHODS, parse_method
from .methods.catalogue.entry import Entry
from .protocol import Method


def default_settings(
    sd: StableDiffusion, method: str | None = None, picture: bool = False, **given: Any
) -> tuple[Method, str]:
    """(settings, where their R comes from).

    If the checkpoint's folder has a defaults.json, its values are used: they were measured on that checkpoint.
    Otherwise the settings are the published ones, or the method's own if it is not published.
    method: a name, or "name:field=value,…" (`parse_method`). `given` replaces single values.
    picture: the settings are for the edit of a picture (`_for_pictures`); measured and given values count before them.
    """
    spec = DEFAULT if method is None else method
    if not isinstance(spec, str):
        raise UserError(f"method = {shown(spec)}; expected the name of a method, such as {DEFAULT!r}")
    name = spec.partition(":")[0]
    measured = measured_defaults(sd)
    settings = parse_method(spec, measured, **given)  # raises UserError for an unknown name
    if picture:
        own = {**_for_pictures(METHODS[name], measured), **measured.get(name, {})}
        settings = parse_method(spec, {**measured, name: own}, **given)
    return settings, f"measured on {sd.name}" if _has_start(name, measured) else METHODS[name].origin


def measured_start(sd: StableDiffusion) -> int | float | None:
    """R of the default method as it was measured on the checkpoint; None: it was not."""
    return default_settings(sd)[0].start if _has_start(DEFAULT, measured_defaults(sd)) else None


def _has_start(name: str, measured: Mapping[str, Any]) -> bool:
    general = {} if METHODS[name].preset else measured.get("all", {})
    return "start" in {*general, *measured.get(name, {})}


def _for_pictures(entry: Entry, measured: Mapping[str, Any]) -> dict[str, Any]:
    """A method's settings for real pictures: those published for them, and keep = 1.

    Without `keep`, an edit of the context alone drifts away from the picture. A preset has its published `keep`, and a
    method with a default of its own has that one.
    """
    if entry.preset or entry.kind.keep != Method.keep or "keep" in entry.bound:
        return dict(entry.for_pictures)
    return {"keep": 1.0, **entry.for_pictures, **measured.get("all", {})}


def measured_defaults(sd: StableDiffusion) -> dict[str, Any]:
    """The content of the checkpoint's defaults.json; empty if it has none."""
    file = sd.folder / "defaults.json" if sd.folder else None
    if not file or not file.is_file():
        return {}
    try:
        return read_json(file)
    except CheckpointError as error:
        raise UserError(f"{error}; repair it, or remove it to use the published settings") from None
