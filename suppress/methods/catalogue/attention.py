"""Methods that change the attention inside the UNet."""

from .entry import Entry

ATTENTION: dict[str, Entry] = {
    "attn2zero": Entry("attention_to_zero.AttentionToZero", "the target's cross maps become 0 (appendix D)"),
    "attentive-eraser": Entry(
        "attentive_eraser.AttentiveEraser",
        "what is in a mask is filled from around it: no self attention to it (Sun 2025)",
        preset=True,
    ),
    "gie": Entry(
        "gie.GIE",
        "the target's own attention, times a negative scale, is added; the prompt need not name it (GIE)",
        source="Chen 2025",
        passes=200,
        preset=True,
    ),
    "gie-official": Entry(
        "gie.GIE.official",
        "gie as its released code has it, on the original's maps",
        source="Chen 2025, code",
        passes=200,
        preset=True,
        bound={"form": "code"},
    ),
    "value-flip": Entry(
        "value_flip.ValueFlip", "the target's values change their sign where its keys attend (NegPiP)", preset=True
    ),
    "vsf": Entry(
        "value_flip.ValueFlip.vsf",
        "value-flip with the settings of Value Sign Flip",
        preset=True,
        bound={"form": "appended", "weighs": "values"},
    ),
    "prompt-to-prompt": Entry(
        "prompt_to_prompt.PromptToPrompt",
        "the phrase is taken out of the prompt, the other words keep their maps (Hertz 2022)",
        preset=True,
    ),
    "prompt-to-prompt-pnp": Entry(
        "prompt_to_prompt.PromptToPrompt.pnp",
        "prompt-to-prompt with the settings of PnP inversion, for real pictures",
        preset=True,
    ),
    "reweight": Entry(
        "prompt_to_prompt.PromptToPrompt.reweight",
        "the target's cross maps times -8 (Prompt-to-Prompt's re-weighting)",
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
    "casteer": Entry(
        "casteer.CASteer",
        "the target's direction is taken out of the cross layers' outputs; casteer:FILE.safetensors has it",
        source="Gaintseva 2025",
        passes=200,
        needs="a file of vectors, or the time for 2 pictures a pair",
        preset=True,
        takes="path",
    ),
}
