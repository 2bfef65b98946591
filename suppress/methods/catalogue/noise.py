"""Methods that change the noise predictions, or the latents."""

from .entry import Entry

NOISE: dict[str, Entry] = {
    "negative-prompt": Entry(
        "negative_prompt.NegativePrompt",
        "the target in place of the empty prompt of the guidance; added to another method with to=NAME",
        preset=True,
    ),
    "sld": Entry("sld.SLD", "guidance away from the target where the noise shows it (Schramowski 2023)", preset=True),
    "ledits": Entry(
        "ledits.Ledits",
        "pictures: guidance away from the target, where its map and its noise show it (LEDITS++)",
        preset=True,
    ),
    "magic-remover": Entry(
        "magic_remover.MagicRemover", "the latents descend on the target's cross maps (Yang 2023)", preset=True
    ),
    "magic-remover-blended": Entry(
        "magic_remover.MagicRemover.blended",
        "magic-remover as a third party runs it: binary masks, the original outside of them",
        preset=True,
    ),
    "attend-and-excite": Entry(
        "attend_and_excite.AttendAndExcite",
        "the opposite: the latents move until the words of --strengthen are seen (Chefer 2023)",
        source="Chefer 2023",
        passes=285,
        preset=True,
        strengthens=True,
    ),
}
