"""From a Spec to a picture: the layers from the back to the front, then the style."""

from __future__ import annotations

from PIL import Image, ImageDraw

from minisd.base.arguments import whole_number

from .backgrounds import draw_background
from .clothes import draw_body, draw_bow_tie, draw_scarf
from .hair import draw_hair_behind
from .hats import draw_hat
from .heads import draw_head
from .objects import draw_hand, draw_object_before, draw_object_behind
from .palette import FURS, INK, SKINS, Colour, mix
from .pen import Pen
from .spec import Spec
from .styles import STYLE_FILTERS, draw_swirls
from .weather import draw_clouds, draw_weather
from .worn import draw_earrings, draw_eyewear, draw_headphone_band, draw_headphone_shells, draw_mask

_FINER = 4  # pictures are drawn four times as large, and made smaller with antialiasing


def render(spec: Spec, size: int = 128) -> Image.Image:
    """The picture of a spec: RGB, size × size pixels. The same spec gives the same pixels.

    UserError unless size is a whole number from 8 to 4096.
    """
    size = whole_number("size", size, 8, 4096)
    large = Image.new("RGB", (_FINER * size, _FINER * size))
    draw, unit = ImageDraw.Draw(large), _FINER * size / 128
    scenery = Pen(draw, unit)
    draw_background(scenery, spec)
    if spec.style == "van_gogh":
        draw_swirls(scenery, spec)
    draw_clouds(scenery, spec)
    draw_object_behind(scenery, spec)
    _draw_subject(draw, unit, spec)
    foreground = Pen(draw, unit, ink=_ink(spec))
    draw_object_before(foreground, spec)
    draw_weather(foreground, spec)
    image = large.resize((size, size), Image.Resampling.LANCZOS)
    return STYLE_FILTERS[spec.style](image, spec) if spec.style else image


def _ink(spec: Spec) -> Colour:
    """Outlines are paler in watercolors."""
    return mix(INK, (120, 90, 110), 0.35) if spec.style == "watercolor" else INK


def _skin(spec: Spec) -> Colour:
    if spec.is_person:
        return SKINS[spec.skin]
    furs = FURS[spec.kind]
    return furs.get(spec.fur, next(iter(furs.values())))


def _draw_subject(draw: ImageDraw.ImageDraw, unit: float, spec: Spec) -> None:
    """Only the head is tilted. The hand belongs to the object, which does not move with the subject."""
    centre, ink, skin = (64 + spec.dx, 64 + spec.dy), _ink(spec), _skin(spec)
    thinness = 0.5 if spec.style == "pixel" else 1.0
    head = Pen(draw, unit, centre, spec.scale, spec.tilt, ink, thinness)
    body = Pen(draw, unit, centre, spec.scale, 0, ink, thinness)
    if spec.is_person:
        draw_hair_behind(head, spec)
    draw_body(body, spec, skin)
    draw_scarf(body, spec)
    draw_hand(Pen(draw, unit, ink=ink), spec, skin)
    if spec.beard != "long":
        draw_bow_tie(body, spec)
    draw_head(head, spec, skin)
    if spec.beard == "long":
        draw_bow_tie(body, spec)
    draw_mask(head, spec)
    draw_headphone_band(head, spec)
    draw_eyewear(head, spec)
    draw_hat(head, spec)
    draw_earrings(head, spec)
    draw_headphone_shells(head, spec)
