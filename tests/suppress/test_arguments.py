"""Arguments of `suppress`: every value either works, or raises a UserError that names it."""

import copy
import json
import pickle
from dataclasses import asdict, fields, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minisd
import suppress
from minisd import UserError
from minisd.base.arguments import check_settings, pair
from suppress import Fast, Job, Plan, SuppressEOT, Unread
from suppress.analysis import open_study
from suppress.engine.plan import find_engine
from suppress.methods import Rewrite, Variant, parse_method
from suppress.methods.variant import VARIANTS
from suppress.prompt import read_request
from suppress.protocol import Method
from suppress.task import check_jobs

PROMPT = "a man without glasses"
SHORT = Unread(steps=2, start=0)


# ---------------------------------------------------------------------- numbers of all kinds


def test_settings_are_kept_as_pythons_numbers():
    given = SuppressEOT(
        steps=np.int64(4), guidance=Fraction(5, 2), start=Decimal("0.25"), gamma=torch.tensor(1.5), heads=np.array(2)
    )
    assert given == SuppressEOT(steps=4, guidance=2.5, start=0.25, gamma=1.5, heads=2)
    assert json.loads(json.dumps(asdict(given)))["guidance"] == 2.5 and hash(given) == hash(replace(given))
    assert type(given.steps) is int and given.start_step == 1
    assert parse_method("top-k", value=np.int64(3)) == Variant(name="top-k", value=3)
    assert Plan(ito_samples=np.int64(2), sdpa=np.False_) == Plan(ito_samples=2, sdpa=False)


def test_numbers_of_all_kinds_draw_the_same_picture(sd):
    want = suppress.run(sd, PROMPT, settings=replace(SHORT, guidance=2.5), seed=2)
    two = np.int64(2)
    settings = Unread(steps=two, guidance=Fraction(5, 2), start=two - two)
    got = suppress.run(sd, PROMPT, settings=settings, seed=two, batch_size=two)
    assert torch.equal(got.latents, want.latents)
    settings = Unread(steps=torch.tensor(2), guidance=Decimal("2.5"), start=Decimal(0))
    [got] = suppress.run_batch(sd, [Job(PROMPT, "glasses", torch.tensor(2))], settings=settings)
    assert torch.equal(got.latents, want.latents)


