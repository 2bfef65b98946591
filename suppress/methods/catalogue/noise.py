"""Methods that change the noise predictions, or the latents."""

from .entry import Entry

NOISE: dict[str, Entry] = {
    "negative-prompt": Entry(
        "negative_prompt.NegativePrompt",
        "the target in place of the empty prompt of the guidance; added to another method with to=NAME",
        source="its users, 2022",
        passes=200,
        preset=True,
    ),
    "sld": Entry(
        "sld.SLD",
        "guidance away from the target where the noise shows it (Schramowski 2023)",
        source="Schramowski 2023",
        passes=250,
        preset=True,
    ),
    "ledits": Entry(
        "ledits.Ledits",
        "pictures: guidance away from the target, where its map and its noise show it (LEDITS++)",
        source="Brack 2024",
        passes=150,
        needs="a picture; guidance=7.5 to draw",
        preset=True,
    ),
    "magic-remover": Entry(
        "magic_remover.MagicRemover",
        "the latents descend on the target's cross maps (Yang 2023)",
        source="Yang 2023",
        passes=265,
        preset=True,
    ),
    "magic-remover-blended": Entry(
        "magic_remover.MagicRemover.blended",
        "magic-remover as a third party runs it: binary masks, the original outside of them",
        source="Yang 2023, another's code",
        passes=283,
        preset=True,
    ),
}
