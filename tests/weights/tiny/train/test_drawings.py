"""Pictures and captions, drawn when they are needed."""

import pickle
from dataclasses import replace

import numpy as np
import torch

import suppress.world
from weights.tiny.train import drawings as module
from weights.tiny.train.captions import described
from weights.tiny.train.drawings import NAMES
from weights.tiny.train.processes import Processes
from weights.tiny.train.vocabulary import padded

CPU = Processes(torch.device("cpu"))


def test_a_number_gives_its_picture_attributes_and_captions(job):
    batch = job.drawings.__getitems__([5, 2])
    for row, number in enumerate((5, 2)):
        spec, texts = described(3, number)
        assert np.array_equal(batch.pictures[row], np.asarray(suppress.world.render(spec, 32)))
        shown = suppress.world.attributes(spec)
        assert batch.attributes[row].tolist() == [shown[name] for name in NAMES]
        assert batch.ids[row].tolist() == [padded(job.drawings.tokenizer, text) for text in texts]
    assert NAMES == sorted(suppress.world.ATTRIBUTES)


def test_the_last_of_four_captions_names_everything():
    rng = np.random.default_rng([2026, 0])
    spec = suppress.world.sample_spec(rng)
    texts = [suppress.world.caption(spec, rng, full) for full in (False, False, False, True)]
    assert described(2026, 0) == (spec, texts)


def test_captions_say_with_no_in_place_of_some_without(job):
    texts = [text for number in range(600) for text in described(0, number)[1]]
    no, without = (sum(word in text for text in texts) for word in (" with no ", " without "))
    assert 0.2 < no / (no + without) < 0.6
    assert described(0, 1) == described(0, 1) != described(1, 1)


def test_pictures_as_the_networks_see_them(job):
    batch = job.drawings.__getitems__([0])
    x = batch.x(torch.device("cpu"))
    assert x.shape == (1, 3, 32, 32) and x.dtype == torch.float32
    assert torch.equal(x[0, 1], batch.pictures[0, :, :, 1].float() / 127.5 - 1)


def test_each_picture_is_drawn_once(job, monkeypatch):
    drawn = []
    monkeypatch.setattr(module, "described", lambda seed, number: drawn.append(number) or described(seed, number))
    for numbers in ([1, 2], [2, 3, 1]):
        job.drawings.__getitems__(numbers)
    assert drawn == [1, 2, 3]


def test_the_pictures_of_a_step_depend_on_its_number_alone(job):
    def first(begin, count, workers=0, drawings=job.drawings):
        batches = drawings.steps("clip", begin, 4, CPU, workers)
        return [next(batches).ids for _ in range(count)]

    whole = first(0, 3)
    assert torch.equal(torch.stack(whole[1:]), torch.stack(first(1, 2)))
    assert torch.equal(torch.stack(whole), torch.stack(first(0, 3, workers=1)))
    assert not torch.equal(whole[0], whole[1])


def test_each_process_gets_its_part_of_a_step(job):
    whole = next(job.drawings.steps("vae", 7, 4, CPU, 0)).ids
    parts = [next(job.drawings.steps("vae", 7, 4, Processes(CPU.device, rank, 2), 0)).ids for rank in (0, 1)]
    assert torch.equal(torch.cat(parts), whole)


def test_in_order(job):
    batches = list(job.drawings.in_order(range(3, 8), 2, 0))
    assert [len(batch.ids) for batch in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([b.ids for b in batches]), job.drawings.__getitems__(range(3, 8)).ids)


def test_a_worker_opens_the_files_by_itself(job):
    """What is sent to it is small: neither the pictures nor the tokenizer."""
    job.drawings.__getitems__([0])
    sent = pickle.dumps(job.drawings)
    assert len(sent) < 5000
    assert torch.equal(pickle.loads(sent).__getitems__([0]).ids, job.drawings.__getitems__([0]).ids)


def test_a_new_run_draws_anew(job):
    """What a run left that was killed may be incomplete."""
    job.drawings.__getitems__([0])
    assert job.drawings.records["drawn"].sum() == 1
    again = replace(job.drawings)
    with again.kept(CPU):
        assert not again.records["drawn"].any()
    assert not again.file.exists()
