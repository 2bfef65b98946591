"""After a user has registered a method, every command knows its name."""

from dataclasses import dataclass
from typing import Literal, Optional

import pytest

import suppress
from minisd import UserError
from suppress.cli import main
from suppress.methods import GIE, METHODS, method_spec, parse_method
from suppress.methods.example import Fade
from suppress.protocol import Method


@pytest.fixture
def fade():
    suppress.register("my-fade", Fade, "fades")
    yield "my-fade"
    del METHODS["my-fade"]


def test_run_and_the_commands_know_it(sd, fade, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = suppress.run(sd, "a man without glasses", method="my-fade:amount=0.5,steps=2,start=0")
    assert result.settings == Fade(steps=2, start=0, amount=0.5)
    assert main(["methods"]) == 0 and "my-fade" in capsys.readouterr().out
    job = ["a man without glasses", "--steps", "2", "--out", "a.png", "--method", "my-fade:amount=0.5"]
    assert main(job) == 0 and "my-fade:amount=0.5" in capsys.readouterr().out
    assert main(["--params-from", "a.png", "--out", "b.png"]) == 0
    assert main([*job[:3], "--out", "c.png", "--sheet", "zero", "my-fade"]) == 0
    eval_ = ["eval", "--only", "my-fade:amount=0.5", "--kinds", "first", "--seeds", "1", "--steps", "2"]
    assert main([*eval_, "--out", "e.jsonl"]) == 0
    assert "my-fade" in (tmp_path / "e.jsonl").read_text()


def test_a_cell_may_run_twice(fade):
    @dataclass(frozen=True)
    class Second(Method):
        """Another form of it.

        More text."""

    suppress.register("my-fade", Second)
    assert METHODS["my-fade"].kind is Second and METHODS["my-fade"].about == "Another form of it."


def test_settings_of_other_types_by_name(fade):
    @dataclass(frozen=True)
    class Typed(Method):
        soft: bool = False
        maybe: Optional[float] = None  # noqa: UP045  (the older spelling)
        kind: Literal["a", "b"] | None = None
        count: int = 1
        parts: tuple[str, ...] = ()

    suppress.register("my-fade", Typed)
    want = Typed(soft=True, maybe=2, kind="b")
    assert parse_method("my-fade:soft=true,maybe=2,kind=b") == want
    assert parse_method(method_spec("my-fade", want, Typed())) == want
    assert parse_method("my-fade:maybe=none,soft=False,kind=none") == Typed()
    bad = {"soft=3": "true or false", "maybe=x": "a number", "count=1.5": "a whole number", "parts=a": "in Python only"}
    for spec, message in bad.items():
        with pytest.raises(UserError, match=message):
            parse_method(f"my-fade:{spec}")


def test_a_start_of_its_own_is_kept(fade):
    """Also one that it inherits from another method."""

    @dataclass(frozen=True)
    class Stronger(GIE):
        scale: float = -10.0

    measured = {"all": {"start": 0.06}}
    assert parse_method("my-fade", measured).start == 0.06
    suppress.register("my-fade", Stronger)
    assert parse_method("my-fade", measured).start == 0


def test_what_cannot_be_registered():
    class Undecorated(Method):
        amount: float = 1.0

    @dataclass(frozen=True, kw_only=True)
    class Needs(Method):
        amount: float

    with pytest.raises(UserError, match=r"Undecorated has settings, but no @dataclass"):
        suppress.register("my-other", Undecorated)
    with pytest.raises(UserError, match="Needs has no default for amount"):
        suppress.register("my-other", Needs)
    for name in ("My Fade", "", "a:b", None, "fade="):
        with pytest.raises(UserError, match="name = "):
            suppress.register(name, Fade)
    with pytest.raises(UserError, match="the name 'unread' belongs to a method of this project"):
        suppress.register("unread", Fade)
    for method in (Fade(), object, "Fade"):
        with pytest.raises(UserError, match=r"expected a subclass of suppress\.Method"):
            suppress.register("my-other", method)
