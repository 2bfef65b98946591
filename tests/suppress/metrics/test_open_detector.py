"""Detectors of transformers with random weights: what they are asked, and what becomes of their answers."""

import shutil
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from minisd import UserError
from suppress.metrics import OpenDetector, Unavailable

pytest.importorskip("scipy")  # OWLv2's pictures are resized with it


def grounding_dino(folder):
    """Two layers of width 32, and a vocabulary in which BERT's special tokens have their usual numbers."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        PreTrainedTokenizerFast,
        SwinConfig,
    )

    words = {f"[unused{k}]": k for k in range(1100)}
    names = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?", 1030: "glasses", 1031: "hat"}
    vocab = {names.get(k, word): k for word, k in words.items()}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=256, **special).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    swin = SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4])
    layers = {f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in (("layers", 2), ("ffn_dim", 32))}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": 5, "d_model": 32}
    text = BertConfig(vocab_size=1100, **sizes)
    config = GroundingDinoConfig(backbone_config=swin, text_config=text, **layers, **heads)
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    processor = '{"processor_class": "GroundingDinoProcessor", "image_processor_type": "GroundingDinoImageProcessor", '
    processor += '"size": {"shortest_edge": 64, "longest_edge": 96}}'
    (folder / "preprocessor_config.json").write_text(processor)


def owlv2(folder):
    from pathlib import Path

    from transformers import CLIPTokenizerFast, Owlv2Config, Owlv2ForObjectDetection

    import minisd

    words = Path(minisd.__file__).parents[1] / "weights" / "clip_tokenizer"
    CLIPTokenizerFast.from_pretrained(words, pad_token="!", model_max_length=16).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    vision = sizes | {"image_size": 64, "patch_size": 16}
    config = Owlv2Config(text_config=sizes, vision_config=vision, projection_dim=16)
    Owlv2ForObjectDetection(config).save_pretrained(folder)
    processor = '{"processor_class": "Owlv2Processor", "image_processor_type": "Owlv2ImageProcessor", '
    (folder / "preprocessor_config.json").write_text(processor + '"size": {"height": 64, "width": 64}}')


MAKE = {"grounding-dino": grounding_dino, "owlv2": owlv2}


@pytest.fixture(scope="module", params=MAKE)
def detector(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("detectors") / request.param
    folder.mkdir()
    torch.manual_seed(0)
    MAKE[request.param](folder)
    return folder, OpenDetector.of(folder, request.param, "abc")


@pytest.fixture
def pictures():
    return [Image.new("RGB", (80, 60), "red"), Image.new("L", (60, 90), 99)]


def test_random_detectors_score_each_picture_by_itself(detector, pictures):
    _, detector = detector
    scores = detector.scores(pictures, "glasses")
    assert scores.shape == (2,) and (scores > 0).all() and (scores < 1).all() and scores[0] != scores[1]
    assert torch.equal(detector.scores(pictures[1:], " Glasses"), scores[1:])
    assert not torch.equal(detector.scores(pictures, "hat"), scores)
    assert torch.isfinite(detector.scores(pictures, "hat " * 300)).all()  # longer than the detector reads


def test_scores_are_those_that_transformers_gives(detector, pictures):
    """Its own reading of the answers, without a threshold."""
    _, detector = detector
    question = {"grounding-dino": "glasses.", "owlv2": "a photo of a glasses"}[detector.name]
    inputs = detector.processor(images=pictures[0], text=question, return_tensors="pt")
    with torch.no_grad():
        outputs = detector.model(**inputs)
    texts = {} if detector.name == "owlv2" else {"input_ids": inputs.input_ids}
    [found] = detector.processor.post_process_grounded_object_detection(outputs, threshold=0.0, **texts)
    assert detector.scores(pictures[:1], "glasses").item() == pytest.approx(found["scores"].max().item(), abs=1e-6)


def test_a_score_below_the_threshold_is_zero():
    logits = {0: [[-1.0, 2.0], [0.5, -9.0]], 255: [[0.8, float("-inf")], [-3.0, -4.0]]}  # (boxes,tokens)

    def answer(level):
        return SimpleNamespace(logits=torch.tensor([logits[level]]))

    model = torch.nn.Module()
    model.forward, model.device = answer, None
    asked = []

    def processor(images, text, **_):
        asked.append(text)
        return Inputs(level=images.getpixel((0, 0))[0])

    detector = OpenDetector(model, processor, "owlv2", "abc")
    pictures = [Image.new("RGB", (4, 4), "black"), Image.new("L", (4, 4), 255)]
    best = torch.tensor([2.0, 0.8]).sigmoid().tolist()  # .881 and .690
    found = detector.det_scores(pictures, "Hat")
    assert asked == ["a photo of a hat"] * 2
    assert asdict(found) == {
        "values": [pytest.approx(best[0]), 0],
        "threshold": 0.7,
        "detector": "owlv2",
        "revision": "abc",
    }
    assert detector.det_scores(pictures, "hat", threshold=best[1]).values == pytest.approx(best)
    OpenDetector(model, processor, "grounding-dino", "abc").scores(pictures[:1], "A top hat ")
    assert asked[-1] == "a top hat."  # Grounding DINO ends each phrase with a full stop


class Inputs(dict):
    """What a processor returns: it can be moved."""

    def to(self, device):
        return self


def test_a_missing_package_is_named():
    def processor(**_):
        raise ImportError("\nscipy is\nmissing\n")

    detector = OpenDetector(torch.nn.Module(), processor, "owlv2", "abc")
    with pytest.raises(Unavailable, match=r"owlv2 needs more packages .*: scipy is missing$"):
        detector.scores([Image.new("RGB", (4, 4))], "hat")


def test_names_and_files(detector, tmp_path, monkeypatch):
    import huggingface_hub
    import huggingface_hub.constants

    folder, detector = detector
    for refused in (lambda: OpenDetector.load("glip"), lambda: OpenDetector(detector.model, None, "glip", "")):
        with pytest.raises(UserError, match="no detector 'glip'; expected one of grounding-dino, owlv2"):
            refused()
    with monkeypatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(Unavailable, match="not in the hub's cache"):
            OpenDetector.load(detector.name)
    copy = shutil.copytree(folder, tmp_path / "0123abc")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repo, **_: str(copy))
    assert OpenDetector.load(detector.name).revision == "0123abc"
    (copy / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(Unavailable, match="0123abc is damaged or incomplete"):
        OpenDetector.load(detector.name)
