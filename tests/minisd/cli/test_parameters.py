"""The parameters written into a picture are read back unchanged, also from files of other programs."""

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from minisd import UserError
from minisd.base.picture_files import save_png
from minisd.cli import parameters

pytestmark = pytest.mark.quick

FIELDS = {"Steps": 50, "Sampler": "DDIM", "CFG scale": 7.5, "Seed": 0, "Size": "128x128", "Model": "tiny"}

# text that looks like the format's own syntax
words = st.text(st.one_of(st.sampled_from("\n\r\t \"',:\\éb日"), st.characters(exclude_categories=["Cs"])), max_size=20)
signs = st.sampled_from(["Negative prompt:", "Negative prompt: ", "Steps: 3, Seed: 4", "\n", ""])
prompts = st.lists(words | signs, max_size=4).map("\n".join)


def test_the_text_is_that_of_the_convention():
    text = parameters.to_text("a man without glasses", "blurry", FIELDS)
    assert text == (
        "a man without glasses\n"
        "Negative prompt: blurry\n"
        "Steps: 50, Sampler: DDIM, CFG scale: 7.5, Seed: 0, Size: 128x128, Model: tiny"
    )


def test_what_is_not_there_is_left_out():
    assert parameters.to_text("a man", "", {"Steps": 5, "Strength": None, "Seed": 0}) == "a man\nSteps: 5, Seed: 0"


@given(prompts, prompts, st.dictionaries(st.sampled_from(["Model", "Clip skip", "Denoising strength"]), words))
@example("", "", {})
@example("a man\n", "\n", {"Model": ""})
@example('a "red", (hat:1.3)', "ugly: yes, very", {"Model": 'a, "b": c\\'})
@example("Negative prompt: a man", "", {})
@example("a\nNegative prompt: b", "c", {})
def test_prompts_and_fields_come_back(prompt, negative, fields):
    assume("\nNegative prompt:" not in negative)  # the format cannot express such a line
    fields = {"Steps": "5", **fields}
    assert parameters.from_text(parameters.to_text(prompt, negative, fields)) == (prompt, negative, fields)


@given(prompts, st.integers(0, 2**63 - 1))
def test_prompts_come_back_from_a_file(tmp_path_factory, prompt, seed):
    path = tmp_path_factory.getbasetemp() / "parameters.png"
    save_png(Image.new("RGB", (2, 2)), path, parameters.to_text(prompt, "", FIELDS | {"Seed": seed}))
    read, negative, fields = parameters.read(path)
    assert (read, negative) == (prompt, "")
    assert fields == {name: str(value) for name, value in FIELDS.items()} | {"Seed": str(seed)}


def test_a_file_of_another_program_is_read(tmp_path):
    text = (
        "portrait of a man, <lora:x:0.8>,\n(sharp focus:1.2)\n"
        "Negative prompt: glasses,\nblurry\n"
        "Steps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 42, Size: 512x768, Model hash: 6ce0161689, "
        'Lora hashes: "x: aa11, y: bb22", Hires upscale: 2, Version: v1.9.4'
    )
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", text)
    Image.new("RGB", (2, 2)).save(tmp_path / "x.png", pnginfo=info)
    prompt, negative, fields = parameters.read(tmp_path / "x.png")
    assert prompt == "portrait of a man, <lora:x:0.8>,\n(sharp focus:1.2)"
    assert negative == "glasses,\nblurry"
    assert fields["Sampler"] == "DPM++ 2M"
    assert fields["Lora hashes"] == "x: aa11, y: bb22"
    assert fields["Size"] == "512x768"
    assert fields["Version"] == "v1.9.4"


@pytest.mark.parametrize(
    ("last", "value"),
    [('Steps: 5, Model: "half, Seed: 3', '"half'), ('Steps: 5, Model: "\\q", Seed: 3', '"\\q"')],
)
def test_a_quote_that_is_no_json_is_taken_as_it_stands(last, value):
    _, _, fields = parameters.from_text(f"a man\n{last}")
    assert fields == {"Steps": "5", "Model": value, "Seed": "3"}


@pytest.mark.parametrize("text", ["", "\n", "a man without glasses", "a man\nSeed: 5", "Steps: 5\na man"])
def test_text_without_settings_is_an_error(text):
    with pytest.raises(UserError, match="without a line 'Steps: …, Seed: …'"):
        parameters.from_text(text)