@pytest.mark.parametrize("gamma", [np.float32(0.5), Fraction(1, 2), Decimal("0.5"), torch.tensor(0.5)])
def test_soft_weight_takes_any_number(sd, gamma):
    ctx = sd.encode_text(PROMPT)
    assert torch.equal(suppress.soft_weight(ctx, [4], gamma), suppress.soft_weight(ctx, [4], 0.5))


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sd": "tiny"}, "sd = 'tiny'; expected a model, such as minisd.load"),
        ({"prompt": 0}, "a prompt is a string, not 0"),
        ({"prompt": [PROMPT]}, "a prompt is a string, not"),
        ({"remove": True}, "remove = True; expected a word"),
        ({"remove": [1]}, r"remove = \[1\]; expected a word"),
        ({"method": 1}, "method = 1; expected the name of a method"),
        ({"method": ""}, "method '' is unknown; expected one of suppress-eot"),
        ({"method": 0}, "method = 0"),
        ({"settings": "x"}, "settings = 'x'; expected an instance such as"),
        ({"settings": SuppressEOT}, "settings = <class .*; expected an instance such as"),
        ({"engine": 3}, "engine = 3; expected one of reference, fast, compiled"),
        ({"engine": np.arange(2)}, "engine = array"),
        ({"engine": Plan()}, "engine = Plan"),
        ({"seed": True}, "seed True"),
        ({"seed": 1.0}, "seed 1.0"),
        ({"batch_size": "x"}, "batch_size = 'x'"),
        ({"progress": "x"}, "progress = 'x'"),
    ],
)
def test_run_names_what_it_cannot_use(sd, arguments, message):
    with pytest.raises(UserError, match=message):
        suppress.run(**{"sd": sd, "prompt": PROMPT, "remove": "glasses"} | arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda sd: suppress.run_batch(sd, [(PROMPT, "glasses")]), r"a job is a suppress.Job\(prompt, remove, seed\)"),
        (lambda sd: suppress.run_batch(sd, [Job(PROMPT, "glasses", [0, 1])]), r"seed \[0, 1\]"),
        (lambda sd: suppress.run_batch(sd, [Job(PROMPT, "glasses", True)]), "seed True"),
        (lambda sd: Fast("tiny"), "sd = 'tiny'"),
        (lambda sd: Fast(sd, "fast"), "plan = 'fast'; expected a suppress.Plan"),
        (lambda sd: Plan(ito_samples="x"), "ito_samples = 'x'"),
        (lambda sd: Plan(compile=3), "compile = 3; expected a backend of torch.compile, one of .*inductor"),
        (lambda sd: Plan(compile="warp"), "compile = 'warp'; expected a backend of torch.compile, one of .*eager"),
        (lambda sd: Plan(graph="no"), "graph = 'no'; expected True or False"),
        (lambda sd: SuppressEOT(loss=["l2"]), r"loss = \['l2'\]; expected one of cosine"),
        (lambda sd: Variant(name=[]), r"name = \[\]; expected one of"),
        (lambda sd: Rewrite(text=3), "a prompt is a string, not 3"),
        (lambda sd: suppress.default_settings(sd, 3), "method = 3"),
        (lambda sd: parse_method(None), "method = None"),
        (lambda sd: suppress.soft_weight([[1.0]], [0]), r"ctx = \[\[1.0\]\]; expected embeddings"),
        (lambda sd: suppress.soft_weight(torch.ones(77), [0]), "ctx = tensor"),
        (lambda sd: suppress.soft_weight(torch.ones(77, 8), [0], True), "gamma = True"),
        (lambda sd: open_study(sd, PROMPT, batch_size=0), "batch_size = 0"),
        (lambda sd: open_study("tiny", PROMPT), "sd = 'tiny'"),
    ],
)
def test_other_arguments_are_named(sd, make, message):
    with pytest.raises(UserError, match=message):
        make(sd)


def test_backends_of_torch_compile_pass(sd):
    def own(graph, inputs):
        return graph.forward

    for backend in ("inductor", "eager", "aot_eager", "eager_debug", own, None):  # only the long list has the fourth
        assert Plan(compile=backend).compile is backend


# ---------------------------------------------------------------------- copies


def test_results_and_prompts_compare_and_hash(sd):
    result, other = (suppress.run(sd, PROMPT, settings=SHORT) for _ in range(2))
    assert result == result and result != other and len({result, other, result}) == 2
    prompts = [suppress.prompt.encode(sd, PROMPT) for _ in range(2)]
    assert prompts[0] != prompts[1] and len(set(prompts)) == 2


@pytest.mark.parametrize("plan", [None, Plan(graph=True)], ids=["packed", "recorded"])
def test_a_used_engine_is_copied_without_what_it_made(sd, plan):
    ito = SuppressEOT(steps=1, start=0, stop=1, iterations=1)
    engine = Fast(sd, plan)
    want = suppress.run(sd, PROMPT, settings=ito, engine=engine).latents
    other = copy.copy(engine) if plan else pickle.loads(pickle.dumps(engine))
    assert bool(engine._graphs) == bool(plan) and not other._graphs
    assert other.plan == engine.plan and (other.sd is sd) == bool(plan)
    assert (suppress.run(other.sd, PROMPT, settings=ito, engine=other).latents - want).abs().max() < 1e-4
    deep = copy.deepcopy(engine)
    assert deep.plan == engine.plan and deep.sd is not sd and find_engine(deep.sd, deep) is deep


# ---------------------------------------------------------------------- anything at all

