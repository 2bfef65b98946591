"""The tokenizer: equal to transformers' on the same files; labels of pieces; damaged and hostile files."""

import json
import shutil

import pytest
import torch
from checkpoints import change_json, put, tiny_folder, tiny_tensors
from hypothesis import given
from hypothesis import strategies as st

import minisd
from minisd import CheckpointError
from minisd.loading.source import data_folder
from minisd.loading.tokenizer import EOT, SOT, load_tokenizer, piece_labels, pieces_text
from minisd.watch.words import word_columns

pytestmark = pytest.mark.quick

FOLDERS = {"tiny": data_folder() / "tiny" / "tokenizer", "clip": data_folder() / "clip_tokenizer"}


@pytest.fixture(scope="module", params=FOLDERS)
def both(request):
    from transformers import CLIPTokenizerFast

    folder = FOLDERS[request.param]
    return load_tokenizer(folder), CLIPTokenizerFast.from_pretrained(folder)


def same(both, text):
    ours, theirs = both
    assert ours.ids(text) == theirs(text, add_special_tokens=False, verbose=False).input_ids


texts = st.text(max_size=40) | st.lists(
    st.sampled_from(
        ["a man", "'s", "don't", "Café", "é", "👓", "眼鏡", "3rd", "\n", "  ", "!!", SOT, EOT, "<|", "ﬁ", "İ"]
    )
).map("".join)


@given(text=texts)
def test_equal_to_transformers(both, text):
    same(both, text)


def test_special_ids(both):
    ours, theirs = both
    assert (ours.sot, ours.eot) == (theirs.bos_token_id, theirs.eos_token_id)
    assert ours.size == len(theirs)


