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
        "delta.Delta", "other weights for the edited branch: delta:FILE.safetensors", preset=True, takes="path"
    ),
    "adavd": Entry(
        "adavd.AdaVD",
        "values lose their part along the concept's value, above a threshold",
        source="Wang 2025 (AdaVD)",
        passes=200,
        preset=True,
    ),
    "adavd-official": Entry(
        "adavd.AdaVD.official",
        "adavd as in its code: the threshold sees both halves of the guidance, and both change",
        source="Wang 2025 (AdaVD), code",
        passes=200,
        preset=True,
    ),
    "adavd-word": Entry(
        "adavd_word.AdaVDWord",
        "values lose their part along what the target added to the prompt",
        passes=180,
        own=True,
    ),
    "safree": Entry(
        "safree.SAFREE",
        "words that carry the concept lose what they share with it, in the first steps",
        source="Yoon 2025 (SAFREE)",
        passes=200,
        preset=True,
    ),
    "safree-official": Entry(
        "safree.SAFREE.official",
        "safree as in its code, with its negative prompt",
        source="Yoon 2025 (SAFREE), code",
        passes=200,
        preset=True,
    ),
    "safree-word": Entry(
        "safree_word.SAFREEWord",
        "safree's projections on the rows that carry the target",
        passes=180,
        own=True,
    ),
    "uce": Entry(
        "uce.UCE",
        "a linear map sends the target's rows to those of the empty prompt, or of guide=WORDS",
        source="Gandikota 2024 (UCE), scripts of 2023",
        passes=200,
        preset=True,
    ),
    "uce-official": Entry(
        "uce.UCE.official",
        "uce as in its code of 2025: the last piece alone",
        source="Gandikota 2024 (UCE), code of 2025",
        passes=200,
        preset=True,
    ),
    "uce-word": Entry(
        "uce_word.UCEWord",
        "uce's map made of the prompt's own rows and those of the prompt without the target",
        passes=180,
        own=True,
    ),
    "rece": Entry(
        "rece.RECE",
        "uce, and then also what would bring the target back",
        source="Gong 2024 (RECE)",
        passes=200,
        preset=True,
    ),
    "context-map": Entry(
        "context_map.FromFile",
        "a linear map from a file, made by suppress.methods.uce.fit: context-map:FILE.safetensors",
        source="Gandikota 2024 (UCE)",
        passes=200,
        needs="a file of a context map",
        training=True,
        preset=True,
        takes="path",
    ),
}
