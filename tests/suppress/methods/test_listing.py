"""`suppress methods` and `suppress methods NAME`: the facts of the catalogue, and settings read from source files."""

import math
import subprocess
import sys
from dataclasses import MISSING, dataclass, fields

import pytest

import suppress
from minisd import UserError
from suppress.cli.commands import main
from suppress.methods import METHODS, describe_method, describe_methods
from suppress.methods.catalogue.entry import Entry
from suppress.methods.catalogue.listing import WIDTH, table
from suppress.methods.catalogue.settings import Source, read

pytestmark = pytest.mark.quick


SOURCE = '''"""A file."""
X = 3

class Base:
    a: int = 1  # of a
    b: float = X


class M(Base):
    """What."""

    # above c,
    # in two lines
    c: str = ""  # and after it
    d: bool = (
        True  # inside d
    )
    a: int = 2  # of a again
'''


def test_the_table_has_every_method_with_its_facts():
    lines = describe_methods()
    assert max(map(len, lines)) <= WIDTH
    for name, entry in METHODS.items():
        at = next(n for n, line in enumerate(lines) if line.split()[:1] == [name])
        facts = lines[at].split()
        flags = ["yes" if flag else "no" for flag in (entry.training, entry.pictures, entry.several)]
        assert facts[1:5] == [str(entry.passes), *flags] and entry.source in lines[at]
        assert (entry.needs or "words only") in lines[at]
        assert lines[at + 1].strip().startswith(entry.about[:60])


def test_a_long_cell_goes_on_in_the_next_line():
    needs = "a subject word, if the prompt has no usual one, or else a long list of words"
    lines = table({"yours": {"mine": Entry("a.B", "it does", needs=needs)}})
    at = lines.index(next(line for line in lines if line.startswith("mine")))
    assert lines[at].split()[:4] == ["mine", "?", "no", "yes"] and "this project" in lines[at]
    assert lines[at + 1].startswith(" " * 60) and max(map(len, lines)) <= WIDTH
    assert f"{lines[at].rpartition('  ')[2]} {lines[at + 1].strip()}" == needs
    assert lines[at + 2] == "    it does"


def test_a_method_of_the_users_own_is_in_the_table(monkeypatch):
    monkeypatch.setitem(METHODS, "mine", Entry(suppress.Unread, "mine alone"))
    lines = describe_methods()
    at = lines.index("YOUR OWN")
    assert lines[at + 1].startswith("mine ") and "yours" in lines[at + 1]
    assert "YOUR OWN" not in table({"your own": {}, "others": {"zero": METHODS["zero"]}})


def test_the_listing_does_not_import_pytorch():
    code = "import sys; from suppress.cli.commands import main; print(main(['methods'] + sys.argv[1:]))"
    code += "; print('torch' in sys.modules)"
    for name in ([], ["prompt-to-prompt"]):
        done = subprocess.run([sys.executable, "-c", code, *name], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-2:] == ["0", "False"]


@pytest.mark.parametrize("name", METHODS)
def test_settings_read_from_the_source_are_those_of_the_class(name):
    entry = METHODS[name]
    _, settings, presets = read(entry)
    expected = {f.name: f.default for f in fields(entry.kind) if f.init and f.default is not MISSING}
    texts = {field: '""' if value == "" else str(value) for field, value in expected.items()}
    found = {field: each.default for field, each in settings.items()}
    products = {field: str(math.prod(map(int, text.split(" * ")))) for field, text in found.items() if " * " in text}
    assert found | products == texts
    assert list(settings) == [f.name for f in fields(entry.kind)]
    for preset, each in presets.items():
        made = getattr(entry.kind, preset)()
        known = {field: text for field, text in each.changes.items() if not text.startswith("that of ")}
        assert {field: str(getattr(made, field)) for field in known} == known
        others = set(expected) - set(each.changes)
        assert all(getattr(made, field) == expected[field] for field in others)


def test_a_comment_is_above_the_field_or_in_its_lines(tmp_path):
    file = tmp_path / "m.py"
    file.write_text(SOURCE)
    origin = Source(file)
    node = origin.class_("M")
    order = [(part.name, len(part.body)) for _, part in origin.bases(node)]
    assert order == [("Base", 2), ("M", 4)]
    assert [origin.comment(line) for line in node.body[1:4]] == [
        "above c, in two lines and after it",
        "inside d",
        "of a again",
    ]
    assert origin.value(origin.class_("Base").body[1].value) == "3"


def test_one_method_is_described_with_its_presets():
    lines = describe_method("official")
    assert max(map(len, lines)) <= WIDTH
    assert any(line.split()[:3] == ["iterations", "10", "*"] and "Algorithm 1" in line for line in lines)
    assert any(line.split()[:2] == ["gamma", "1.0"] and "eq. 2" in line for line in lines)
    assert "  official(), by the name official: iterations=10, start=0.2, heads=4" in lines
    assert "* set by this name" in lines and "Li 2024, code; 280 UNet passes" in lines[1]
    assert not any("* set" in line for line in describe_method("suppress-eot"))


def test_the_choices_and_the_bound_settings_are_said():
    lines = describe_method("value-loss")
    assert any(line.split()[:3] == ["loss", "value", "*"] and "belongs to the name" in line for line in lines)
    assert any("cosine | l2 | value; cosine: from the code" in line for line in describe_method("paper"))
    assert any("reweight(), by the name reweight: mode=reweight" in line for line in describe_method("reweight"))
    assert any("official(), in Python only: blend=None" in line for line in describe_method("reweight"))


def test_names_that_cannot_be_described(capsys, monkeypatch):
    assert main(["methods", "nope"]) == 2
    assert "method 'nope' is unknown; expected one of suppress-eot, " in capsys.readouterr().err

    @dataclass(frozen=True)
    class Inner(suppress.Method):
        pass

    monkeypatch.setitem(METHODS, "inner", Entry(Inner, "of a function"))
    with pytest.raises(UserError, match="the source of the class Inner was not found"):
        describe_method("inner")
