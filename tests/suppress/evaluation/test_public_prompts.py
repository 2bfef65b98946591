"""`suppress eval --prompts` with COCO's captions and with I2P, in the form in which they are published."""

import json
from pathlib import Path

import pytest

from minisd import UserError
from suppress.cli.evaluate import main
from suppress.evaluation.own_prompts import OwnCase
from suppress.evaluation.public_prompts import read_prompt_file
from suppress.evaluation.targets import targets_of

pytestmark = pytest.mark.quick

CAPTIONS = [
    "A man with a hat \n next to a car.",
    "Two zebras in a field.",
    "A woman holding an umbrella in the rain",
    "A man with a hat \n next to a car.",
]
COLUMNS = "prompt,categories,hard,inappropriate_percentage,nudity_percentage,q16_percentage,sd_safety_percentage,"
COLUMNS += "prompt_toxicity,lexica_url,sd_seed,sd_guidance_scale,sd_image_width,sd_image_height,sd_model"
REST = "0,0.1,0.0,0.2,0.0,0.01,https://example.org"


def line(prompt: str, seed: str, guidance: str) -> str:
    return f'"{prompt}","shocking, violence",{REST},{seed},{guidance},512,512,SD-1.5'


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def coco(*captions: str) -> Path:
    annotations = [{"image_id": 7 + k, "id": k, "caption": text} for k, text in enumerate(captions)]
    Path("captions_val2014.json").write_text(json.dumps({"info": {}, "images": [], "annotations": annotations}))
    return Path("captions_val2014.json")


def i2p(*lines: str, columns: str = COLUMNS) -> Path:
    Path("i2p.csv").write_text("\n".join([columns, *lines]) + "\n", encoding="utf-8")
    return Path("i2p.csv")


def test_a_caption_is_a_case_if_it_names_a_target():
    cases, told = read_prompt_file(coco(*CAPTIONS), ["hat", "zebras"], seeds=2)
    assert set(cases) == {
        OwnCase("A man with a hat next to a car.", "hat", seeds=(0, 1)),
        OwnCase("Two zebras in a field.", "zebras", seeds=(0, 1)),
    }
    assert told == "captions_val2014.json: 2 captions that name a target"


def test_without_a_target_chance_picks_one_that_the_drawn_world_knows():
    file = coco(*(f"Number {k}: a hat, a car and a zebra" for k in range(40)))
    cases, told = read_prompt_file(file, limit=30)
    assert told == (f"{file}: 30 of 40 captions that name a target, chosen by chance; --limit N takes more or fewer")
    assert {case.target for case in cases} == {"hat", "car"} and len({case.prompt for case in cases}) == 30
    assert read_prompt_file(file, limit=30)[0] == cases and cases[0].prompt != "Number 0: a hat, a car and a zebra"


def test_prompts_of_i2p_have_their_own_seed_and_guidance():
    file = i2p(
        line("a portrait, by someone", "1789839322", "7"), line("a city", "12", "9.5"), line("a city", "13", "9.5")
    )
    cases, told = read_prompt_file(file, ["hat", "red scarf"])
    assert sorted(cases, key=lambda case: case.prompt) == [
        OwnCase("a city", "hat + red scarf", seeds=(12, 13), guidance=9.5),
        OwnCase("a portrait, by someone", "hat + red scarf", seeds=(1789839322,), guidance=7.0),
    ]
    assert targets_of(cases[0].target) == ["hat", "red scarf"] and told == "i2p.csv: 2 prompts"
    again = i2p(line("a city", "12", "9.5"), line("a city", "14", "7"))
    assert "1 line left out: a prompt again, with another guidance" in read_prompt_file(again, ["hat"])[1]
    other = COLUMNS.replace("sd_seed,sd_guidance_scale", "evaluation_seed,evaluation_guidance")
    assert read_prompt_file(i2p(line("a city", "5", "7"), columns=other), ["hat"])[0][0].seeds == (5,)
    # the copy in ESD's repository: its first column has no name
    esd = i2p(f"3,{line('a city', '5', '7')},3", columns=f",{other},case_number")
    assert read_prompt_file(esd, ["hat"])[0] == (OwnCase("a city", "hat", seeds=(5,), guidance=7.0),)


def test_each_file_is_read_once(monkeypatch):
    mine = Path("mine.csv")
    mine.write_text("prompt,target,seed\na man with a hat,hat,0\n")
    for file, targets in ((coco(*CAPTIONS), ["hat"]), (i2p(line("a city", "1", "7")), ["hat"]), (mine, [])):
        text = file.read_text()
        with monkeypatch.context() as patch:
            reads = iter([text])  # a second reading raises StopIteration
            patch.setattr(Path, "read_text", lambda *_args, reads=reads, **_named: next(reads))
            assert len(read_prompt_file(file, targets)[0]) == 1


def test_a_value_that_is_too_long_is_told():
    long = "x" * 140_000
    for number, columns in ((2, COLUMNS), (1, f"{COLUMNS},{long}")):
        file = i2p(line(long, "1", "7"), columns=columns)
        with pytest.raises(UserError, match=rf"^i2p\.csv, line {number}: field larger than field limit"):
            read_prompt_file(file, ["hat"])


@pytest.mark.parametrize("missing", ["categories", "sd_seed", "sd_guidance_scale", "prompt"])
def test_a_missing_column_is_named(missing):
    columns = COLUMNS.split(",")
    columns[columns.index(missing)] = "other"
    with pytest.raises(UserError, match=rf"i2p\.csv lacks the column {missing} of I2P; it has .*other"):
        read_prompt_file(i2p(columns=",".join(columns)), ["hat"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1", "is not JSON"),
        ("[]", "has no list “annotations”"),
        ('{"images": []}', "has no list “annotations”"),
        ('{"annotations": [{"image_id": 3}]}', "annotation 0 is .*expected one with a caption"),
        (
            '{"annotations": [{"caption": "two zebras"}]}',
            "has no captions that name a target; name others with --target",
        ),
    ],
)
def test_other_json_is_told(text, message):
    Path("c.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_prompt_file(Path("c.json"))


@pytest.mark.parametrize(
    ("seed", "guidance", "message"),
    [
        ("x", "7", "line 2: sd_seed = 'x'"),
        ("1", "-7", "sd_guidance_scale = '-7'"),
        ("1", "nan", "guidance_scale = 'nan'"),
    ],
)
def test_wrong_values_are_told_with_their_line(seed, guidance, message):
    with pytest.raises(UserError, match=message):
        read_prompt_file(i2p(line("a city", seed, guidance)), ["hat"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompts", "i2p.csv"], "I2P, which has no targets; name what is to be removed with --target"),
        (["--prompts", "i2p.csv", "--target", "hat", "--seeds", "2"], "--seeds with the prompts of I2P"),
        (["--prompts", "mine.csv", "--target", "hat"], "--target is for COCO's captions and I2P"),
        (["--prompts", "mine.csv", "--seeds", "2"], "--seeds is for COCO's captions and I2P"),
        (["--target", "hat"], "--target is for --prompts"),
        (["--limit", "2"], "--limit is for --pictures and --prompts"),
        (["--prompts", "mine.csv", "--limit", "0"], "limit = 0"),
        (["--pictures", "--target", "hat"], "--target is for prompts"),
    ],
)
def test_mistakes_of_options(capsys, options, message):
    i2p(line("a city", "1", "7"))
    Path("mine.csv").write_text("prompt,target,seed\na man with a hat,hat,0\n")
    assert main(options) == 2 and message in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["i2p.csv", "mine.csv"]
