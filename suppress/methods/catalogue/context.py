"""Methods that change the prompt's encoding, or the model's weights, in other words what the UNet reads."""

from .entry import Entry

CONTEXT: dict[str, Entry] = {
    "suppress-eot": Entry(
        "suppress_eot.SuppressEOT",
        "soft-weighted regularisation; ITO with iterations=10",
        for_pictures={"step_size": 5.0},
    ),
    "official": Entry(
        "suppress_eot.SuppressEOT.official",
        "suppress-eot with the settings of its authors' code",
        preset=True,
        for_pictures={"step_size": 5.0},
    ),
    "paper": Entry("suppress_eot.SuppressEOT.paper", "suppress-eot as its text has it", preset=True),
    "value-loss": Entry(
        "suppress_eot.SuppressEOT.official",
        "ITO on values instead of maps (appendix D)",
        preset=True,
        bound={"loss": "value"},
    ),
    "unread": Entry(
        "unread.Unread",
        "the text encoder run again with the target hidden from every word; SWR if no word follows the target",
        own=True,
    ),
    "ssdv": Entry(
        "ssdv.SSDV",
        "keys from the subject plus the target, values from the subject minus it, in a prompt of its own",
        source="Koh 2025",
        passes=200,
        needs="a subject word, if the prompt has no usual one",
        pictures=False,
        preset=True,
    ),
    "ssdv-kept": Entry(
        "ssdv.SSDV.kept",
        "ssdv in the user's own prompt, followed by its subject once more",
        source="Koh 2025, changed",
        passes=200,
        needs="a subject word, if the prompt has no usual one",
        preset=True,
        bound={"form": "kept"},
    ),
    "semantic-surgery": Entry(
        "semantic_surgery.SemanticSurgery",
        "the target's encoding, less the empty prompt's, is subtracted from all rows; alpha=… is a strength",
        source="Xiong 2025",
        passes=200,
        preset=True,
    ),
    "stg": Entry(
        "stg.STG",
        "the prompt's encoding descends on what a judge sees in the expected picture (CLIP, or judge=detector)",
        source="NeurIPS 2025 (2510.24012)",
        passes=270,
        needs="a judge: a CLIP, or a detector",
        preset=True,
    ),
    "delta": Entry(
        "delta.Delta", "other weights for the edited branch: delta:FILE.safetensors", preset=True, takes="path"
    ),
}
