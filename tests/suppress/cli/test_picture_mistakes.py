"""`suppress --image`: what it cannot use, and options that make no sense together."""

import pytest
from PIL import Image

from minisd.cli import options
from suppress.cli.commands import main

PROMPT = "a man with a beard wearing glasses and a hat"
EDIT = [PROMPT, "--remove", "glasses"]


@pytest.fixture(autouse=True)
def _in_a_folder_with_pictures(sd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: sd)
    monkeypatch.setattr("suppress.cli.picture.invert", lambda *args, **given: pytest.fail("the work has begun"))
    (tmp_path / "text.jpg").write_text("no picture")
    sizes = {"photo": (128, 128), "dot": (1, 1), "strip": (3000, 16), "black": (128, 128), "white": (128, 128)}
    for name, size in sizes.items():
        Image.new("L", size, 255 if name == "white" else 0).save(f"{name}.png")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--image", "nowhere.jpg", *EDIT], "no picture 'nowhere.jpg': there is no such file"),
        (["--image", "text.jpg", *EDIT], "'text.jpg' is not a picture that can be read"),
        (["--image", "dot.png", *EDIT], "1 × 1"),
        (["--image", "strip.png", *EDIT], "3000 × 16"),
        (["--image", "photo.png", PROMPT, "--remove", "scarf"], "the prompt has no 'scarf'"),
        (["--image", "photo.png"], "nothing to draw: give a PROMPT"),
        (["--image", "photo.png", *EDIT, "--seed", "0"], "--seed with --image"),
        (["--image", "photo.png", *EDIT, "--inversion", "magic"], "inversion = 'magic'; expected one of ddim"),
        (["--image", "photo.png", *EDIT, "--inversion", "ddim:rate=1"], "'rate=1' in 'ddim:rate=1'"),
        (["--image", "photo.png", *EDIT, "--size", "65x64"], "must be multiples of 8"),
        (["--image", "photo.png", *EDIT, "--crop", "0,0,200,10"], "leaves the picture"),
        (["--image", "photo.png", *EDIT, "--crop", "50,0,50,100"], "is empty"),
        (["--image", "photo.png", *EDIT, "--mask", "nowhere.png"], "no picture 'nowhere.png'"),
        (["--image", "photo.png", *EDIT, "--mask", "black.png"], "white"),
        (["--image", "photo.png", *EDIT, "--mask", "white.png", "--keep-outside", "0"], "unread has no use for a mask"),
        (["--image", "photo.png", *EDIT, "--mask", "white.png", "--preset", "paper"], "paper has no use for a mask"),
        (["--image", "photo.png", *EDIT, "--keep-outside", "2"], "keep = 2"),
        ([*EDIT, "--inversion", "ddim"], "--inversion needs --image"),
        ([*EDIT, "--mask", "white.png"], "--mask needs --image"),
        ([*EDIT, "--crop", "0,0,8,8"], "--crop needs --image"),
        ([*EDIT, "--show-mask"], "--show-mask needs --image"),
        ([*EDIT, "--paste"], "--paste needs --image"),
        ([*EDIT, "--no-cache"], "--no-cache needs --image"),
    ],
)
def test_mistakes_get_one_message_and_leave_nothing(tmp_path, capsys, argv, message):
    before = names(tmp_path)
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("suppress: error: ") and message in err and "Traceback" not in err
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--size", "64"], "'64' is no size; expected width × height, such as 768x512"),
        (["--size", "64x96", "--width", "96"], "--size 64x96 and --width 96 contradict each other"),
        (["--size", "64x96", "--height", "64"], "--size 64x96 and --height 64 contradict each other"),
        (["--image", "photo.png", "--crop", "1,2,3"], "'1,2,3'; expected left,top,right,bottom in pixels"),
        (["--keep-outside", "much"], "'much' is no number; a PROMPT goes before --keep-outside"),
    ],
)
def test_arguments_that_cannot_be_read(capsys, argv, message):
    with pytest.raises(SystemExit, match="2"):
        main([*EDIT, *argv])
    assert message in capsys.readouterr().err
