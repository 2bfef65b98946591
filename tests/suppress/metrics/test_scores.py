"""The scores of the detector and of CLIP, each computed a second time in another way."""

import math

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from suppress.metrics import ClipScore, Detector
from suppress.metrics.detector import _WORDS, Match, Network

# the classes of the drawn world with other words for them, and with words that mean less than the class
SAME = {
    "glasses": "spectacles, eyeglasses, eyewear",
    "moustache": "mustache",
    "earrings": "earring",
    "headphones": "headphone",
    "mask": "medical mask, face mask",
    "smiling": "happy, smile",
    "van_gogh": "gogh",
    "pencil": "pencil sketch, pencil drawing, sketch",
    "pixel": "pixel art, pixels",
    "watercolor": "watercolor painting",
    "rain": "rainy day, rainy",
    "snow": "snowy day, snowy",
    "night": "night sky",
    "forest": "trees, woods",
    "city": "buildings",
    "room": "living room",
    "mountains": "mountain",
    "beard": "bearded",
}
NARROWER = {
    "glasses": "round glasses, square glasses",
    "hat": "cap, beanie, top hat, cowboy hat, crown",
    "beach": "sea",
    "night": "moon, stars",
    "room": "lamp",
}


def test_every_word_is_judged_by_the_class_that_it_means(sd):
    detector = Detector.of(sd)
    words = {
        word: Match(name, wider)
        for table, wider in ((SAME, False), (NARROWER, True))
        for name, line in table.items()
        for word in line.split(", ")
    }
    assert set(words) == set(_WORDS)  # a new one belongs here as well
    assert {word: detector.match(word) for word in words} == words


def test_a_logit_is_the_soft_maximum_over_the_positions():
    """½ log mean exp 2h. For equal values it is that value; a single position counts as one of 64."""
    network = Network(2)
    network.body = network.head = torch.nn.Identity()
    h = torch.full((1, 2, 8, 8), 3.0)
    h[0, 1] = -50
    h[0, 1, 2, 5] = 10
    assert network(h)[0].tolist() == pytest.approx([3, 10 - math.log(64) / 2])
    h = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(network(h), (2 * h).exp().mean(dim=(2, 3)).log() / 2, atol=1e-6)


def test_probabilities_are_those_of_the_logits(sd):
    detector = Detector.of(sd)
    grey = Image.new("RGB", (128, 128), (128, 128, 128))
    x = torch.full((1, 3, 128, 128), 128 / 127.5 - 1)
    want = 1 / (1 + (-detector.network(x)[0].double()).exp())
    got = torch.cat([detector.scores([grey])[name] for name in detector.names])
    assert torch.allclose(got.double(), want, atol=1e-6)


def test_the_clip_score_is_two_and_a_half_times_the_cosine(sd, goldens):
    """Computed by the CLIP of transformers, from the picture's 8-bit values and the phrase's token ids."""
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(str(sd.folder / "clip"), dtype=torch.float32).eval()
    levels = torch.randint(0, 256, (2, 128, 128, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    levels[1] = torch.arange(128, dtype=torch.uint8)[:, None, None]  # one of noise, one a ramp
    pictures = [Image.fromarray(x.numpy()) for x in levels]
    values = torch.cat([ClipScore.of(sd)(pictures, phrase) for phrase in ("a man", "glasses", "a cat in the snow")])
    wanted = []
    for phrase in ("a man", "glasses", "a cat in the snow"):
        ids = sd.token_ids(phrase)[:, : len(sd.tokens(phrase))]
        with torch.no_grad():
            found = model(input_ids=ids, pixel_values=levels.permute(0, 3, 1, 2).float() / 127.5 - 1)
        wanted.append(2.5 * F.cosine_similarity(found.image_embeds, found.text_embeds).clamp(min=0))
    assert torch.allclose(values, torch.cat(wanted), atol=1e-5)
    assert 0 < (values > 0.01).sum()  # not all of them are cut at zero
