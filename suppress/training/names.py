"""Erasers by name, as `suppress train` takes them: "esd", "concept-ablation:lr=1e-4,iterations=200"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minisd import UserError
from minisd.base.arguments import shown

from ..methods.names import make_named, read_settings
from .catalogue import ERASERS

if TYPE_CHECKING:
    from .eraser import Eraser

DEFAULTS = "training"  # the entry of a checkpoint's defaults.json that has settings by the name of an eraser


def parse_eraser(spec: str, defaults: Mapping[str, Any] | None = None, **given: Any) -> Eraser:
    """ "name" or "name:field=value,field=value" -> settings.

    defaults: the content of a checkpoint's defaults.json. Later ones win: these, `given`, `spec`. UserError for unknown
    names, fields and values.
    """
    name = spec.partition(":")[0] if isinstance(spec, str) else ""
    if name not in ERASERS:
        raise UserError(f"the eraser {shown(spec)} is unknown; expected one of {', '.join(ERASERS)}")
    entry = ERASERS[name]
    return make_named(name, entry, measured(defaults or {}, name) | given | read_settings(spec, entry))


def measured(defaults: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The settings of an eraser that were measured on a checkpoint, from its defaults.json; empty if there are none."""
    training = defaults.get(DEFAULTS, {})
    found = training.get(name, {}) if isinstance(training, Mapping) else None
    if not isinstance(found, Mapping):
        raise UserError(f"the checkpoint's defaults for {DEFAULTS!r} are {shown(training)}; expected settings by names")
    return dict(found)
