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
    "delta": Entry(
        "delta.Delta",
        "other weights for the edited branch: delta:FILE.safetensors, made by `suppress train`",
        source="Gandikota 2023, Kumari 2023, Zhang 2023",
        passes=200,
        needs="a delta file",
        training=True,
        several=False,
        preset=True,
        takes="path",
    ),
}
