"""`suppress ui`: opens a page in the browser to click on. It needs gradio: pip install "minisd[ui]"."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from minisd import UserError
from minisd.cli import options
from minisd.cli.answer import add_answer_options

PROGRAM = "suppress ui"
PORT = 7860  # gradio's own


def main(argv: Sequence[str] | None = None) -> int:
    return options.run(PROGRAM, _serve, options.parse(_parser(), argv))


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Open a page to click on: type a prompt, click the words that should go, see both pictures. It "
        "needs no network, and keeps no photo.",
    )
    p.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: this computer only)")
    p.add_argument("--port", type=_port, default=PORT, help=f"default {PORT}; 0: any free one")
    options.add_model_options(p)
    add_answer_options(p)
    return p


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:9]) < 65536):
        raise argparse.ArgumentTypeError(f"{text[:60]!r}; expected a number from 0 to 65535")
    return int(text)


def _serve(args: argparse.Namespace) -> None:
    page = _import_page()
    from ..ui.desk import Desk
    from ..ui.draw import Studio

    port = free_port(args.host, args.port)
    sd = options.load_model(args)
    if args.host not in ("127.0.0.1", "localhost", "::1"):
        print(f"everyone who can reach {args.host} can use this page", file=sys.stderr)
    print("the page is open until Ctrl-C ends it, at", flush=True)
    try:
        page.serve(Desk(Studio(sd, args)), args.host, port)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the page is closed") from None


def _import_page() -> ModuleType:
    """suppress.ui.page. UserError if gradio is not installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio reads both when it is imported
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        return import_module("suppress.ui.page")
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise UserError('the page needs gradio: pip install "minisd[ui]"') from None


def free_port(host: str, port: int) -> int:
    """The port, or any free one for 0. UserError if another program has it, or if this computer lacks the address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just closed is free
            s.bind((host, port))
            return s.getsockname()[1]
    except OSError as error:
        if port and isinstance(error, OSError) and "in use" in str(error):
            raise UserError(
                f"--port {port} is in use by another program; give another one, such as --port {port + 1}"
            ) from None
        raise UserError(f"cannot listen at --host {host} --port {port}: {error.strerror or error}") from None
