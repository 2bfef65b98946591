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
}
