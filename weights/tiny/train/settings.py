"""What a run was begun with. It is kept in the output's folder, so that --resume goes on with the same settings."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from minisd import UserError, __version__
from minisd.base.arguments import check_seed, whole_number
from minisd.base.inputs import read_json
from minisd.base.outputs import check_folder, output_path, write_text

from .budget import Budget
from .stage import WORK

FILE = "run.json"
# the seed of the committed model's pictures: the same seed draws the same world
SEED = 2026


@dataclass(frozen=True)
class Given:
    """What the command line gives; None, or a stage that is missing: nothing was given."""

    recipe: str | None = None
    seed: int | None = None
    pictures: int | None = None
    budgets: dict[str, Budget] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """Everything on which the weights depend, besides the machine."""

    recipe: str
    seed: int
    pictures: int
    processes: int
    budgets: dict[str, Budget]
    version: str = __version__

    def write(self, file: Path) -> None:
        write_text(file, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, file: Path) -> Settings:
        """UserError if the file is damaged."""
        content = read_json(file)
        try:
            content["budgets"] = {stage: Budget(**budget) for stage, budget in content["budgets"].items()}
            return cls(**content)
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file} is damaged ({error}); begin a new folder") from None


def begin(out: Path, given: Given, processes: int) -> Settings:
    """Makes the output's folder. UserError if it exists, or for a value that cannot be."""
    from .recipe import RECIPES

    recipe = RECIPES[given.recipe or "tiny"]
    settings = Settings(
        recipe.name,
        check_seed(SEED if given.seed is None else given.seed),
        whole_number("pictures", recipe.pictures if given.pictures is None else given.pictures, 8),
        processes,
        {stage: given.budgets.get(stage, Budget("steps", d.steps)) for stage, d in recipe.descents.items()},
    )
    if os.path.lexists(output_path(out)):
        raise UserError(f"--out {out} exists; give another name, or --resume to go on with the run in it")
    check_folder(out)
    (out / WORK).mkdir(parents=True)
    settings.write(out / WORK / FILE)
    return settings


def resume(out: Path, given: Given, processes: int) -> Settings:
    """The settings of the run in a folder. UserError if there is none, or if it was begun with others."""
    file = out / WORK / FILE
    if not file.is_file():
        raise UserError(f"--out {out} holds no run to go on with ({file} is missing); leave --resume out")
    settings = Settings.read(file)
    asked: dict[str, Any] = {"recipe": given.recipe, "seed": given.seed, "pictures": given.pictures}
    pairs = [(name, getattr(settings, name), value) for name, value in asked.items() if value is not None]
    pairs += [(f"budget of {stage}", settings.budgets.get(stage), b) for stage, b in given.budgets.items()]
    pairs += [("processes", settings.processes, processes), ("version", settings.version, __version__)]
    for name, was, now in pairs:
        if was != now:
            raise UserError(f"{out} was begun with {name} = {was}, and now it is {now}; go on as it was begun")
    return settings