whole = st.integers() | st.sampled_from([2**31, 2**63, 2**64, 10**400, -(2**70)])
reals = st.floats() | st.fractions() | st.decimals() | whole.map(Fraction)
simple = st.none() | st.booleans() | whole | reals | st.text("ab :2[]=,.é\ud800", max_size=5) | st.binary(max_size=3)
arrays = st.one_of(
    st.integers(-5, 60).map(np.int64),
    st.floats(width=32).map(np.float32),
    st.floats().map(torch.tensor),
    st.booleans().map(np.bool_),
    st.lists(st.integers(0, 3), max_size=3).map(np.array),
    st.lists(st.floats(), max_size=3).map(torch.tensor),
    st.just(torch.tensor(1.0, device="meta")),
    st.just(np.datetime64("2020-01-01")),
)
anything = st.recursive(
    simple | arrays | st.sampled_from([object(), int, Method, SHORT, Plan(), "swr", "top-k:value=2", "fast", "hat"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)
KINDS = [SuppressEOT, Unread, Variant, Rewrite]


def accepted(call):
    """What the call returns, or None if it raises a UserError with a message. Other errors fail the test."""
    try:
        return call()
    except UserError as error:
        assert str(error)
        return None


@given(st.sampled_from([(kind, field.name) for kind in KINDS for field in fields(kind)]), anything)
@settings(max_examples=300)
def test_any_setting_is_a_number_to_work_with_or_refused(setting, value):
    kind, name = setting
    method = accepted(lambda: kind(**{name: value}))
    if method is not None:
        assert json.dumps(asdict(method), allow_nan=False)
        torch.ones(1) * method.guidance * getattr(method, "gamma", 1)  # PyTorch can multiply with these numbers
        assert 0 <= method.start_step <= method.steps


@given(st.sampled_from([field.name for field in fields(Plan) if field.name != "compile"]), anything)
def test_any_field_of_a_plan_is_usable_or_refused(name, value):
    plan = accepted(lambda: Plan(**{name: value}))
    assert plan is None or isinstance(getattr(plan, name), bool | int | None)


def test_any_target_and_prompt_is_read_or_refused(sd):
    @given(st.sampled_from([PROMPT, "a hat on a hat [hat]"]), anything)
    @settings(max_examples=200)
    def check(prompt, value):
        for call in (lambda: read_request(value, None), lambda: read_request(prompt, value)):
            request = accepted(call)
            if request is not None:
                assert isinstance(request.describe(), str)
                rows = accepted(lambda request=request: suppress.find_rows(sd, request.prompt, request))
                assert rows is None or (rows and all(1 <= row < 76 for row in rows))

    check()


def test_any_argument_is_used_or_refused(sd):
    ctx = torch.eye(4, 3)
    calls = {
        "seed": lambda value: pair("a man", value),
        "prompts": lambda value: pair(value, 0),
        "job": lambda value: check_jobs(sd, [Job(PROMPT, "glasses", value)], None, SHORT),
        "size": lambda value: sd.check_size(value, 64),
        "engine": lambda value: find_engine(sd, value),
        "method": lambda value: suppress.default_settings(sd, value),
        "gamma": lambda value: suppress.soft_weight(ctx, [1, 2], value),
        "rows": lambda value: suppress.soft_weight(ctx, value),
        "ctx": lambda value: suppress.soft_weight(value, [0]),
        "k": lambda value: VARIANTS["top-k"].edit(ctx, [1], [2, 3], value),
        "factor": lambda value: VARIANTS["attenuate"].edit(ctx, [1], [2, 3], value),
        "where": minisd.Record,
        "kind": minisd.select,
        "scale": lambda value: minisd.select(scale=value),
        "weights": minisd.Reweight,
        "maps": lambda value: minisd.heat_maps(value, (2, 2)),
        "grid": lambda value: minisd.heat_maps({"mid.cross": torch.ones(1, 4, 77)}, value),
        "dtype": lambda value: minisd.load("nowhere", "cpu", value),
        "device": lambda value: minisd.load("nowhere", value),
        "ema": lambda value: minisd.load("nowhere", "cpu", ema=value),
    }
    settings_of_generate = ("steps", "guidance", "strength", "batch_size")

    @given(st.sampled_from([*calls, *settings_of_generate]), anything)
    @settings(max_examples=600)
    def check(name, value):
        if name in calls:
            accepted(lambda: calls[name](value))
        else:
            found = accepted(lambda: check_settings(**{name: value}))
            assert found is None or type(found[0]) in (int, float)

    check()
