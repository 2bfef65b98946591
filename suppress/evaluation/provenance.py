"""What measured a cell: the version of the code, the weights and the judge.

The version is that of the package, with the commit behind a "+" in a clone: "0.1.0+7f1edc6". Only the package's own
part decides whether a cell still fits. Most commits change no score, so a rule by commits would measure hours of cells
again because of a comment. A change of scores is a new version, and the commit is kept so that one can look it up.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from torch import nn

import minisd
from minisd import StableDiffusion

from ..edits.fingerprint import fingerprint
from ..metrics import Judge
from ..metrics.own_detector import OwnDetector

MADE_BY = ("code", "weights", "judge")  # the names in a cell's "made by"


def made_by(sd: StableDiffusion, judge: Judge, clip: bool) -> dict[str, str]:
    """`MADE_BY` with their values. clip: whether CLIP scores belong to the table, so that CLIP is part of the judge."""
    return {
        "code": code_version(Path(minisd.__file__).parent.parent),
        "weights": weights_of(sd),
        "judge": judge.detector.identity + (f", {judge.clip.identity}" if clip else ""),
    }


def make_judge(sd: StableDiffusion, spec: str | None, folder: str) -> Judge:
    """The checkpoint's judge; with a spec "module:Class", its detector is the user's own."""
    return Judge(sd) if spec is None else Judge(sd, lambda: OwnDetector(spec, Path(folder)))


def weights_of(sd: StableDiffusion) -> str:
    """16 hexadecimal digits that stand for all weights of the model, in their dtype."""
    parts = nn.ModuleDict({"unet": sd.unet, "vae": sd.vae, "text_encoder": sd.text_encoder})
    return fingerprint(parts, sd.dtype)


def code_version(folder: Path) -> str:
    """The package's version. If the folder is a git clone, "+" and its commit follow, ".dirty" with changes in it."""
    try:
        top = _git(folder, "rev-parse", "--show-toplevel")
        if Path(top).resolve() != folder.resolve():  # installed in an environment inside somebody else's clone
            return minisd.__version__
        commit = _git(folder, "describe", "--always", "--exclude=*", "--dirty=.dirty")
    except (OSError, subprocess.CalledProcessError):  # there is no git, or no clone
        return minisd.__version__
    return f"{minisd.__version__}+{commit}"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
