"""Arguments of unusual types: they are taken as numbers, or an error names them."""

import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

import minisd
from minisd import Average, Controller, Part, Record, Replace, Reweight, Tap, UserError, compose, heat_maps, select
from minisd.base.arguments import number, plain, shown, whole_number
from minisd.base.outputs import output_path
from minisd.cli import commands as cli
from minisd.loading.checkpoint import check_dtype

pytestmark = pytest.mark.quick

NUMBERS = [2, np.int64(2), np.uint8(2), np.array(2), torch.tensor(2), Fraction(2), Decimal(2)]
NO_NUMBERS = [
    None,
    "2",
    b"2",
    True,
    np.True_,
    torch.tensor(True),
    [2],
    np.array([2]),
    torch.tensor([2]),
    2j,
    np.complex64(2),
]
NO_NUMBERS += [float("nan"), float("inf"), Decimal("sNaN"), Decimal("inf"), 10**5000, Fraction(10**400), int]


class Faulty:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize("value", [*NUMBERS, np.float32(2), torch.tensor(2.0), Decimal("2.0"), np.longdouble(2)])
def test_a_number_of_any_kind_is_pythons(value):
    assert plain(value) == 2 and type(plain(value)) in (int, float)
    assert number("x", value) == 2


@pytest.mark.parametrize("value", [*NO_NUMBERS, Faulty()], ids=lambda value: type(value).__name__)
def test_what_is_no_finite_number_is_refused_and_shown(value):
    for check in (lambda: number("x", value), lambda: whole_number("x", value, 0)):
        with pytest.raises(UserError, match=r"^x = .*; expected a") as error:
            check()
        assert len(str(error.value)) < 200


def test_what_is_shown_of_a_value_is_one_line_and_short():
    assert shown("a") == "'a'" and shown(10**5000) == "<int>" and shown(Faulty()) == "<Faulty>"
    assert len(shown("x" * 10**6)) < 110 and "\n" not in shown(np.zeros((9, 9)))


@pytest.mark.parametrize("value", [2**64, 2**70, -1, 2.5, np.float64(2)])
def test_counts_have_bounds(value):
    with pytest.raises(UserError, match=r"^x = .*; expected a whole number"):
        whole_number("x", value, 0)


def test_every_kind_of_number_draws_the_same_picture(sd):
    want = sd.generate("a man", 2, 2, 7.5, height=64, width=64)[0]
    for two, guidance in ((np.int64(2), Fraction(15, 2)), (torch.tensor(2), Decimal("7.5")), (2, torch.tensor(7.5))):
        got = sd.generate("a man", two, two, guidance, height=32 * two, width=64, batch_size=two, strength=two / two)
        assert got[0].tobytes() == want.tobytes()
    uncond, ctx = sd.encode_text(["", "a man"]).split(1)
    z = sd.noise([np.int64(2)], np.int64(64), 64)
    [*_, (_, _, a)] = sd.sample(ctx, uncond, z, np.int64(2), Fraction(15, 2), start_step=np.int64(0))
    [*_, (_, _, b)] = sd.sample(ctx, uncond, z, 2, 7.5)
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": 0}, "a prompt is a string, not 0"),
        ({"prompt": b"a man"}, "a prompt is a string, not b'a man'"),
        ({"seed": True}, "seed True"),
        ({"seed": "1"}, "seed '1'"),
        ({"seed": b"1"}, "seed b'1'"),
        ({"seed": [1.5]}, "seed 1.5"),
        ({"steps": 2**64}, "steps = 18446744073709551616"),
        ({"guidance": "7"}, "guidance = '7'"),
        ({"strength": Decimal("NaN")}, "strength = Decimal"),
        ({"height": 2**64}, "a side has at most 8192 pixels"),
        ({"width": 10**5000}, "size 128×<int>|a side has at most 8192 pixels"),
        ({"height": 64.0}, "both must be whole numbers"),
        ({"negative_prompt": None}, "the negative prompt is one string"),
        ({"batch_size": 2**64}, "batch_size = 18446744073709551616"),
        ({"tap": "record"}, "tap = 'record'; expected a minisd.Tap"),
        ({"tap": Record}, "tap = <class .*Record'>; expected a minisd.Tap"),
        ({"progress": 3}, "progress = 3; expected a function"),
        ({"image": np.zeros((9, 9))}, "image = array"),
    ],
)
def test_generate_names_what_it_cannot_use(sd, arguments, message):
    with pytest.raises(UserError, match=message):
        sd.generate(**{"prompt": "a man", "steps": 1} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": 3}, "no model 3"),
        ({"device": 2**70}, "device 1180591620717411303424 cannot be used"),
        ({"device": [1]}, r"device \[1\] cannot be used"),
        ({"dtype": "float16"}, "dtype = 'float16'; expected torch.float32"),
        ({"dtype": [torch.float32]}, r"dtype = \[torch.float32\]"),
        ({"variant": 16}, "variant = 16; expected a string"),
        ({"revision": True}, "revision = True; expected a string"),
        ({"ema": "no"}, "ema = 'no'; expected True or False"),
    ],
)
def test_load_names_what_it_cannot_use(arguments, message):
    with pytest.raises(UserError, match=message):
        minisd.load(**{"source": "nowhere", "device": "cpu"} | arguments)


