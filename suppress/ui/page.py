"""The page: fields and buttons of gradio, and parts of its own (suppress/ui/parts) where gradio has none.

This file alone imports gradio; suppress/cli/ui.py sees to it that gradio reports nothing when it is imported. It
is asked to keep nothing and to ask nobody: no analytics, no share link, no fonts from elsewhere, no history.
Photos and pictures travel inside the page's own messages, so gradio writes no file either.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr

from ..methods import DEFAULT
from ..start.catalogue import DEFAULT as INVERSION
from ..start.catalogue import INVERSIONS
from . import show
from .desk import Desk
from .form import removing

EXAMPLE = "a man without glasses"
NAMES = "prompt chips further method form seed steps guidance width height negative weights keep".split()
NAMES += ["photo", "inversion", "paste"]
_QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}  # small events need no queue
_HAS_PHOTO = "(method, photo) => [method, Boolean(photo)]"  # the photo itself need not travel for this


def serve(desk: Desk, host: str, port: int) -> None:
    """Opens the page at host:port, says where it is, and serves it until Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="suppress-ui-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # for whatever is sent to gradio's own upload address
        page = build(desk)
        page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css=show.part("page.css"),
        )
        print(page.local_url, flush=True)
        try:
            Event().wait()  # until Ctrl-C; gradio's own wait would end without an error
        finally:
            desk.runs.close()
            page.close(verbose=False)


def build(desk: Desk) -> gr.Blocks:
    """The page as gradio's Blocks."""
    sd = desk.studio.sd
    form, keep = desk.form(DEFAULT, False)
    steps = int(_default(desk, "steps"))
    with gr.Blocks(title="suppress", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)) as page:
        gr.HTML(
            "<header><h1>suppress</h1><p>Draw a picture twice: as the prompt says, and without the words that you "
            "click.</p></header>"
        )
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=2, min_width=300, elem_id="asked"):
                prompt = gr.Textbox(EXAMPLE, label="Prompt", lines=1, max_lines=4, elem_id="prompt")
                chips = _own("chips", desk.chips(EXAMPLE))
                with gr.Row(elem_id="go"):
                    go = gr.Button("Draw", variant="primary", elem_id="draw")
                    stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop")
                    seed = gr.Number(0, label="Seed", elem_id="seed", min_width=80)
                status = gr.HTML(show.said(""), elem_id="status")
                with gr.Accordion("Picture", open=False):
                    with gr.Row():
                        width = gr.Number(sd.side, label="Width", step=8, min_width=90)
                        height = gr.Number(sd.side, label="Height", step=8, min_width=90)
                    with gr.Row():
                        count = gr.Number(steps, label="Steps", min_width=90, elem_id="steps")
                        guidance = gr.Number(_default(desk, "guidance"), label="Guidance", step=0.5, min_width=90)
                    negative = gr.Textbox("", label="Negative prompt", info=_NEGATIVE, max_lines=4, elem_id="negative")
                    weights = gr.Checkbox(False, label="Weights", info=_WEIGHTS, elem_id="weights")
                with gr.Accordion("Method", open=False):
                    method = gr.Dropdown(removing(), value=DEFAULT, label="Method", elem_id="method")
                    fields = _own("form", form)
                    kept = gr.Slider(0, 1, keep, step=0.05, label="Keep the rest", info=_KEEP, elem_id="keep")
                    further = gr.Textbox("", label="Remove also", info=_FURTHER, elem_id="further")
                with gr.Accordion("A photo of yours", open=False):
                    photo = _own("photo", None)
                    names = [(f"{name}: {entry.about}", name) for name, entry in INVERSIONS.items()]
                    inversion = gr.Dropdown(names, value=INVERSION, label="Inversion", info=_INVERSION)
                    paste = gr.Checkbox(False, label="Paste", info=_PASTE)
            with gr.Column(scale=5, min_width=300, elem_id="seen"):
                result = _own("result", show.nothing())
        inputs = [prompt, chips, further, method, fields, seed, count, guidance, width, height]
        inputs += [negative, weights, kept, photo, inversion, paste]

        def draw(request: gr.Request, *values: Any) -> Iterator[tuple[Any, Any, Any]]:
            for line, pictures, running in desk.draw(request.session_hash, dict(zip(NAMES, values, strict=True))):
                yield line, gr.skip() if pictures is None else pictures, gr.update(interactive=running)

        def end(request: gr.Request) -> None:
            desk.stop(request.session_hash)

        for event in (prompt.change, weights.change):
            event(desk.chips, [prompt, chips, weights], chips, trigger_mode="always_last", **_QUIET)
        for event in (method.change, photo.loaded):
            event(desk.form, [method, photo], [fields, kept], js=_HAS_PHOTO, **_QUIET)
        # the desk lets one run at a time draw, and tells the others how many are before them
        gr.on(
            [go.click, prompt.submit],
            draw,
            inputs,
            [status, result, stop],
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=None,
        )
        stop.click(end, **_QUIET)
        page.unload(end)
    return page


_NEGATIVE = "What guidance leads away from, in both pictures."
_WEIGHTS = "Read (word:1.3) in the prompts as a weight and (word) as 1.1. [word] marks what should go."
_KEEP = "0: the edit may change everything. 1: what the word does not concern is pulled back to the original."
_FURTHER = "Words that the prompt does not name, such as beard; for methods such as gie and sld."
_INVERSION = "How the start is found from which the model draws the photo again."
_PASTE = "Put the photo's own pixels back outside the mask."


def _own(name: str, value: Any) -> Any:
    """One of the page's own parts: NAME.html shows its value, NAME.js changes it."""
    folder = Path(__file__).parent / "parts"
    template = (
        (folder / f"{name}.html").read_text(encoding="utf-8") if (folder / f"{name}.html").exists() else "${value}"
    )
    return gr.HTML(value, html_template=template, js_on_load=show.part(f"{name}.js"), elem_id=name)


def _default(desk: Desk, name: str) -> Any:
    from ..defaults import default_settings

    return getattr(default_settings(desk.studio.sd)[0], name)
