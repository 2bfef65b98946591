"""Methods that change the prompt's encoding, or the model's weights, in other words what the UNet reads."""

from .entry import Entry

CONTEXT: dict[str, Entry] = {
    "suppress-eot": Entry(
        "suppress_eot.SuppressEOT",
        "soft-weighted regularisation; ITO with iterations=10",
        source="Li 2024",
        passes=180,
        for_pictures={"step_size": 5.0},
    ),
    "official": Entry(
        "suppress_eot.SuppressEOT.official",
        "suppress-eot with the settings of its authors' code",
        source="Li 2024, code",
        passes=280,
        preset=True,
        for_pictures={"step_size": 5.0},
    ),
    "paper": Entry(
        "suppress_eot.SuppressEOT.paper",
        "suppress-eot as its text has it",
        source="Li 2024, text",
        passes=420,
        preset=True,
    ),
    "value-loss": Entry(
        "suppress_eot.SuppressEOT.official",
        "ITO on values instead of maps (appendix D)",
        source="Li 2024, appendix D",
        passes=180,
        preset=True,
        bound={"loss": "value"},
    ),
    "unread": Entry(
        "unread.Unread",
        "the text encoder run again with the target hidden from every word; SWR if no word follows the target",
        passes=180,
        own=True,
    ),
    "delta": Entry(
        "delta.Delta",
        "other weights for the edited branch: delta:FILE.safetensors",
        source="many papers",
        passes=200,
        needs="a file of weights",
        training=True,
        preset=True,
        takes="path",
    ),
}
