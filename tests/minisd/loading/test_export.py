"""A model written in diffusers layout is read back bit for bit, and nothing is lost on the way."""

import json
import os
from dataclasses import replace

import pytest
import torch
from checkpoints import same_weights

import minisd
from minisd import UserError
from minisd.loading import export as module
from minisd.loading.tokenizer import Added, Tokenizer

pytestmark = pytest.mark.quick

WHOLE = {"model_index.json", "unet", "vae", "text_encoder", "tokenizer", "scheduler"}


def names(folder):
    return {path.name for path in folder.iterdir()}


def refused(sd, folder, *words, **options):
    with pytest.raises(UserError) as caught:
        minisd.export(sd, folder, **options)
    for word in words:
        assert str(word) in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_it_is_read_back_bit_for_bit(tmp_path, dtype):
    sd = minisd.load("tiny", device="cpu", dtype=dtype)
    assert minisd.export(sd, tmp_path / "model") == tmp_path / "model"
    again = minisd.load(tmp_path / "model", device="cpu", dtype=dtype)
    same_weights(again, sd)
    assert again.config == sd.config and names(tmp_path) == {"model"} and names(tmp_path / "model") == WHOLE
    for text in ("a man without glasses", "Ünïcödé, don't [x] (y:1.2)", "<|endoftext|>"):
        assert again.token_ids(text).equal(sd.token_ids(text))


def test_another_memory_layout_is_the_same_file(tmp_path, sd):
    other = minisd.load("tiny", device="cpu")
    other.unet.to(memory_format=torch.channels_last)
    minisd.export(other, tmp_path / "model")
    same_weights(minisd.load(tmp_path / "model", device="cpu"), sd)


def test_words_that_were_added(tmp_path, sd):
    t = sd.tokenizer
    words = [Added("<crown>", 869, True, False, False, False), Added("<Hat>", 870, False, True, True, True)]
    embedding = torch.cat([sd.text_encoder.embeddings.token_embedding.weight, torch.ones(2, 192)])
    text = replace(sd.config.text, vocab_size=871)
    encoder = minisd.TextEncoder(text)
    encoder.load_state_dict(sd.text_encoder.state_dict() | {"embeddings.token_embedding.weight": embedding})
    model = replace(
        sd,
        config=replace(sd.config, text=text),
        text_encoder=encoder.eval().requires_grad_(False),
        tokenizer=Tokenizer(t.vocab, t.merges, [*t.added, *words]),
    )
    minisd.export(model, tmp_path / "model")
    again = minisd.load(tmp_path / "model", device="cpu")
    assert again.tokenizer.added == model.tokenizer.added
    assert again.tokenizer.ids("a <CROWN> <Hat> <hat>") == model.tokenizer.ids("a <CROWN> <Hat> <hat>")
    content = json.loads((tmp_path / "model/text_encoder/config.json").read_text())
    assert (content["bos_token_id"], content["eos_token_id"]) == (867, 868)  # not the last two tokens


# ---------------------------------------------------------------- nothing is lost


def test_what_exists_is_kept(tmp_path, sd):
    folder = tmp_path / "model"
    folder.mkdir()
    refused(sd, folder, f"{folder} exists", "--overwrite")
    (folder / "notes.txt").write_text("mine")
    refused(sd, folder, "not replaced: it also holds notes.txt", overwrite=True)
    (folder / "notes.txt").unlink()
    refused(sd, folder, "it has no model_index.json", overwrite=True)
    (tmp_path / "file").write_text("mine")
    refused(sd, tmp_path / "file", "is no folder", overwrite=True)
    os.symlink(folder, tmp_path / "link")
    refused(sd, tmp_path / "link", "is no folder", overwrite=True)
    assert names(tmp_path) == {"model", "file", "link"} and names(folder) == set()


def test_a_model_is_replaced_if_asked(tmp_path, sd):
    folder = minisd.export(minisd.load("tiny", device="cpu", dtype=torch.float16), tmp_path / "model")
    (folder / "unet" / "old").write_text("")
    refused(sd, folder, "exists")
    minisd.export(sd, folder, overwrite=True)
    assert not (folder / "unet" / "old").exists() and names(tmp_path) == {"model"}
    same_weights(minisd.load(folder, device="cpu"), sd)


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, sd, monkeypatch):
    folder = minisd.export(sd, tmp_path / "model")
    before = (folder / "model_index.json").stat().st_ino

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    refused(sd, tmp_path / "other", "could not be written: No space left on device")
    refused(sd, folder, "could not be written", overwrite=True)
    assert names(tmp_path) == {"model"} and names(folder) == WHOLE
    assert (folder / "model_index.json").stat().st_ino == before


def test_the_old_model_comes_back_if_the_new_one_cannot_take_its_name(tmp_path, sd, monkeypatch):
    folder = minisd.export(sd, tmp_path / "model")
    (folder / "unet" / "old").write_text("")
    rename = type(folder).rename

    def refuse(self, target):
        if target == folder and not (self / "unet" / "old").exists():
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(type(folder), "rename", refuse)
    refused(sd, folder, "could not be written", overwrite=True)
    assert (folder / "unet" / "old").exists() and names(tmp_path) == {"model"}


@pytest.mark.parametrize("folder", ["", ".", "/", 3, None, "nul\0", "nowhere/model", "~no-such-user-here/model"])
def test_names_that_no_folder_can_have(tmp_path, sd, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(sd, folder, "folder")
    assert names(tmp_path) == set()


def test_it_takes_a_model():
    with pytest.raises(UserError, match=r"sd = 'tiny'; expected a model"):
        minisd.export("tiny", "model")
