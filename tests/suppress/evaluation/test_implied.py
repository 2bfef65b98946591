"""The prompts that imply their target: no word names it, the detector knows it, and it was seen."""

import pytest

from suppress.evaluation.cases import CASES, KINDS
from suppress.evaluation.implied import IMPLYING, KIND, SCORES
from suppress.metrics import Detector
from suppress.negation import find_negations
from suppress.prompt import find_places

pytestmark = pytest.mark.quick


def test_no_prompt_names_its_target(sd):
    detector = Detector.of(sd)
    assert len(IMPLYING) >= 8 and KIND not in KINDS
    for case in IMPLYING:
        assert case.kind == KIND and not find_places(case.prompt, case.target) and not find_negations(case.prompt)
        assert not detector.match(case.target).remark
        assert 0.5 <= SCORES[case] <= 1 and case.deleted != case.prompt
        assert not find_places(case.deleted, case.target)
    prompts = [case.prompt for case in (*CASES, *IMPLYING)]
    assert len(prompts) == len(set(prompts))