def test_apples_gpus_have_no_float64():
    cpu, mps = torch.device("cpu"), torch.device("mps")
    with pytest.raises(UserError, match=r"float64: Apple's GPUs \(mps\) have none; load with torch.float32"):
        check_dtype(torch.float64, mps)
    assert check_dtype(torch.float64, cpu) == torch.float64 and check_dtype(torch.float16, mps) == torch.float16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: select("Cross"), "kind = 'Cross'; expected 'self' or 'cross'"),
        (lambda: select(place=3), "place = 3; expected 'down' or 'mid' or 'up'"),
        (lambda: select(scale="4"), "scale = '4'; expected a whole number"),
        (lambda: Record("cross"), "where = 'cross'; expected a function of sites"),
        (lambda: Average(0), "where = 0"),
        (lambda: Replace(torch.ones(1)), "maps = tensor"),
        (lambda: Replace({"mid.cross": 1}), "maps = {'mid.cross': 1}"),
        (lambda: Reweight([1.0]), r"weights = \[1.0\]; expected a tensor"),
        (lambda: Controller(None, ()), "controller = None"),
        (lambda: compose(Record(), "x"), "tap = 'x'"),
        (lambda: Part(3, slice(1)), "tap = 3"),
        (lambda: Part(Record(), 0), "at = 0; expected a slice"),
        (lambda: heat_maps([], (4, 4)), r"maps = \[\]"),
        (lambda: heat_maps({"a": torch.ones(1, 16, 77)}, 4), r"size = 4; expected \(h, w\)"),
        (lambda: heat_maps({"a": torch.ones(1, 16, 77)}, (4, 0)), r"size = \(4, 0\)"),
    ],
)
def test_taps_name_what_they_cannot_use(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_taps_can_be_pickled_with_what_they_have_recorded(sd, inputs):
    taps = [Tap(), Record(select("cross", scale=4)), Average(select("cross")), Reweight(torch.ones(77))]
    sd.unet(*inputs, tap=compose(*taps))
    again = pickle.loads(pickle.dumps(compose(*taps, Replace(taps[1].maps), Part(Record(), slice(1)))))
    for site in sd.unet.sites:
        assert [tap.wants(site) for tap in again.taps[:4]] == [tap.wants(site) for tap in taps]
    for tap, copy in zip(taps[1:3], again.taps[1:3], strict=True):
        assert list(copy.maps) == list(tap.maps)
        assert all(torch.equal(copy.maps[name], p) for name, p in tap.maps.items())
    sd.unet(*inputs, tap=again.taps[2])  # the mean of two equal passes
    torch.testing.assert_close(again.taps[2].maps["mid.cross"], taps[2].maps["mid.cross"])


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800"])
def test_names_that_no_file_can_have(name):
    with pytest.raises(UserError, match=r"^--out"):
        output_path(name)


@pytest.mark.parametrize("option", ["--out", "--model", "--steps"])
def test_two_dashes_are_no_value(capsys, option):
    """argparse makes an empty list of them, and --model would get its default."""
    with pytest.raises(SystemExit, match="2"):
        cli.main(["generate", "a man", f"{option}=--"])
    assert f"{option} was given no value" in capsys.readouterr().err
