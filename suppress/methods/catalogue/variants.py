"""The variants of soft weighting (suppress/methods/variant.py), each on the same rows of the prompt's encoding."""

from dataclasses import dataclass

from .entry import Entry


@dataclass(frozen=True)
class Published:
    """What a variant (suppress/methods/variant.py) does, and its constant if it has one."""

    about: str
    constant: str = ""  # its name in `about`; empty: there is no constant
    published: int | float | None = None  # its published value; an int if it must be a whole number


# The functions in suppress/edits/spectrum.py and suppress/edits/rows.py name the section of the paper.
PUBLISHED: dict[str, Published] = {
    "swr": Published("soft weighting of target and [EOT], σ e^(-γσ): what the method uses", "γ", 1.0),
    "top-k": Published("their K largest singular values become 0", "K", 2),
    "bottom-k": Published(
        "their K smallest singular values become 0: the target stays, the counter-check of top-k", "K", 70
    ),
    "attenuate": Published("target and [EOT] times a factor", "the factor", 0.1),
    "zero-target": Published("the target becomes 0, [EOT] still carries it"),
    "zero-eot": Published("[EOT] becomes 0, the target stays"),
    "zero": Published("target and [EOT] become 0"),
    "wnnm": Published(
        "soft thresholds C √n / σ on the singular values of [EOT], smaller for larger ones: the target stays",
        "C",
        2 * 2**0.5,
    ),
    "rank-cut": Published("[EOT] as a matrix of rank K: nearly the same picture", "K", 9),
    "mpe": Published("target and [EOT] less the mean of [EOT] (our reading)"),
    "mpe-zero": Published("mpe, and the target becomes 0 (our reading)"),
    "strengthen": Published("β e^(.001 σ) σ: more of the target", "β", 1.2),
}

VARIANTS: dict[str, Entry] = {
    name: Entry(
        "variant.Variant",
        words.about,
        source="Li 2024",
        passes=180,
        strengthens=name == "strengthen",
        bound={"name": name},
    )
    for name, words in PUBLISHED.items()
}