def test_files_without_parameters_are_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.png': there is no such file"):
        parameters.read(tmp_path / "nothing.png")
    (tmp_path / "text.png").write_text("Steps: 5")
    with pytest.raises(UserError, match=r"text\.png' is not a picture"):
        parameters.read(tmp_path / "text.png")
    save_png(Image.new("RGB", (2, 2)), tmp_path / "plain.png")
    with pytest.raises(UserError, match=r"plain\.png' holds no parameters"):
        parameters.read(tmp_path / "plain.png")
    save_png(Image.new("RGB", (2, 2)), tmp_path / "other.png", "a man")
    with pytest.raises(UserError, match=r"other\.png': the parameters end without"):
        parameters.read(tmp_path / "other.png")


# ---------------------------------------------------------------------- of any length


@pytest.mark.parametrize("part", ["a", "a ", "a/", ": ", ":", '"', ':"', ':"\\"', 'a:"', 'a:"b', "a:b,", "\\", ","])
def test_a_long_line_is_read_in_one_pass(part):
    """A regular expression once took over a minute for 80,000 letters."""
    line = part * (500_000 // len(part))
    fields = parameters.from_text(f"a man\nSteps: 5, {line}")[2]
    assert fields["Steps"] == "5"


def test_parameters_beyond_all_measure_are_refused():
    parameters.from_text("a" * (parameters.LONGEST - 20) + "\nSteps: 5")
    with pytest.raises(UserError, match=r"have 1,048,585 characters; at most 1,048,576 are read"):
        parameters.from_text("a" * parameters.LONGEST + "\nSteps: 5")


@pytest.mark.parametrize("chunks", [1, 100])
def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path, chunks):
    """Two megabytes of text in 2 kB, and a hundred times half a megabyte."""
    info = PngImagePlugin.PngInfo()
    for k in range(chunks):
        info.add_text(f"parameters{k}" if k else "parameters", "a" * (2**21 if chunks == 1 else 2**20 - 1), zip=True)
    Image.new("RGB", (2, 2)).save(tmp_path / "bomb.png", pnginfo=info)
    with pytest.raises(UserError, match=r"bomb\.png' is not a picture that can be read: .*MAX_TEXT"):
        parameters.read(tmp_path / "bomb.png")


# ---------------------------------------------------------------------- in other files

TEXT = "a man, 眼鏡 ł\nNegative prompt: hat\nSteps: 5, Seed: 3"


def commented(path, comment):
    exif = Image.Exif()
    exif[0x0131] = "a camera"
    exif.get_ifd(0x8769)[0x9286] = comment
    Image.new("RGB", (8, 8)).save(path, exif=exif)


@pytest.mark.parametrize("ending", ["jpg", "webp", "png"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + TEXT.encode("utf-16-be"),
        b"UNICODE\0" + TEXT.encode("utf-16-le"),
        b"UNICODE\0" + TEXT.encode("utf-16"),  # with a byte order mark
        b"ASCII\0\0\0" + TEXT.encode(),
        bytes(8) + TEXT.encode(),
        TEXT.encode(),
    ],
    ids=["big", "little", "marked", "ascii", "unnamed", "bare"],
)
def test_an_exif_comment_is_read(tmp_path, ending, comment):
    commented(tmp_path / f"x.{ending}", comment)
    assert parameters.read(tmp_path / f"x.{ending}") == ("a man, 眼鏡 ł", "hat", {"Steps": "5", "Seed": "3"})


@pytest.mark.parametrize("comment", [b"", b"UNICODE\0", b"UNICODE\0\xd8", b"ASCII\0\0\0a holiday", b"\xff\xfe\xff"])
def test_other_comments_are_no_parameters(tmp_path, comment):
    commented(tmp_path / "x.jpg", comment)
    with pytest.raises(
        UserError, match=r"x\.jpg' holds no parameters: neither a PNG text chunk .* nor an EXIF comment"
    ):
        parameters.read(tmp_path / "x.jpg")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of the damage
@given(st.integers(0, 400), st.integers(0, 255))
def test_damaged_exif_is_no_more_than_no_parameters(tmp_path_factory, at, byte):
    path = tmp_path_factory.getbasetemp() / "exif.jpg"
    commented(path, b"UNICODE\0" + TEXT.encode("utf-16-be"))
    whole = bytearray(path.read_bytes())
    whole[at % len(whole)] = byte
    path.write_bytes(whole)
    try:
        assert "Steps" in parameters.read(path)[2]
    except UserError as error:
        assert "exif.jpg" in str(error)


# ---------------------------------------------------------------------- whatever the text


@settings(max_examples=300)
@given(prompts)
def test_any_text_is_parameters_or_a_user_error(text):
    try:
        prompt, negative, fields = parameters.from_text(text)
    except UserError:
        return
    assert "Steps" in fields and all(isinstance(v, str) for v in fields.values())
    assert prompt in text and negative in text
    again = parameters.from_text(parameters.to_text(prompt, negative, fields))
    assert again[2].keys() == fields.keys()
