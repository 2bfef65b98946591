"""Files that overwrite nothing and are never left half written."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisd import UserError, outputs

# ---------------------------------------------------------------------- names


def test_a_free_name_counts_up(tmp_path):
    assert outputs.free_name("a-man", tmp_path) == tmp_path / "a-man.png"
    (tmp_path / "a-man.png").touch()
    assert outputs.free_name("a-man", tmp_path) == tmp_path / "a-man-2.png"
    (tmp_path / "a-man-2.png").touch()
    (tmp_path / "a-man-4.png").touch()
    assert outputs.free_name("a-man", tmp_path) == tmp_path / "a-man-3.png"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a man without glasses", "a-man-without-glasses"),
        ("  A man, 'with' a HAT! ", "a-man-with-a-hat"),
        ("../../etc/passwd", "etc-passwd"),
        ("", "picture"),
        ("日本", "picture"),
        ("-x", "x"),
        ("a" * 59 + " b", "a" * 59),
    ],
)
def test_slugs(text, name):
    assert outputs.slug(text) == name


@given(st.text())
def test_a_slug_is_a_file_name(text):
    name = outputs.slug(text)
    assert 1 <= len(name) <= 60
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not name.startswith("-")


# ---------------------------------------------------------------------- outputs


def test_an_output_is_looked_at_before_the_work(tmp_path):
    there = tmp_path / "there.png"
    there.touch()
    assert outputs.check_out(str(tmp_path / "new.PNG"), overwrite=False) == tmp_path / "new.PNG"
    assert outputs.check_out(there, overwrite=True) == there
    with pytest.raises(UserError, match=r"there\.png exists; .*--overwrite"):
        outputs.check_out(there, overwrite=False)


def test_outputs_that_cannot_be_written_are_refused(tmp_path, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        outputs.check_out(tmp_path / "folder.png", overwrite=True)
    with pytest.raises(UserError, match="there is no folder"):
        outputs.check_out(tmp_path / "nowhere" / "x.png", overwrite=False)
    for name in ("x.jpg", "x", "png"):
        with pytest.raises(UserError, match=r"written as \.png"):
            outputs.check_out(tmp_path / name, overwrite=False)
    for name in ("", ".png", "./.PNG"):
        with pytest.raises(UserError, match=f"--out '{name}' names no file"):
            outputs.check_out(name, overwrite=False)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(UserError, match="cannot be written to"):
        outputs.check_out(tmp_path / "x.png", overwrite=False)


def test_without_a_name_the_current_folder_must_be_writable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert outputs.check_out(None, overwrite=False) is None
    monkeypatch.setattr(os, "access", lambda path, mode: tmp_path != path.absolute())  # root may write anywhere
    with pytest.raises(UserError, match=r"current folder cannot be written to.*--out FILE\.png"):
        outputs.check_out(None, overwrite=False)


def test_files_beside_a_picture_are_overwritten_no_more_than_it_is(tmp_path):
    (tmp_path / "x.json").touch()
    assert outputs.free_name("x", tmp_path, beside=(".json",)) == tmp_path / "x-2.png"
    assert outputs.check_out(tmp_path / "x.png", overwrite=True, beside=(".json",)) == tmp_path / "x.png"
    with pytest.raises(UserError, match=r"x\.json exists"):
        outputs.check_out(tmp_path / "x.png", overwrite=False, beside=(".json",))


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_honours_the_umask(tmp_path, mask):
    old = os.umask(mask)
    try:
        path = outputs.write_text(tmp_path / "x.txt", "a man")
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
        assert os.umask(mask) == mask  # left as it was found
    finally:
        os.umask(old)


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = outputs.write_text(tmp_path / "x.txt", "ein Mann mit Hütchen")
    assert path.read_text(encoding="utf-8") == "ein Mann mit Hütchen"

    def fails(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outputs.write_file(path, fails)
    assert os.listdir(tmp_path) == ["x.txt"]
    assert path.read_text(encoding="utf-8") == "ein Mann mit Hütchen"


def test_a_name_may_be_as_long_as_file_names_are(tmp_path):
    name = "x" * 251 + ".txt"
    outputs.write_text(tmp_path / name, "a man")
    assert os.listdir(tmp_path) == [name]
