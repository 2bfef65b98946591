"""The detector and the CLIP of the drawn world."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

from suppress.metrics import ClipScore, Detector, Unavailable


@pytest.fixture(scope="module")
def pictures(sd):
    prompts = ["a man wearing glasses", "a woman in the rain", "a cat wearing a crown"]
    return sd.generate(prompts, seed=0, steps=8)


@pytest.fixture(scope="module")
def detector(sd):
    return Detector.of(sd)


def test_detector_sees_what_was_asked_for(detector, pictures):
    scores = detector.scores(pictures)
    assert len(scores) == 37 and all(s.shape == (3,) for s in scores.values())
    for k, names in enumerate([("man", "glasses"), ("woman", "rain"), ("cat", "hat")]):
        assert all(scores[name][k] > 0.8 for name in names)
    assert scores["glasses"][2] < 0.2 and scores["cat"][0] < 0.2 and scores["rain"][0] < 0.2


def test_detector_takes_any_size(detector, pictures):
    large = [p.resize((300, 300)) for p in pictures]
    assert (detector.scores(large)["glasses"] - detector.scores(pictures)["glasses"]).abs().max() < 0.2


@pytest.mark.parametrize(
    ("phrase", "name", "wider"),
    [
        ("glasses", "glasses", False),
        ("Spectacles", "glasses", False),
        ("a bow tie", "bow_tie", False),
        ("crown", "hat", True),
        ("the top hat", "hat", True),
        ("a red scarf", "scarf", True),
        ("van gogh", "van_gogh", False),
        ("sunglasses", "sunglasses", False),
        ("happy", "smiling", False),
    ],
)
def test_words_find_their_class(detector, phrase, name, wider):
    match = detector.match(phrase)
    assert (match.name, match.wider) == (name, wider)


@pytest.mark.parametrize("phrase", ["shirt", "blond hair", "tree house", "a"])
def test_words_without_a_class(detector, phrase):
    with pytest.raises(Unavailable, match="no class for"):
        detector.match(phrase)


def test_every_class_and_every_synonym_resolves(detector):
    from suppress.metrics import detector as module

    for name in detector.names:
        assert detector.match(name.replace("_", " ")).name == name
    for word, (name, _whole) in module._WORDS.items():
        assert detector.match(word).name == name.replace(" ", "_")


def test_clip_prefers_the_right_words(sd, pictures):
    clip = ClipScore.of(sd)
    phrases = ["a man wearing glasses", "a woman in the rain", "a cat wearing a crown"]
    table = torch.stack([clip(pictures, phrase) for phrase in phrases])  # (phrase, picture)
    assert (table.argmax(dim=0) == torch.arange(3)).all()
    assert table.min() >= 0 and table.max() <= 2.5


def test_another_checkpoint_has_no_judges(sd, tmp_path, monkeypatch):
    import huggingface_hub.constants

    other = replace(sd, name="other", folder=None)
    with pytest.raises(Unavailable, match="other comes with no detector"):
        Detector.of(other)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Unavailable, match="not in the hub's cache"):
        ClipScore.of(other)


@pytest.fixture
def judges(sd, tmp_path):
    """The embedded model with links to its detector and CLIP. A test that damages a file unlinks it first."""
    for part in ("clip", "detector"):
        shutil.copytree(sd.folder / part, tmp_path / part, copy_function=os.symlink)
    return replace(sd, folder=tmp_path)


def damage(file, content):
    whole = file.read_bytes() if file.exists() else b""
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(whole[:content] if isinstance(content, int) else content)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("attributes.json", b'["balloon", '),
        ("attributes.json", b'{"balloon": 1}'),
        ("attributes.json", b"[1, 2]"),
        ("attributes.json", b'["balloon"]'),  # fewer than the network has
        ("attributes.json", b"\xff\xfe"),
        ("attributes.json", None),
        ("model.safetensors", 1000),
        ("model.safetensors", b""),
        ("model.safetensors", None),
    ],
)
def test_a_damaged_detector_is_unavailable(judges, file, content):
    damage(judges.folder / "detector" / file, content)
    with pytest.raises(Unavailable, match=f"^{judges.folder / 'detector'}"):
        Detector.of(judges)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("file", ["attributes.json", "model.safetensors"])
def test_a_pipe_in_a_detectors_place_is_not_waited_for(judges, file):
    damage(judges.folder / "detector" / file, None)
    os.mkfifo(judges.folder / "detector" / file)
    with pytest.raises(Unavailable, match="pipe"):
        Detector.of(judges)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{"),
        ("config.json", None),
        ("model.safetensors", 1000),
        ("model.safetensors", None),
        ("model.safetensors", save({"other": torch.zeros(1)})),  # none of the model's own
        ("preprocessor_config.json", b'{"image_mean": [0, 0, 0]}'),
    ],
)
def test_a_damaged_clip_is_unavailable(judges, file, content):
    damage(judges.folder / "clip" / file, content)
    with pytest.raises(Unavailable, match=f"^{judges.folder / 'clip'}"):
        ClipScore.of(judges)


def test_the_public_clip_is_looked_for_by_the_files_that_fetch_brings(sd, monkeypatch):
    """For the hub's library, a cache without the repository's other files is incomplete if one asks for all files."""
    import huggingface_hub

    asked = []

    def snapshot_download(repo, *, revision, allow_patterns, local_files_only):
        asked.append((repo, allow_patterns, local_files_only))
        return str(sd.folder / "clip")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr("suppress.metrics.clip_score.load_tokenizer", lambda folder: sd.tokenizer)
    assert ClipScore.of(replace(sd, folder=None)).clip.side == 128
    [(repo, patterns, local)] = asked
    assert repo == "openai/clip-vit-large-patch14" and "model.safetensors" in patterns and local


def test_a_public_clip_is_normalised_as_its_file_says(sd, tmp_path, pictures):
    """The tiny CLIP under another name. A file that says mean and deviation .5 must change no score."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for file in (sd.folder / "clip").iterdir():
        (folder / file.name).symlink_to(file)
    norm = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(norm))
    want = ClipScore.of(sd)(pictures, "glasses")
    assert torch.equal(ClipScore(folder, sd.tokenizer)(pictures, "glasses"), want)
    (folder / "preprocessor_config.json").write_text(json.dumps(norm | {"image_mean": [0.1, 0.2, 0.3]}))
    assert not torch.allclose(ClipScore(folder, sd.tokenizer)(pictures, "glasses"), want)
