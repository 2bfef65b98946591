"""Checkpoints of other programs: with additional tensors, with missing parts, as single files on the hub."""

import warnings

import pytest
import torch
from checkpoints import (
    change_json,
    put,
    same_model,
    tiny_compvis,
    tiny_config,
    tiny_folder,
    tiny_tensors,
    write,
)

import minisd
from minisd import CheckpointError
from minisd.cli.commands import main
from minisd.loading import checkpoint, source
from minisd.loading.family import SD1, family
from minisd.loading.weight_files import Header

SHA = "0" * 40


@pytest.fixture
def single_files_are_tiny(monkeypatch):
    monkeypatch.setattr(checkpoint, "SD14", tiny_config())


EXTRAS = {
    "model_sampling.sigmas": torch.zeros(1000),
    "denoiser.sigmas": torch.zeros(1000),
    "embedding_manager.string_to_param_dict.*": torch.zeros(1, 768),
    "first_stage_model.discriminator.main.0.weight": torch.zeros(3),
}


@pytest.mark.usefixtures("single_files_are_tiny")
def test_tensors_that_no_picture_depends_on_are_passed_over_and_named_in_a_single_file(tmp_path, sd):
    file = write(tmp_path / "tables.safetensors", tiny_compvis() | EXTRAS)
    with pytest.warns(UserWarning, match="ignored, as no picture depends on it") as caught:
        same_model(minisd.load(file, device="cpu"), sd)
    assert len(caught) == 1 and all(key in str(caught[0].message) for key in EXTRAS)


def test_clips_projection_is_ignored_in_a_folder_too(tmp_path, sd):
    """CLIP's text_projection comes after the output of the text encoder, and SD uses this output."""
    folder = tiny_folder(tmp_path / "proj")
    projection = {"text_projection.weight": torch.ones(192, 192)}
    put(folder / "text_encoder" / "model.safetensors", tiny_tensors("text_encoder") | projection)
    with pytest.warns(UserWarning, match=r"text_projection\.weight"):
        same_model(minisd.load(folder, device="cpu"), sd)


@pytest.mark.usefixtures("single_files_are_tiny")
def test_what_every_file_of_a_trainer_carries_is_not_worth_a_word(tmp_path):
    from checkpoints import EXTRAS as usual

    file = write(tmp_path / "model.safetensors", tiny_compvis() | usual)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minisd.load(file, device="cpu")


