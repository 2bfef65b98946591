"""`suppress ui`: what it says when it cannot open its page."""

import socket
import sys

import pytest

from suppress.cli import main
from suppress.cli.ui import free_port

pytestmark = pytest.mark.quick


def test_a_port_in_use_is_one_line(capsys):
    pytest.importorskip("gradio", reason='no gradio found: pip install "minisd[ui]"')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["ui", "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert said.err == (
        f"suppress ui: error: --port {port} is in use by another program; give another one, such as --port {port + 1}\n"
    )
    assert said.out == ""


def test_an_address_of_another_computer_is_told(capsys):
    pytest.importorskip("gradio", reason='no gradio found: pip install "minisd[ui]"')
    assert main(["ui", "--host", "192.0.2.1"]) == 2
    assert "cannot listen at --host 192.0.2.1 --port 7860" in capsys.readouterr().err


def test_any_free_port():
    assert free_port("127.0.0.1", 0) > 0


def test_without_gradio_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "suppress.ui.page", raising=False)
    assert main(["ui"]) == 2
    assert capsys.readouterr().err == 'suppress ui: error: the page needs gradio: pip install "minisd[ui]"\n'


@pytest.mark.parametrize("port", ["-1", "65536", "x", ""])
def test_a_port_is_a_number(port, capsys):
    with pytest.raises(SystemExit):
        main(["ui", f"--port={port}"])
    assert "expected a number from 0 to 65535" in capsys.readouterr().err
