"""The rows of the table of pictures: which method edits from which inversion, and the settings that all of them share.

The whole product would cost hours, so the default pairs are those that answer a question each:

- every inversion with nothing removed: how well does it reconstruct?
- every inversion with one and the same method: what is an edit worth that begins there?
- every method on the default inversion: which removes best, and which keeps the rest?
- the methods on the inversion that they were published with;
- what less guidance and an inversion that allows for it are worth, and the photo's own pixels outside the mask. These
  rows were found on the half "develop" and on further pictures that the table does not have.

15 steps, where the papers take 50, so that the default table takes about 50 minutes on one idle core; a fifth of it is
null-text inversion. The time grows with the steps. Guidance 7.5 as published. The methods have the settings that their
names stand for, with the start that was measured on the embedded model (R = .06, which is step 0 here); suppress-eot
has ITO with the step size 5, which its authors use for real pictures.

Several processes can share the work: `--shard 1/2` and `--shard 2/2`, each with its own --out. `suppress eval merge`
joins their files, and the same command without --shard makes the table of the joined file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STEPS, GUIDANCE = 15, 7.5

CONTROLS = ("nothing", "deleted")  # methods that depend on the case: the prompt to the end, and the control
VAE, IDEAL = "VAE alone", "ideal edit, through the VAE"  # rows without a method: the best that any row could reach
NOTHING = "nothing removed"
STANDARD = "Unread, keep 1"  # the method for the comparison of inversions
_ITO = "suppress-eot:iterations=10,step_size=5"
# name of the row -> method (`measure_pictures.method_of`)
METHODS: dict[str, str] = {
    NOTHING: "nothing",
    "phrase deleted": "deleted",
    "phrase deleted, keep 1": "deleted:keep=1",
    "SWR + ITO": _ITO,
    "SWR + ITO, keep 1": f"{_ITO},keep=1",
    "Unread": "unread",
    STANDARD: "unread:keep=1",
    "NegPiP, keep 1": "value-flip:keep=1",
    "GIE, keep 1": "gie:keep=1",
    "SLD, keep 1": "sld:keep=1",
    "MagicRemover": "magic-remover",
    "Unread, keep 1, w = 3": "unread:keep=1,guidance=3",
    "NegPiP, keep 1, w = 3": "value-flip:keep=1,guidance=3",
    "Prompt-to-Prompt": "prompt-to-prompt",
    "Prompt-to-Prompt, keep 1": "prompt-to-prompt:keep=1",
    "Attentive Eraser": "attentive-eraser",
    "Attentive Eraser, s = 3": "attentive-eraser:scale=3",
    "LEDITS++": "ledits",
}
INVERSIONS = ("ddim", "null-text", "negative-prompt", "proximal", "direct", "renoise", "edit-friendly", "noised")
DEFAULT = "direct"
# less of the picture is guided than with the published quantile of .7 (suppress/start/proximal.py)
STRICTER = ("proximal:quantile=0.8", "proximal:quantile=0.85")


@dataclass(frozen=True)
class Pair:
    """A row of the table."""

    method: str  # the name of the row in METHODS, or a method as --method takes it
    inversion: str  # as --inversion takes it
    pasted: bool = False  # whether the photo's own pixels are put back outside the mask (--paste)
    masked: bool = False  # whether the method gets the true region as the user's mask (--mask)
    label: str = ""  # the name of the row in a protocol's table

    @property
    def spec(self) -> str:
        return METHODS.get(self.method, self.method)

    @property
    def row(self) -> str:
        if self.label:
            return self.label
        return f"{self.method}{', pasted' if self.pasted else ''} on {self.inversion}"


PAIRS = (
    *(Pair(NOTHING, inversion) for inversion in INVERSIONS),
    *(Pair(STANDARD, inversion) for inversion in INVERSIONS),
    *(Pair(method, DEFAULT) for method in METHODS if method not in (NOTHING, STANDARD, "LEDITS++")),
    Pair("Unread, keep 1, w = 3", "proximal"),
    Pair("NegPiP, keep 1, w = 3", "proximal"),
    Pair("Unread, keep 1, w = 3", "proximal", pasted=True),
    Pair("NegPiP, keep 1, w = 3", "proximal", pasted=True),
    *(Pair("NegPiP, keep 1, w = 3", inversion, pasted) for inversion in STRICTER for pasted in (False, True)),
    Pair("NegPiP, keep 1", "renoise"),
    Pair("SWR + ITO", "null-text"),
    Pair("MagicRemover", "null-text"),
    Pair("Prompt-to-Prompt", "null-text"),
    Pair("Attentive Eraser, s = 3", "noised"),
    Pair("LEDITS++", "edit-friendly"),
)


def product(methods: Sequence[str], inversions: Sequence[str]) -> tuple[Pair, ...]:
    return tuple(Pair(method, inversion) for method in methods for inversion in inversions)


def choose(only: Sequence[str] = (), inversions: Sequence[str] = (), all_pairs: bool = False) -> tuple[Pair, ...]:
    """The pairs of a run: the default ones, or all.

    only: of these, the ones with these methods; a method that no pair has is put on the default inversion.
    inversions: likewise; one that no pair has gets nothing removed, and the standard method. Both: their product.
    """
    if only and inversions:
        return product(only, inversions)
    pairs = product(tuple(METHODS), INVERSIONS) if all_pairs else PAIRS
    if only:
        methods = {pair.method for pair in pairs}
        new = product([method for method in only if method not in methods], [DEFAULT])
        return (*(pair for pair in pairs if pair.method in only), *new)
    if inversions:
        known = {pair.inversion for pair in pairs}
        new = product([NOTHING, STANDARD], [name for name in inversions if name not in known])
        return (*(pair for pair in pairs if pair.inversion in inversions), *new)
    return pairs
