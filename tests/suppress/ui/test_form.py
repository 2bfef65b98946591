"""A method's settings as a form."""

from dataclasses import fields as dataclass_fields

import pytest

from suppress.defaults import default_settings
from suppress.methods import METHODS
from suppress.ui.form import ELSEWHERE, about, fields, method_of, removing

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("name", removing())
def test_the_form_of_every_method_holds_its_settings_and_gives_them_back(sd, name):
    form = fields(sd, name, picture=False)
    settings, _ = default_settings(sd, name)
    own = {f.name for f in dataclass_fields(settings)} - set(ELSEWHERE) - set(METHODS[name].bound)
    assert {field.name for field in form} == own
    assert all(field.about for field in form) and about(name)
    assert method_of(sd, name, False, {field.name: field.value for field in form}) == name
    for field in form:
        if field.kind == "choice":
            assert field.value in field.choices
        # the text of each default is read as the default
        spec = f"{name}:{field.name}={field.value}" if field.value and "," not in field.value else name
        if field.name != METHODS[name].takes:
            assert getattr(default_settings(sd, spec)[0], field.name) == getattr(settings, field.name)


def test_what_was_changed_is_in_the_spec(sd):
    spec = method_of(sd, "suppress-eot", False, {"gamma": " 0.5", "loss": "l2", "start": "", "iterations": "0"})
    assert spec == "suppress-eot:gamma=0.5,loss=l2"
    assert default_settings(sd, spec)[0].gamma == 0.5


def test_a_text_with_a_comma_is_one_value(sd):
    spec = method_of(sd, "negative-prompt", False, {"text": "glasses, hat"})
    assert default_settings(sd, spec)[0].text == "glasses, hat"


def test_a_photo_has_other_defaults(sd):
    noise, photo = ({f.name: f.value for f in fields(sd, "suppress-eot", p)} for p in (False, True))
    assert (noise["step_size"], photo["step_size"]) == ("20.0", "5.0")
