"""The protocols as data: every prompt names its target, every row is a method, every figure has its place."""

import pytest

from suppress.evaluation.extras import Extras
from suppress.evaluation.measure import method_of
from suppress.evaluation.measure_pictures import method_of as picture_method_of
from suppress.evaluation.pairs import VAE
from suppress.evaluation.pictures import TARGETS, picture_cases
from suppress.evaluation.targets import targets_of
from suppress.methods import parse_method
from suppress.metrics import ClipScore, Detector
from suppress.prompt import find_places
from suppress.protocols import PICTURE_PROTOCOLS, PROTOCOLS
from suppress.protocols.captions import glasses_in_captions
from suppress.protocols.gie import TABLE_4 as GIE_TABLE_4
from suppress.protocols.protocol import ORIGINAL
from suppress.protocols.scores import EXPLAINED
from suppress.protocols.suppress_eot import TABLE_4, TABLE_5
from suppress.protocols.suppress_eot_pictures import TABLE_2
from suppress.start.invert import parse_inversion


@pytest.fixture(scope="module")
def clip(sd):
    return ClipScore.of(sd)


@pytest.fixture(scope="module")
def detector(sd):
    return Detector.of(sd)


@pytest.fixture(params=PROTOCOLS, scope="module")
def protocol(request):
    return PROTOCOLS[request.param]


@pytest.fixture(params=PICTURE_PROTOCOLS, scope="module")
def pictures(request):
    return PICTURE_PROTOCOLS[request.param]


def test_prompts_name_their_targets_unless_they_are_meant_not_to(protocol):
    assert len({case.prompt for case in protocol.cases}) == len(protocol.cases)  # a cell is found by its prompt
    for case in protocol.cases:
        named = [bool(find_places(case.prompt, phrase)) for phrase in targets_of(case.target)]
        assert not all(named) if case.kind == "implied" else all(named), case
        assert not all(find_places(case.deleted, phrase) for phrase in targets_of(case.target))


def test_rows_are_methods_and_targets_are_classes(sd, detector, protocol):
    for case in protocol.cases:
        for phrase in targets_of(case.target):
            detector.match(phrase)
        for spec in protocol.rows.values():
            if case.deleted or not spec.startswith("deleted"):
                assert method_of(sd, spec, case, protocol.steps, protocol.start).steps == protocol.steps
    assert set(protocol.watch) <= set(detector.names)


def test_rows_of_pictures_are_pairs_with_names(sd, pictures):
    labels = [pair.row for pair in pictures.rows]
    assert all(pair.label for pair in pictures.rows) and len(set(labels)) == len(labels)
    for pair in pictures.rows:
        parse_inversion(pair.inversion)
        method = picture_method_of(sd, pair.spec, picture_cases()[0], pictures.steps, pictures.start)
        steps = "steps=" in pair.spec  # Fig. 7 of MagicRemover compares numbers of steps
        assert steps or method.steps == pictures.steps
        if pair.masked:
            assert parse_method(pair.spec).takes_mask
    assert set(pictures.kinds) <= set(TARGETS)
    # a paper's row is one of ours, or a baseline, or a method that is not here
    assert not any(row.lower() in {label.lower() for label in labels} - {row.lower()} for row in pictures.paper)
    assert all(figures.keys() <= set(pictures.metrics) for figures in pictures.paper.values())
    assert set(pictures.metrics) <= set(EXPLAINED) and pictures.source and pictures.claim
    assert VAE in pictures.paper or pictures.name != "suppress-eot-table-1-real"


def test_every_figure_of_the_paper_has_a_place_in_the_table(protocol):
    for (_, group), figures in protocol.paper.items():
        assert group in protocol.groups and figures.keys() <= set(protocol.metrics)
    ours = {row for row, _ in protocol.paper} & {ORIGINAL, *protocol.rows}
    assert ours or not protocol.paper  # at least one row stands beside ours
    assert set(protocol.metrics) <= set(EXPLAINED) and protocol.source and protocol.claim


def test_the_scores_that_a_table_needs_can_be_made(clip, protocol):
    objects = {case.prompt: name for group, name in protocol.objects.items() for case in protocol.groups[group]}
    extras = Extras(protocol.extras, clip, protocol.classes, objects)
    assert set(protocol.extras) <= set(extras.makers)
    if protocol.objects:
        assert set(objects) == {case.prompt for case in protocol.cases} and set(objects.values()) <= set(
            protocol.classes
        )


def test_names_and_prompts_are_counted(sd):
    assert all(name == each.name for name, each in (PROTOCOLS | PICTURE_PROTOCOLS).items())
    assert not PROTOCOLS.keys() & PICTURE_PROTOCOLS.keys()
    for table in (TABLE_4, TABLE_5):
        plain = table.groups["the prompt"][0].prompt
        for name, (case, *_) in table.groups.items():
            added = case.prompt.removeprefix(plain).split()
            assert len(added) == (0 if name == "the prompt" else int(name.split()[0])), name
    for table, bounds in ((GIE_TABLE_4, ((1, 20), (21, 40), (41, 75))), (TABLE_5, ((1, 75),) * 5)):
        for cases, (least, most) in zip(table.groups.values(), bounds, strict=True):
            assert all(least <= len(sd.tokens(case.prompt)) - 2 <= most for case in cases)


def test_a_part_of_a_protocol_has_the_groups_of_its_prompts():
    kept = TABLE_5.of(TABLE_5.first_of_each[:2], TABLE_5.rows)
    assert [len(cases) for cases in kept.groups.values()] == [1, 1] and list(kept.groups) == list(TABLE_5.groups)[:2]
    # a row that --only leaves out is not there with the paper's figures either; those that are not ours stay
    part = GIE_TABLE_4.of(GIE_TABLE_4.cases, {"GIE": GIE_TABLE_4.rows["GIE"]})
    rows = {row for row, _ in part.paper}
    assert {"GIE", "ESD-u"} <= rows and not rows & {"SLD", "negative prompt"}
    one = TABLE_2.of(TABLE_2.rows[1:])
    assert set(one.paper) == {"X-Decoder", "Inst-Inpaint"} and len(one.rows) == 1


def test_captions_leave_glasses_out():
    [man] = [row for row in glasses_in_captions(300).rows if row.name == "a man"]
    pictures, shown, named = (value.number for value in man.values)
    assert 40 < pictures < 150 and 0.05 < shown < 0.95 and 0.4 < named < 0.95