# ---------------------------------------------------------------------- tokens that a user added


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A folder as textual inversion saves it: "<cat-toy>" and a name with an accent are added tokens."""
    from transformers import CLIPTokenizerFast

    folder = tiny_folder(tmp_path_factory.mktemp("learned") / "model")
    tokenizer = CLIPTokenizerFast.from_pretrained(FOLDERS["tiny"])
    tokenizer.add_tokens(["<cat-toy>", "Zoë"])
    shutil.rmtree(folder / "tokenizer")
    tokenizer.save_pretrained(folder / "tokenizer")
    tensors = tiny_tensors("text_encoder")
    key = "text_model.embeddings.token_embedding.weight"
    tensors[key] = torch.cat([tensors[key], tensors[key][-2:]])
    put(folder / "text_encoder" / "model.safetensors", tensors)
    change_json(folder / "text_encoder" / "config.json", vocab_size=len(tensors[key]))
    return folder


@pytest.mark.parametrize("text", ["a <cat-toy> hat", "a<cat-toy>hat", "A <CAT-TOY>", "<cat-toy>", "Zoë zoë ZOË hat"])
def test_added_tokens_are_those_of_transformers(learned, text):
    from transformers import CLIPTokenizerFast

    same((load_tokenizer(learned / "tokenizer"), CLIPTokenizerFast.from_pretrained(learned / "tokenizer")), text)


def test_added_tokens_in_the_files_of_transformers_4(learned, tmp_path):
    """added_tokens.json with vocab.json and merges.txt, or added_tokens_decoder in tokenizer_config.json."""
    want = load_tokenizer(learned / "tokenizer").ids("a <cat-toy> hat")
    for name, content in {
        "added_tokens.json": {"<cat-toy>": 869},
        "tokenizer_config.json": {"added_tokens_decoder": {"869": {"content": "<cat-toy>", "normalized": False}}},
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        for file in ("vocab.json", "merges.txt"):
            shutil.copy(FOLDERS["tiny"] / file, folder)
        (folder / name).write_text(json.dumps(content))
        assert load_tokenizer(folder).ids("a <cat-toy> hat") == want


def test_an_added_token_is_a_word(learned):
    from suppress import find_rows

    sd = minisd.load(learned, device="cpu")
    prompt = "a man with a <cat-toy> hat and glasses"
    words = [name for name, _ in word_columns(sd.pieces(prompt))]
    assert words == ["[SOT]", "a", "man", "with", "a", "<cat-toy>", "hat", "and", "glasses", "[EOT] x68"]
    assert find_rows(sd, prompt, "hat") == (6,)
    assert find_rows(sd, prompt, "<cat-toy>") == (5,)
    assert find_rows(sd, "a man with a hat<cat-toy>", "hat") == (5,)
    assert sd.tokens(prompt)[5] == "<cat-toy>"


# ---------------------------------------------------------------------- pieces as a person reads them


def test_accents_and_emoji_are_shown_as_they_were_written(sd):
    assert sd.tokens("Café 👓")[1:-1] == ["ca", "f", "é", "…", "👓", "…", "…", "…"]
    words = [name for name, _ in word_columns(sd.pieces("a man in a café with 👓 zdzisław"))]
    assert words[5:9] == ["café", "with", "👓", "zdzisław"]


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_labels_and_text(sd, text):
    """Each piece has a label, no character is lost, and the pieces give the text back, for any text."""
    pieces = sd.pieces(text)
    labels = piece_labels(pieces)
    assert len(labels) == len(pieces) and all(labels)
    shown = "".join(label for label in labels if label != "…").replace("…", "")
    assert shown == pieces_text(pieces).replace(" ", "").replace("…", "")
    if SOT not in text and EOT not in text:
        assert sd.pieces(pieces_text(pieces)) == pieces


def test_a_word_that_is_cut_inside_a_character_is_still_shown():
    assert piece_labels(["ca", "f", "Ã"]) == ["ca", "f", "Ã"]
    assert piece_labels([]) == [] and pieces_text([]) == ""


# ---------------------------------------------------------------------- files


def write(folder, **files):
    folder.mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(FOLDERS["tiny"] / name, folder)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def model(**fields):
    tiny = json.loads((FOLDERS["tiny"] / "tokenizer.json").read_text())
    return json.dumps({"model": tiny["model"] | fields, "added_tokens": tiny["added_tokens"]})


CASES = {
    "no object": {"vocab__json": "[]"},
    "ids that are no numbers": {"vocab__json": '{"a": "b"}'},
    "an id beyond all": {"vocab__json": '{"a": 99999999999999999999}'},
    "a negative id": {"vocab__json": '{"a": -1}'},
    "one id twice": {"vocab__json": '{"a": 1, "b": 1}'},
    "no [EOT]": {"vocab__json": '{"a": 1, "<|startoftext|>": 2}', "merges__txt": ""},
    "merges of pieces that are not there": {"merges__txt": "#version: 0.2\nxxx yyy\n"},
    "merges of three": {"merges__txt": "a b c\n"},
    "no model": {"tokenizer__json": "{}"},
    "a model that is no object": {"tokenizer__json": '{"model": 5}'},
    "merges that are no list": {"tokenizer__json": model(merges={"a": "b"})},
    "merges of numbers": {"tokenizer__json": model(merges=[[1, 2]])},
    "a vocabulary that is a list": {"tokenizer__json": model(vocab=["a", "b"])},
    "added tokens that are no list": {
        "tokenizer__json": '{"model": {"vocab": {"a": 0}, "merges": []}, "added_tokens": 5}'
    },
    "an added token without an id": {"added_tokens__json": '{"<x>": null}'},
    "an added token with a hole before it": {"added_tokens__json": '{"<x>": 9999}'},
    "a decoder that is a list": {"tokenizer_config__json": '{"added_tokens_decoder": [1]}'},
    "a decoder of numbers": {"tokenizer_config__json": '{"added_tokens_decoder": {"1": 2}}'},
    "deep": {"vocab__json": '{"a":' * 100_000 + "1" + "}" * 100_000},
}


@pytest.mark.parametrize("case", CASES)
def test_damaged_files_are_a_clear_error(tmp_path, case):
    folder = write(tmp_path / "tokenizer", **CASES[case])
    with pytest.raises(CheckpointError, match=f"the tokenizer in {folder} cannot be read: "):
        load_tokenizer(folder)


def test_other_rules_in_a_tokenizer_file_have_no_effect(tmp_path):
    """Only vocabulary, merges and added tokens count, not an endless regular expression or another normaliser."""
    tiny = json.loads((FOLDERS["tiny"] / "tokenizer.json").read_text())
    tiny["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    tiny["normalizer"] = {"type": "Replace", "pattern": {"String": "glasses"}, "content": "hat"}
    folder = write(tmp_path / "tokenizer", tokenizer__json=json.dumps(tiny))
    text = "a" * 60 + "b glasses"
    assert load_tokenizer(folder).ids(text) == load_tokenizer(FOLDERS["tiny"]).ids(text)


def test_a_tokenizer_of_another_checkpoint_is_refused(tmp_path):
    folder = tiny_folder(tmp_path / "model")
    shutil.rmtree(folder / "tokenizer")
    shutil.copytree(FOLDERS["clip"], folder / "tokenizer")
    with pytest.raises(CheckpointError, match="ids up to 49407, and its text encoder embeds 869"):
        minisd.load(folder, device="cpu")


entries = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda v: st.lists(v, max_size=3), max_leaves=4
)


@given(
    vocab=st.dictionaries(st.text(max_size=3), entries | st.integers(0, 9), max_size=6) | entries,
    merges=st.lists(st.lists(st.text(max_size=2), min_size=2, max_size=2), max_size=3) | entries,
    added=st.lists(st.fixed_dictionaries({"id": entries, "content": entries}), max_size=3) | entries,
)
def test_any_tokenizer_is_read_or_refused(tmp_path_factory, vocab, merges, added):
    folder = tmp_path_factory.mktemp("any")
    content = {"model": {"vocab": vocab, "merges": merges}, "added_tokens": added}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    try:
        load_tokenizer(folder).ids("a man")
    except CheckpointError as error:
        assert str(folder) in str(error)