def test_info_says_what_is_passed_over_and_what_is_refused(tmp_path, capsys):
    folder = tiny_folder(tmp_path / "proj")
    weights = folder / "text_encoder" / "model.safetensors"
    put(weights, tiny_tensors("text_encoder") | {"text_projection.weight": torch.ones(192, 192)})
    assert main(["info", str(folder)]) == 0
    assert "loads       yes; ignored: text_projection.weight" in capsys.readouterr().out
    put(weights, tiny_tensors("text_encoder") | {"other.weight": torch.ones(2)})
    assert main(["info", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "loads       no: " in out and "unexpected (1): other.weight" in out
    assert main(["info", "tiny"]) == 0
    assert "loads       yes\n" in capsys.readouterr().out


@pytest.mark.usefixtures("single_files_are_tiny")
@pytest.mark.parametrize(
    ("prefix", "what"),
    [("first_stage_model.", "VAE"), ("cond_stage_model.", "text encoder")],
)
def test_a_part_that_is_not_there_at_all_is_named(tmp_path, prefix, what):
    tensors = {k: t for k, t in tiny_compvis().items() if not k.startswith(prefix)}
    file = write(tmp_path / "m.safetensors", tensors)
    with pytest.raises(CheckpointError, match=f"{file} holds no {what}: take a version of the model that has it"):
        minisd.load(file, device="cpu")


def test_a_latent_consistency_model_is_named(tmp_path):
    folder = tiny_folder(tmp_path / "lcm")
    key = "time_embedding.cond_proj.weight"
    put(folder / "unet" / "diffusion_pytorch_model.safetensors", tiny_tensors("unet") | {key: torch.zeros(64, 256)})
    with pytest.raises(CheckpointError, match="a latent-consistency model"):
        minisd.load(folder, device="cpu")
    change_json(folder / "unet" / "config.json", time_cond_proj_dim=256)
    with pytest.raises(CheckpointError, match="the UNet of a latent-consistency model"):
        minisd.load(folder, device="cpu")


def test_a_whole_model_with_a_learned_word_is_no_embedding():
    shapes = {k: Header(tuple(t.shape), "F16") for k, t in tiny_compvis().items()}
    extra = {"embedding_manager.string_to_param_dict.*": Header((1, 768), "F32")}
    assert family(shapes | extra) == SD1
    assert family(extra) == "a textual-inversion embedding"


def test_names_of_tensors_cannot_write_over_the_screen(tmp_path):
    """An escape sequence in a tensor's name could move the cursor, and a name of a megabyte would fill the screen."""
    folder = tiny_folder(tmp_path / "model")
    strange = {"\x1b[2Kall is well\r": torch.zeros(1), "x" * 10**6: torch.zeros(1)}
    put(folder / "unet" / "diffusion_pytorch_model.safetensors", tiny_tensors("unet") | strange)
    with pytest.raises(CheckpointError) as caught:
        minisd.load(folder, device="cpu")
    assert r"\x1b[2Kall is well\r" in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.usefixtures("single_files_are_tiny")
@pytest.mark.parametrize("name", ["model.ckpt", "model.bin", "model.safetensors"])
def test_a_file_is_what_its_first_bytes_say(tmp_path, sd, name):
    """People rename files: a .safetensors file that is called .ckpt can be read."""
    file = write(tmp_path / "model.safetensors", tiny_compvis()).rename(tmp_path / name)
    same_model(minisd.load(file, device="cpu"), sd)


def test_a_pickle_of_endless_instructions_and_one_that_names_strange_things(tmp_path):
    import zipfile

    def zipped(pickle):
        with zipfile.ZipFile(tmp_path / "m.ckpt", "w") as archive:
            archive.writestr("m/data.pkl", pickle)
        return tmp_path / "m.ckpt"

    with pytest.raises(CheckpointError, match="more than 2,000,000 instructions"):
        minisd.load(zipped(b"\x80\x02N" + b"\x85" * 2_000_100 + b"."), device="cpu")
    with pytest.raises(CheckpointError) as caught:
        minisd.load(zipped(b"\x80\x02cos\n\x1b[2Ksystem" + b"x" * 5000 + b"\n."), device="cpu")
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 1000


def test_a_record_that_lies_behind_the_end_of_the_file(tmp_path):
    file = write(tmp_path / "m.bin", {"down_blocks.w": torch.zeros(100)})
    content = bytearray(file.read_bytes())
    at = content.rfind(b"data/0")  # in the central directory, the offset of the record is 4 bytes before its name
    content[at - len(b"m/") - 4 : at - len(b"m/")] = (2**31).to_bytes(4, "little")
    file.write_bytes(content)
    from minisd.loading.weight_files import open_weights

    with pytest.raises(CheckpointError):
        open_weights(file).read(["down_blocks.w"], torch.float32, torch.device("cpu"))


# ---------------------------------------------------------------------- places


def test_a_folder_with_one_file_says_which(tmp_path):
    (tmp_path / "README.md").write_text("x")
    file = tmp_path / "v1-5.safetensors"
    file.write_bytes(b"x")
    with pytest.raises(CheckpointError, match=f"no unet/ folder.* give the file itself: {file}"):
        minisd.load(tmp_path, device="cpu")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one repository of one file. Records the requests."""
    import huggingface_hub

    (tmp_path / "v1-5.safetensors").write_bytes(b"weights")
    asked = []

    def snapshot_download(repo, *, revision, allow_patterns, local_files_only):
        asked.append((repo, revision, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return tmp_path / "v1-5.safetensors", asked


def test_a_file_on_the_hub(hub):
    from huggingface_hub.constants import ENDPOINT

    file, asked = hub
    assert source.find("some/one-file/v1-5.safetensors").path == file
    assert source.find("some/one-file/v1-5.safetensors", revision="v2").path == file
    for form in ("blob", "resolve"):
        assert source.find(f"{ENDPOINT}/some/one-file/{form}/main/v1-5.safetensors").path == file
    assert source.find(f"{ENDPOINT}/some/one-file/resolve/main/v1-5.safetensors?download=true").path == file
    revisions = [revision for _, revision, _ in asked]
    assert revisions == [None, "v2", "main", "main", "main"]
    assert {(repo, *files) for repo, _, files in asked} == {("some/one-file", "v1-5.safetensors")}
    with pytest.raises(CheckpointError, match=r"some/one-file has no file other\.ckpt"):
        source.find("some/one-file/other.ckpt")


@pytest.mark.parametrize(
    "name",
    ["https://example.org/some/one-file/resolve/main/v1-5.safetensors", "some/one/../../v1-5.safetensors", "a/b/c/"],
)
def test_other_addresses_are_not_taken_for_the_hubs(hub, name):
    with pytest.raises(minisd.UserError, match=r"owner/model/file\.safetensors"):
        source.find(name)
    assert hub[1] == []
