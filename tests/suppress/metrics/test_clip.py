"""CLIP by hand, against transformers' CLIPModel on the same weights; the CLIP score made of it."""

import pytest
import torch
import torch.nn.functional as F

from suppress.metrics import ClipScore
from suppress.metrics.clip import load_clip

PHRASES = ["glasses", "a man with a hat", ""]


@pytest.fixture(scope="module")
def theirs(sd):
    from transformers import CLIPModel

    return CLIPModel.from_pretrained(sd.folder / "clip", dtype=torch.float32).eval()


@torch.no_grad()
def vectors(theirs, sd, x, phrase):
    """(pictures (B,P), phrase (1,P)), computed by transformers. The tiny CLIP takes x in [-1,1]."""
    ids = torch.tensor([[sd.tokenizer.sot, *sd.tokenizer.ids(phrase), sd.tokenizer.eot]])
    picture = theirs.visual_projection(theirs.vision_model(pixel_values=x).pooler_output)
    return picture, theirs.text_projection(theirs.text_model(input_ids=ids).pooler_output)


@torch.no_grad()
@pytest.mark.parametrize("phrase", PHRASES)
def test_both_towers_are_equal_to_transformers(sd, theirs, phrase):
    clip = load_clip(sd.folder / "clip")
    x = torch.rand((2, 3, 128, 128), generator=torch.Generator().manual_seed(0)) * 2 - 1
    picture, text = vectors(theirs, sd, x, phrase)
    ids = torch.tensor([[sd.tokenizer.sot, *sd.tokenizer.ids(phrase), sd.tokenizer.eot]])
    assert (clip.picture(x) - picture).abs().max() < 1e-5
    assert (clip.text(ids) - text).abs().max() < 1e-5


def test_the_score_is_two_and_a_half_times_the_cosine(sd, theirs):
    from minisd.picture import from_pil

    pictures = sd.generate("a man with a hat", [0, 1], steps=2)
    x = torch.cat([from_pil(p) for p in pictures])
    for phrase in PHRASES:
        picture, text = vectors(theirs, sd, x, phrase)
        want = 2.5 * F.cosine_similarity(picture, text).clamp(min=0)
        assert torch.allclose(ClipScore.of(sd)(pictures, phrase), want, atol=1e-4)


def test_a_phrase_longer_than_the_model_reads_is_cut(sd):
    pictures = sd.generate("a cat", steps=1)
    assert torch.isfinite(ClipScore.of(sd)(pictures, "hat " * 200)).all()
