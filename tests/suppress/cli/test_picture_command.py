"""`suppress --image`, end to end on the embedded model, with small pictures and few steps."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from png_pixels import pixels

from minisd.cli import options, parameters
from suppress.cli import picture as command
from suppress.cli.commands import main
from suppress.edits.masks import dilate
from suppress.start.inversion import Inversion

PROMPT = "a man with a beard wearing glasses and a hat"
EDIT = [PROMPT, "--remove", "glasses"]
SMALL = ["--size", "64x64", "--steps", "2", "--engine", "reference"]  # it needs no time to pack weights
JOB = ["--image", "photo.png", *EDIT, *SMALL]
FILES = ["photo-without-glasses", *(f"photo-without-glasses-{k}" for k in ("original", "reconstruction", "suppressed"))]


@pytest.fixture(scope="session")
def photo(sd):
    """A picture of 128 × 128 pixels that PROMPT describes."""
    return sd.generate(PROMPT, 5, 12, 2.0)[0]


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_photo(sd, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: sd)
    monkeypatch.setenv("MINISD_CACHE", str(tmp_path.parent / f"{tmp_path.name}-cache"))
    photo.save("photo.png")


def read(name):
    content = json.loads(open(name, encoding="utf-8").read())
    return content, content["results"][0]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------------- what it writes and says


def test_a_picture_its_reconstruction_and_its_edit(tmp_path, capsys):
    assert main([*JOB, "--steps", "6", "--engine", "fast", "--show-mask"]) == 0
    out = capsys.readouterr().out
    stem = FILES[0]
    assert names(tmp_path) == sorted(["photo.png", f"{stem}.json", f"{stem}-mask.png", *(f"{f}.png" for f in FILES)])
    assert out.splitlines()[-1] == f"{stem}.png" and f"{stem}-suppressed.png" in out
    assert "photo.png: 128 × 128 pixels" in out and "resized to 64 × 64" in out
    assert "removing 'glasses' (as named)" in out
    assert "inversion: direct, " in out and "T (1 + k) UNet passes, T = 6, k = 0" in out
    assert "what it does not concern is kept, rate 1" in out
    assert re.search(r"VAE alone \d\d\.\d, the inversion at guidance 1 \d+\.\d, at guidance 7.5 \d\d\.\d", out)
    assert "the last one is that of the VAE" in out
    assert re.search(r"original  reconstruction  suppressed\nDetScore glasses +[01]\.\d+ +[01]\.\d+ +0\.\d+\n", out)
    content, result = read(f"{stem}.json")
    assert content["picture"]["image"] == "photo.png" and content["picture"]["inversion"] == "direct"
    assert result["settings"]["keep"] == 1 and "seeds" not in content
    assert result["inversion"]["passes"].startswith("T (1 + k)") and result["inversion"]["seconds"] > 0
    scores = result["scores"]["DetScore glasses"]
    assert (
        set(scores) == {"original", "reconstruction", "suppressed"} and scores["suppressed"][0] < scores["original"][0]
    )


def test_the_pictures_alone_are_what_the_sheet_shows(sd, photo):
    mask = Image.new("L", (128, 128))
    mask.paste(255, (0, 0, 64, 128))
    mask.save("mask.png")
    assert main([*JOB, "--mask", "mask.png", "--show-mask"]) == 0
    sheet = pixels(f"{FILES[0]}.png")
    for k, name in enumerate(FILES[1:]):
        alone = pixels(f"{name}.png")
        assert alone.shape == (64, 64, 3)
        assert np.array_equal(sheet[4:68, 4 + 68 * k : 68 + 68 * k], alone)
    assert sheet.shape[0] > 2 * 64 + 30  # the maps and the mask are under them
    mask = pixels(f"{FILES[0]}-mask.png")
    assert mask[:, :32].min() == 255 and mask[:, 32:].max() == 0
    below = sheet.shape[0] // 2 + 2
    assert np.array_equal(sheet[below : below + 64, 4:68], mask)
    assert np.abs(pixels(f"{FILES[1]}.png") - np.asarray(photo.resize((64, 64), Image.Resampling.LANCZOS))).max() <= 1


def test_the_reconstructions_are_those_of_the_files(sd):
    """The PSNRs of the JSON file, computed again from the pictures that were saved."""
    assert main([*JOB, "--inversion", "ddim"]) == 0
    _, result = read(f"{FILES[0]}.json")
    original, reconstruction = (pixels(f"{name}.png") for name in FILES[1:3])
    psnr = 10 * np.log10(255**2 / ((original - reconstruction) ** 2).mean())
    assert result["reconstruction"]["guided"] == pytest.approx(psnr, abs=1e-3)
    assert result["reconstruction"]["vae"] > psnr + 1 and not result["reconstruction"]["pinned"]


def test_pictures_alone_go_into_a_folder(tmp_path):
    assert main([*JOB, "--out", "a.png", "--save-pictures", "alone"]) == 0
    assert names(tmp_path) == ["a.json", "a.png", "alone", "photo.png"]
    assert names(tmp_path / "alone") == ["a-original.png", "a-reconstruction.png", "a-suppressed.png"]


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "a-original.png").write_bytes(b"mine")
    assert main([*JOB, "--out", "a.png"]) == 2
    assert "a-original.png exists" in capsys.readouterr().err
    assert (tmp_path / "a-original.png").read_bytes() == b"mine"
    assert main([*JOB, "--out", "a.png", "--overwrite"]) == 0
    assert pixels("a-original.png").shape == (64, 64, 3)
    files = names(tmp_path)
    assert main([*JOB, "--out", "a.png", "--overwrite"]) == 0 and names(tmp_path) == files
    assert main(JOB) == 0 and main(JOB) == 0
    assert {f"{FILES[0]}-2.png", f"{FILES[0]}-2-original.png"} <= set(names(tmp_path))


def test_a_place_and_a_person_do_not_leave_the_photo(tmp_path, photo):
    exif = Image.Exif()
    exif[0x013B] = "Erika Mustermann"  # artist
    exif[0x0112] = 6  # turned
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)})  # GPS
    photo.rotate(90).save("me.jpg", exif=exif, quality=95, comment=b"Mustermann")
    with Image.open("me.jpg") as image:
        assert image.getexif().get_ifd(0x8825)[4]
    mask = ["--mask", "me.jpg", "--show-mask", "--paste"]
    assert main(["--image", "me.jpg", *EDIT, *SMALL, *mask, "--out", "a.png"]) == 0
    written = [path for path in tmp_path.iterdir() if path.name.startswith("a")]
    assert len(written) == 6
    for path in written:
        data = path.read_bytes()
        for word in (b"Mustermann", b"eXIf", b"Exif", b"GPS"):
            assert word not in data, (path, word)
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert not image.getexif() and set(image.info) <= {"parameters"}
    upright = np.asarray(ImageOps.fit(photo, (64, 64)), int)
    assert np.abs(pixels("a-original.png") - upright).mean() < 6


# ---------------------------------------------------------------------- a picture is edited again


def test_an_edit_is_repeated_from_its_file_and_the_photo(tmp_path, capsys):
    mask = Image.new("L", (128, 128))
    mask.paste(255, (20, 20, 100, 70))
    mask.save("mask.png")
    job = [*JOB, "--inversion", "null-text:iterations=1", "--crop", "0,0,120,120", "--mask", "mask.png", "--paste"]
    job += ["--keep-outside", ".5", "--method", "zero", "--start", "1"]
    assert main([*job, "--out", "a.png"]) == 0
    fields = parameters.read("a-suppressed.png")[2]
    assert fields["Image"] == "photo.png" and fields["Inversion"] == "null-text:iterations=1"
    assert fields["Crop"] == "0,0,120,120" and fields["Mask"] == "mask.png" and fields["Paste"] == "yes"
    assert "keep=0.5" in fields["Suppress method"] and "Seed" not in fields
    assert len(fields["Image hash"]) == len(fields["Mask hash"]) == 16
    (tmp_path / "other").mkdir()
    for name in ("photo.png", "mask.png"):
        (tmp_path / name).rename(tmp_path / "other" / name)
    again = ["--params-from", "a-suppressed.png", "--image", "other/photo.png", "--mask", "other/mask.png"]
    capsys.readouterr()
    assert main([*again, "--out", "b.png"]) == 0
    assert capsys.readouterr().err == ""
    for name in ("-original", "-reconstruction", "-suppressed", ""):
        assert np.array_equal(pixels(f"a{name}.png"), pixels(f"b{name}.png")), name
    (first, one), (second, two) = read("a.json"), read("b.json")
    assert one["settings"] == two["settings"] and first["picture"] == second["picture"]


def test_another_photo_or_mask_is_told(photo, capsys):
    Image.new("L", (128, 128), 255).save("mask.png")
    assert main([*JOB, "--mask", "mask.png", "--crop", "0,0,64,64", "--out", "a.png"]) == 0
    photo.rotate(180).save("other.png")
    again = ["--params-from", "a.png", "--image", "other.png", "--mask", "mask.png"]
    capsys.readouterr()
    assert main([*again, "--out", "b.png"]) == 0
    err = capsys.readouterr().err
    assert "--image other.png is not the one that a.png was drawn with (photo.png)" in err and "--mask" not in err
    assert main(["--params-from", "a.png"]) == 2
    assert "drawn over another picture (photo.png), which the file does not hold: give it as --image" in (
        capsys.readouterr().err
    )
    assert main(["--params-from", "a.png", "--image", "photo.png"]) == 2
    assert "give it as --mask" in capsys.readouterr().err


def test_the_settings_of_a_drawing_can_be_used_for_a_photo(tmp_path):
    assert main([*EDIT, *SMALL, "--seed", "3", "4", "--gamma", ".5", "--out", "a.png"]) == 0
    assert main(["--params-from", "a.png", "--image", "photo.png", "--out", "b.png"]) == 0
    content, result = read("b.json")
    assert result["settings"]["gamma"] == 0.5 and "seeds" not in content


# ---------------------------------------------------------------------- the cache


def test_a_second_target_needs_no_second_inversion(monkeypatch, capsys):
    assert main([*JOB, "--out", "a.png"]) == 0
    assert "taken from the cache" not in capsys.readouterr().out and not read("a.json")[1]["inversion"]["cached"]
    monkeypatch.setattr(Inversion, "pivots", lambda *args: pytest.fail("the picture was inverted again"))
    hat = ["--image", "photo.png", PROMPT, "--remove", "hat", *SMALL]
    assert main([*hat, "--out", "b.png"]) == 0
    assert "taken from the cache" in capsys.readouterr().out and read("b.json")[1]["inversion"]["cached"]
    assert np.array_equal(pixels("a-reconstruction.png"), pixels("b-reconstruction.png"))
    with pytest.raises(pytest.fail.Exception, match="inverted again"):
        main([*hat, "--no-cache"])


def test_without_a_cache_nothing_is_kept(tmp_path, capsys):
    assert main([*JOB, "--no-cache", "--out", "a.png"]) == 0
    assert not (tmp_path.parent / f"{tmp_path.name}-cache").exists()


# ---------------------------------------------------------------------- methods and options


def test_a_sheet_has_a_row_for_each_method(tmp_path, capsys):
    inversions = []
    original = command.invert

    def counting(*args, **kwargs):
        inversions.append(args)
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "invert", counting)
        assert main([*JOB, "--sheet", "zero", "unread", "official:iterations=0", "--out", "s.png"]) == 0
    assert len(inversions) == 1
    content, _ = read("s.json")
    assert [r["settings"]["keep"] for r in content["results"]] == [1, 1, 0]  # a preset keeps what was published
    height, width = pixels("s.png").shape[:2]
    assert 3 * 80 < height < 4 * 80 and 3 * 64 < width < 4 * 64
    assert {"s-original.png", "s-reconstruction.png"} < set(names(tmp_path)) and "s-official.png" not in names(tmp_path)
    assert len([name for name in names(tmp_path) if name.startswith("s-")]) == 5


@pytest.mark.parametrize("inversion", ["proximal", "noised:strength=0.5", "renoise", "edit-friendly"])
def test_every_inversion_and_strengthening(inversion, capsys):
    job = ["--image", "photo.png", PROMPT, "--strengthen", "hat", *SMALL, "--inversion", inversion]
    assert main(job) == 0
    out = capsys.readouterr().out
    assert f"inversion: {inversion}, " in out and out.endswith("photo-more-hat.png\n")
    noise = inversion.startswith(("noised", "edit"))
    assert (read("photo-more-hat.json")[1]["reconstruction"]["inversion"] is None) == noise
    assert ("to measure it at guidance 1" in out) != noise and ("inversion at guidance 1" in out) != noise
    assert read("photo-more-hat.json")[1]["scores"]["DetScore hat"]["strengthened"]


def test_a_mask_keeps_what_is_outside_it():
    mask = Image.new("L", (128, 128))
    mask.paste(255, (0, 64, 128, 128))
    mask.save("mask.png")
    job = [*JOB, "--mask", "mask.png", "--method", "zero", "--start", "0", "--show-mask"]
    assert main([*job, "--paste", "--out", "a.png"]) == 0
    original, edited = pixels("a-original.png"), pixels("a-suppressed.png")
    assert np.array_equal(original[:28], edited[:28]) and np.abs(original[32:] - edited[32:]).max() > 20
    assert pixels("a-mask.png")[:32].max() == 0 and pixels("a-mask.png")[32:].min() == 255
    assert main([*job, "--out", "b.png"]) == 0
    assert pixels("b-mask.png")[:32].max() == 0 and pixels("b-mask.png")[32:].min() == 255
    edited = pixels("b-suppressed.png")
    assert not np.array_equal(original[:28], edited[:28])  # the VAE has changed them


def test_around_the_methods_own_mask_half_a_latent_is_the_edits():
    job = [*JOB, "--size", "128x128", "--steps", "8", "--engine", "fast", "--method", "unread", "--show-mask"]
    assert main([*job, "--out", "a.png"]) == 0
    assert main([*job, "--paste", "--out", "b.png"]) == 0
    original, edited, pasted = (pixels(f"{name}.png") for name in ("a-original", "a-suppressed", "b-suppressed"))
    mask = torch.from_numpy(pixels("b-mask.png")[None, None, :, :, 0] > 127).float()
    inside, beyond = (dilate(mask, pixels)[0, 0].bool().numpy() for pixels in (4, 4 + 4))  # 3 % of 128 pixels are 4
    outside = ~beyond
    assert mask.any() and outside.any()
    assert np.array_equal(pasted[inside], edited[inside])
    assert np.array_equal(pasted[outside], original[outside])


def test_the_mask_is_cropped_like_the_photo():
    mask = Image.new("L", (128, 128))
    mask.paste(255, (64, 0, 128, 128))
    mask.save("mask.png")
    job = [*JOB, "--mask", "mask.png", "--show-mask", "--crop", "64,0,128,64", "--out", "a.png"]
    assert main(job) == 0
    assert pixels("a-mask.png").min() == 255


@pytest.mark.parametrize("method", ["ledits", "attentive-eraser", "magic-remover"])
def test_a_method_may_have_its_own_use_for_a_mask(method):
    mask = Image.new("L", (128, 128))
    mask.paste(255, (0, 64, 64, 128))
    mask.save("mask.png")
    assert main([*JOB, "--mask", "mask.png", "--method", method, "--keep-outside", "0", "--show-mask"]) == 0
    if method == "magic-remover":
        return  # its mask is a weight: it has none outside which it keeps the picture
    mask = pixels(f"{FILES[0]}-mask.png")
    assert mask[:24].max() == 0 and mask[32:, :32].max() == 255


def test_keeping_can_be_switched_off(capsys):
    assert main([*JOB, "--keep-outside", "0"]) == 0
    assert "is kept" not in capsys.readouterr().out
    assert read(f"{FILES[0]}.json")[1]["settings"]["keep"] == 0
    assert main([*EDIT, *SMALL, "--out", "drawn.png"]) == 0
    assert read("drawn.json")[1]["settings"]["keep"] == 0  # a drawing from noise keeps nothing
    assert main([*EDIT, *SMALL, "--keep-outside", "--out", "kept.png"]) == 0
    assert read("kept.json")[1]["settings"]["keep"] == 1


def test_size_is_height_and_width():
    assert main(["--image", "photo.png", *EDIT, "--size", "96x64", "--height", "64", "--steps", "1"]) == 0
    assert pixels(f"{FILES[1]}.png").shape == (64, 96, 3)


def test_a_method_without_a_mask_is_told(tmp_path, capsys):
    assert main([*JOB, "--keep-outside", "0", "--paste", "--show-mask"]) == 0
    err = capsys.readouterr().err
    assert "--paste: this method has no mask" in err and "--show-mask: unread had no mask" in err
    assert f"{FILES[0]}-mask.png" not in names(tmp_path)


# ---------------------------------------------------------------------- what stops it


def test_what_is_written_stays_when_it_is_stopped(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "run", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(JOB) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err and names(tmp_path) == ["photo.png"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    calls, run = [], command.run

    def second(sd, *args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(sd, *args, **kwargs)

    monkeypatch.setattr(command, "run", second)
    assert main([*JOB, "--sheet", "zero", "unread", "--out", "a.png"]) == 130
    assert "interrupted; drawn: 1 of 2 pictures, in a-unfinished.png" in capsys.readouterr().err
