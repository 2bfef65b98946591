"""The protocols as data: every prompt names its target, every row is a method, every figure has its row and group."""

import pytest

from suppress.evaluation.measure import method_of
from suppress.metrics import Detector
from suppress.prompt import find_places
from suppress.protocols import PROTOCOLS
from suppress.protocols.protocol import ORIGINAL
from suppress.protocols.suppress_eot import TABLE_4
from suppress.protocols.table import EXPLAINED


@pytest.fixture(params=PROTOCOLS, scope="module")
def protocol(request):
    return PROTOCOLS[request.param]


def test_prompts_name_their_targets_unless_they_are_meant_not_to(protocol):
    assert len({case.prompt for case in protocol.cases}) == len(protocol.cases)  # a cell is found by its prompt
    for case in protocol.cases:
        assert bool(find_places(case.prompt, case.target)) == (case.kind != "implied"), case
        assert not find_places(case.deleted, case.target)


def test_rows_are_methods_and_targets_are_classes(sd, protocol):
    detector = Detector.of(sd)
    for case in protocol.cases:
        detector.match(case.target)
        for spec in protocol.rows.values():
            assert method_of(sd, spec, case, protocol.steps, protocol.start).steps == protocol.steps
    assert set(protocol.watch) <= set(detector.names)


def test_every_figure_of_the_paper_has_a_place_in_the_table(protocol):
    for (row, group), figures in protocol.paper.items():
        assert row == ORIGINAL or row in protocol.rows
        assert group in protocol.groups and figures.keys() <= set(protocol.metrics)
    assert set(protocol.metrics) <= set(EXPLAINED) and protocol.source and protocol.claim


def test_names_and_prompts_are_counted():
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    for name, (case,) in TABLE_4.groups.items():
        added = case.prompt.removeprefix("a man without glasses").split()
        assert len(added) == (0 if name == "the prompt" else int(name.split()[0]))
