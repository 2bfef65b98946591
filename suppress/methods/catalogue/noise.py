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
    "composable-not": Entry(
        "guidance_rules.ComposableNot",
        "guidance to the prompt and, with the same weight, away from the target",
        source="Liu 2022",
        passes=250,
        preset=True,
    ),
    "signed": Entry(
        "guidance_rules.Signed",
        "composable-not with a weight of its own for the target",
        source="Liu 2022",
        passes=250,
        preset=True,
    ),
    "perp-neg": Entry(
        "guidance_rules.PerpNeg",
        "guidance away from what the target has orthogonal to the prompt (Perp-Neg)",
        source="Armandpour 2023",
        passes=250,
        preset=True,
    ),
    "contrastive-cfg": Entry(
        "guidance_rules.ContrastiveCFG",
        "guidance away from the target that fades with the distance from it, for any picture size",
        source="Chang 2024",
        passes=250,
        preset=True,
    ),
    "contrastive-cfg-official": Entry(
        "guidance_rules.ContrastiveCFG.official",
        "contrastive-cfg as published: its effect depends on the picture's size",
        source="Chang 2024",
        passes=250,
        preset=True,
    ),
    "sega": Entry(
        "guidance_rules.Sega",
        "guidance away from the target in the tenth of the latents that shows it most (SEGA)",
        source="Brack 2023",
        passes=250,
        preset=True,
    ),
    "crg": Entry(
        "guidance_rules.CRG",
        "guidance away from the target by as much as the noise says that it is present (constants: ours)",
        source="Choi 2026",
        passes=250,
        preset=True,
    ),
    "cfg-pp": Entry(
        "cfg_pp.CfgPP",
        "the prompt without the target, in steps of CFG++; added to another method with to=NAME",
        source="Chung 2025",
        passes=200,
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
