"""Files: nothing is overwritten by accident, and no file is left half written."""

import errno
import os
import resource
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisd import UserError
from minisd.base import outputs

pytestmark = pytest.mark.quick

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
        with pytest.raises(UserError, match=r"expected a name that ends in \.png, which keeps parameters"):
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


@pytest.mark.parametrize("name", ["x" * 252 + ".png", "x" * 249 + ".png", "a\0.png"])
def test_names_that_no_file_can_have_are_refused(tmp_path, name):
    """Also names that are too long for an added number, or for the ending of a second file."""
    with pytest.raises(UserError, match="no file can have this name"):
        outputs.check_out(tmp_path / name, overwrite=True, beside=(".json",))
    assert outputs.check_out(tmp_path / ("x" * 235 + ".png"), overwrite=True, beside=(".json",))


def test_overwrite_replaces_files_alone(tmp_path):
    (tmp_path / "x.json").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name, ending in (("x.png", ".png"), ("pipe.jsonl", ".jsonl")):
        with pytest.raises(UserError, match="is no file that could be replaced; give another name"):
            outputs.check_file(tmp_path / name, True, ending, beside=(".json",) if ending == ".png" else ())


def test_a_call_is_told_of_no_options(tmp_path):
    (tmp_path / "x.gif").touch()
    for name, told in (
        ("x.gif", "x.gif exists; give another name, or overwrite=True"),
        ("x" * 300 + ".gif", "no file"),
    ):
        with pytest.raises(UserError) as error:
            outputs.check_file(tmp_path / name, False, ".gif", in_python=True)
        assert told in str(error.value) and "--" not in str(error.value) and str(error.value)[0] != " "


def test_a_folder_need_not_exist_but_its_own_must(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    assert outputs.check_folder(tmp_path / "new") == tmp_path / "new" and outputs.check_folder(tmp_path) == tmp_path
    wrong = {"file": "is a file", "link": "is a file", "no/where": "there is no folder", "a\0b": "no file can have"}
    for name, told in wrong.items():
        with pytest.raises(UserError, match=f"^--to .*{told}"):
            outputs.check_folder(tmp_path / name, "--to")
    monkeypatch.setattr(os, "access", lambda path, mode: tmp_path != path.absolute())  # root may write anywhere
    for name in (tmp_path, tmp_path / "new"):
        with pytest.raises(UserError, match="cannot be written to"):
            outputs.check_folder(name)


def test_a_link_that_leads_nowhere_is_a_name_that_is_taken(tmp_path):
    (tmp_path / "x.png").symlink_to("nowhere.png")
    with pytest.raises(UserError, match=r"x\.png exists"):
        outputs.check_out(tmp_path / "x.png", overwrite=False)
    assert outputs.free_name("x", tmp_path) == tmp_path / "x-2.png"
    assert outputs.write_output({".png": outputs.utf8("a")}, None, "x", folder=tmp_path) == tmp_path / "x-2.png"
    assert sorted(os.listdir(tmp_path)) == ["x-2.png", "x.png"]


# ---------------------------------------------------------------------- writing

PAIR = {".png": outputs.utf8("picture"), ".json": outputs.utf8("text")}


def contents(folder):
    return {p.name: p.read_text() for p in folder.iterdir()}


@pytest.fixture(params=["links", "no links"])
def file_system(request, monkeypatch):
    """The second is like FAT, without hard links."""

    def link(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", link)


def test_files_of_one_output_have_one_name(tmp_path, file_system):
    assert outputs.write_output(PAIR, None, "x", folder=tmp_path) == tmp_path / "x.png"
    assert contents(tmp_path) == {"x.png": "picture", "x.json": "text"}
    # one of the two names is taken: the first, the second
    (tmp_path / "x-2.png").write_text("mine")
    (tmp_path / "x-3.json").write_text("mine")
    assert outputs.write_output(PAIR, None, "x", folder=tmp_path) == tmp_path / "x-4.png"
    new = {"x-2.png": "mine", "x-3.json": "mine", "x-4.png": "picture", "x-4.json": "text"}
    assert contents(tmp_path) == {"x.png": "picture", "x.json": "text"} | new


def test_a_name_that_was_asked_for_is_kept_and_told(tmp_path, file_system):
    out = tmp_path / "x.PNG"
    assert outputs.write_output(PAIR, out, "y") == out
    with pytest.warns(UserWarning, match=r"x\.PNG appeared .* written as .*x-2\.PNG"):
        assert outputs.write_output(PAIR, out, "y") == tmp_path / "x-2.PNG"
    assert set(contents(tmp_path)) == {"x.PNG", "x.json", "x-2.PNG", "x-2.json"}


def test_an_output_is_replaced_when_that_is_asked_for(tmp_path):
    out = outputs.write_output(PAIR, tmp_path / "x.png", "y")
    other = {".png": outputs.utf8("new"), ".json": outputs.utf8("newer")}
    assert outputs.write_output(other, out, "y", overwrite=True) == out
    assert contents(tmp_path) == {"x.png": "new", "x.json": "newer"}
    # without a given name, nothing is replaced
    assert outputs.write_output(other, None, "x", overwrite=True, folder=tmp_path) == tmp_path / "x-2.png"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")], ids=type)
def test_of_an_output_that_fails_nothing_is_left(tmp_path, stop):
    def fails(file):
        file.write(b"half")
        raise stop

    with pytest.raises((KeyboardInterrupt, UserError)) as error:
        outputs.write_output({".png": outputs.utf8("picture"), ".json": fails}, None, "x", folder=tmp_path)
    assert os.listdir(tmp_path) == []
    if isinstance(stop, OSError):
        told = r"x.json could not be written: No space left on device; make room, or write to another disk"
        assert str(error.value).endswith(told)


def test_a_full_disk_is_told_with_the_files_name(tmp_path):
    """A limit of the process replaces the full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(UserError, match=r"x\.txt could not be written: File too large; write to another place"):
            outputs.write_text(tmp_path / "x.txt", "a man " * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_what_is_no_text_is_escaped(tmp_path):
    """A file's name may have bytes that are not UTF-8, and a text may contain this name."""
    assert outputs.write_text(tmp_path / "x.txt", "ł \udcff").read_bytes() == "ł ".encode() + rb"\udcff"


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_honours_the_umask(tmp_path, mask):
    old = os.umask(mask)
    try:
        path = outputs.write_text(tmp_path / "x.txt", "a man")
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
        assert os.umask(mask) == mask  # unchanged
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


def test_an_ending_may_be_more_than_a_suffix(tmp_path):
    path = tmp_path / "a.b.png"
    assert outputs.with_ending(path, ".json").name == "a.b.json"
    assert outputs.with_ending(path, "-mask.png").name == "a.b-mask.png"
    (tmp_path / "a.b-mask.png").touch()
    with pytest.raises(UserError, match=r"a\.b-mask\.png exists"):
        outputs.check_out(path, overwrite=False, beside=(".json", "-mask.png"))
