"""An output has its name only when it is finished, and nothing else is overwritten."""

from pathlib import Path

import pytest

from minisd.base.outputs import utf8
from minisd.base.unfinished import Output

pytestmark = pytest.mark.quick


def files(text):
    return {".png": utf8(text), ".json": utf8(text)}


def there(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_an_output_that_grows(tmp_path):
    output = Output(tmp_path / "x.png", "unused")
    assert output.path is None and output.name == "x"
    for text in "ab":
        assert output.write(files(text), finished=False) == tmp_path / "x-unfinished.png"
        assert there(tmp_path) == {"x-unfinished.png": text, "x-unfinished.json": text}
    for text in "cd":
        assert output.write(files(text)) == output.path == tmp_path / "x.png"
        assert there(tmp_path) == {"x.png": text, "x.json": text}


def test_what_others_have_written_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["x-unfinished.png", "x-2-unfinished.json", "x.json"]
    for name in names:
        (tmp_path / name).write_text("mine")
    output = Output(None, "x")
    output.write(files("a"), finished=False)
    assert output.name == "x-2" and str(output.path) == "x-2-unfinished-2.png"
    output.write(files("b"))
    assert there(tmp_path) == dict.fromkeys(names, "mine") | {"x-2.png": "b", "x-2.json": "b"}


def test_overwrite_is_for_the_finished_name(tmp_path):
    for name in ("x.png", "x-unfinished.png"):
        (tmp_path / name).write_text("before")
    output = Output(tmp_path / "x.png", "unused", overwrite=True)
    output.write({".png": utf8("a")}, finished=False)
    assert there(tmp_path) == {"x.png": "before", "x-unfinished.png": "before", "x-unfinished-2.png": "a"}
    output.write({".png": utf8("b")})
    assert there(tmp_path) == {"x.png": "b", "x-unfinished.png": "before"}


@pytest.mark.parametrize("given", [True, False])
def test_a_name_that_is_taken_during_the_work(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    output = Output(Path("x.png"), "unused") if given else Output(None, "x", overwrite=True)
    output.write(files("a"), finished=False)
    (tmp_path / "x.png").write_text("mine")
    with pytest.warns(UserWarning, match=r"x\.png appeared during the work and was kept"):
        output.write(files("b"))
    output.write(files("c"))  # it is written where it was written before
    assert there(tmp_path) == {"x.png": "mine", "x-2.png": "c", "x-2.json": "c"} and output.name == "x-2"
