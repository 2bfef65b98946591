"""What is measured: prompts, each with its target and with a version without the target, and the rows of the table.

All rows share noise, steps and R for a prompt. There are four kinds of prompts: the target last (no later word can
carry it), the target first, lists of objects, and long abstract prompts (as in the paper's Table 4).

The table of variants has all variants that remove something. Strengthening is the opposite job and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS, START, SEEDS = 25, 0.1, 8
KINDS = ("first", "list", "long", "last")


@dataclass(frozen=True)
class Case:
    kind: str  # one of KINDS
    prompt: str
    target: str
    deleted: str  # the control: the prompt after the target's phrase was deleted by hand

    @property
    def key(self) -> str:
        """What tells it from the other cases."""
        return self.prompt


CASES = (
    Case("first", "a smiling boy with headphones in the snow", "smiling", "a boy with headphones in the snow"),
    Case("first", "a van gogh painting of a cat with a scarf", "van gogh", "a painting of a cat with a scarf"),
    Case(
        "list",
        "a man with a beard wearing glasses and a hat in a blue shirt",
        "glasses",
        "a man with a beard wearing a hat in a blue shirt",
    ),
    Case(
        "list",
        "a woman with a red scarf and blond hair on the beach",
        "red scarf",
        "a woman with blond hair on the beach",
    ),
    Case(
        "list",
        "a girl with earrings holding a balloon in the forest",
        "earrings",
        "a girl holding a balloon in the forest",
    ),
    Case("list", "a dog wearing a hat and a bow tie at night", "hat", "a dog wearing a bow tie at night"),
    Case(
        "long",
        "a robot in the rain, a picture that is highly detailed and precise with a quiet mood and soft light",
        "rain",
        "a robot, a picture that is highly detailed and precise with a quiet mood and soft light",
    ),
    Case(
        "long",
        "a portrait of a woman wearing a hat, drawn with great care and a calm feeling of an old summer day",
        "hat",
        "a portrait of a woman, drawn with great care and a calm feeling of an old summer day",
    ),
    Case("last", "a man without glasses", "glasses", "a man"),
    Case("last", "a girl with a hat", "hat", "a girl"),
    Case("last", "a boy with blond hair in the rain", "rain", "a boy with blond hair"),
    Case("last", "a cat in the style of van gogh", "van gogh", "a cat"),
)

ITO = "suppress-eot:iterations=10"
# name of the row -> method (`measure.method_of`); "deleted" is the control of each case
ROWS = {
    "phrase deleted": "deleted",
    "target + [EOT] zeroed": "zero",
    "SWR": "suppress-eot",
    "SWR + L_pl": f"{ITO},lambda_nl=0,lambda_self_nl=0",
    "SWR + L_nl": f"{ITO},lambda_pl=0,lambda_self_pl=0",
    "SWR + L_pl + L_nl": ITO,
    "Unread": "unread",
}
VARIANT_ROWS = {
    "phrase deleted": "deleted",
    "SWR": "suppress-eot",
    "SWR, γ = 0.5": "suppress-eot:gamma=0.5",  # the paper's Fig. 16
    "SWR, γ = 2": "suppress-eot:gamma=2",
    "top-2 zeroed": "top-k",
    "all but top-3 zeroed": "bottom-k",  # K depends on the case
    "× .1": "attenuate",
    "target zeroed": "zero-target",
    "[EOT] zeroed": "zero-eot",
    "target + [EOT] zeroed": "zero",
    "WNNM": "wnnm",
    "rank cut": "rank-cut",
    "MPE": "mpe",
    "MPE + zeroing": "mpe-zero",
    "attn2zero": "attn2zero",
    "ITO (attention loss)": "official",  # the paper's Fig. 23 compares it with the value loss
    "value loss": "value-loss",
    "Unread": "unread",
}

# target -> attributes of the detector that must change with it, because of their meaning
IMPLIED = {
    "glasses": {"sunglasses"},
    "sunglasses": {"glasses"},
    "mask": {"smiling", "sad", "surprised"},
}
