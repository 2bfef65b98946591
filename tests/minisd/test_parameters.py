"""What is written into a picture about its making comes back as it was, also from other programs' files."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from minisd import UserError, parameters
from minisd.picture import save

FIELDS = {"Steps": 50, "Sampler": "DDIM", "CFG scale": 7.5, "Seed": 0, "Size": "128x128", "Model": "tiny"}

# text with what could be taken for the format's own signs
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
    assume("\nNegative prompt:" not in negative)  # for which the convention has no sign
    fields = {"Steps": "5", **fields}
    assert parameters.from_text(parameters.to_text(prompt, negative, fields)) == (prompt, negative, fields)


@given(prompts, st.integers(0, 2**63 - 1))
def test_prompts_come_back_from_a_file(tmp_path_factory, prompt, seed):
    path = tmp_path_factory.getbasetemp() / "parameters.png"
    save(Image.new("RGB", (2, 2)), path, parameters.to_text(prompt, "", FIELDS | {"Seed": seed}))
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
    save(Image.new("RGB", (2, 2)), tmp_path / "plain.png")
    with pytest.raises(UserError, match=r"plain\.png' holds no parameters"):
        parameters.read(tmp_path / "plain.png")
    save(Image.new("RGB", (2, 2)), tmp_path / "other.png", "a man")
    with pytest.raises(UserError, match=r"other\.png': the parameters end without"):
        parameters.read(tmp_path / "other.png")
