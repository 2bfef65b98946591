"""Methods that change the attention inside the UNet."""

from .entry import Entry

ATTENTION: dict[str, Entry] = {
    "attn2zero": Entry(
        "attention_to_zero.AttentionToZero",
        "the target's cross maps become 0 (appendix D)",
        source="Li 2024, appendix D",
        passes=180,
    ),
    "attentive-eraser": Entry(
        "attentive_eraser.AttentiveEraser",
        "what is in a mask is filled from around it: no self attention to it (Sun 2025)",
        source="Sun 2025",
        passes=182,
        preset=True,
    ),
    "gie": Entry(
        "gie.GIE",
        "the target's own attention, times a negative scale, is added (GIE)",
        source="Chen 2025",
        passes=200,
        preset=True,
    ),
    "value-flip": Entry(
        "value_flip.ValueFlip",
        "the target's values change their sign where its keys attend (NegPiP)",
        source="hako-mikan 2023, code",
        passes=200,
        preset=True,
    ),
    "vsf": Entry(
        "value_flip.ValueFlip.vsf",
        "value-flip with the settings of Value Sign Flip",
        source="2025 (2508.10931)",
        passes=200,
        preset=True,
        bound={"form": "appended", "weighs": "values"},
    ),
    "prompt-to-prompt": Entry(
        "prompt_to_prompt.PromptToPrompt",
        "the phrase is taken out of the prompt, the other words keep their maps (Hertz 2022)",
        source="Hertz 2022",
        passes=200,
        preset=True,
    ),
    "prompt-to-prompt-pnp": Entry(
        "prompt_to_prompt.PromptToPrompt.pnp",
        "prompt-to-prompt with the settings of PnP inversion, for real pictures",
        source="Ju 2024, code",
        passes=200,
        preset=True,
    ),
    "reweight": Entry(
        "prompt_to_prompt.PromptToPrompt.reweight",
        "the target's cross maps times -8 (Prompt-to-Prompt's re-weighting)",
        source="Hertz 2022",
        passes=200,
        preset=True,
        bound={"mode": "reweight", "text": "", "instead": ""},
    ),
    "nag": Entry(
        "attention_guidance.NAG",
        "the outputs of cross attention are pushed away from the target's, and kept as long as they were (NAG)",
        source="Chen 2025",
        passes=200,
        preset=True,
    ),
    "nag-official": Entry(
        "attention_guidance.NAG.official",
        "nag with the settings of its authors' demo",
        source="Chen 2025",
        passes=200,
        preset=True,
    ),
    "ong": Entry(
        "attention_guidance.ONG",
        "of the target's outputs of cross attention, what is orthogonal to the prompt's is taken away (our reading)",
        source="Ko 2026",
        passes=200,
        preset=True,
    ),
    "nasa": Entry(
        "attention_guidance.NASA",
        "the target's outputs of cross attention are taken away from the prompt's",
        source="Nguyen 2025",
        passes=200,
        preset=True,
    ),
}
