"""What happens when something is typed or clicked: plain functions, which the page (suppress/ui/page.py) calls.

Nothing of a person is kept here between two calls, except the run at work, by the page's session.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from minisd import UserError
from minisd.base.arguments import check_negative, check_seed, check_settings, fraction
from minisd.cli import options

from ..cli.commands import read_box
from ..defaults import default_settings
from ..methods import DEFAULT
from ..prompt import read_text
from ..start.catalogue import DEFAULT as INVERSION
from . import show
from .chips import clicked, make_chips, to_page
from .draw import Drawn, Progress, Stopped, Studio
from .form import about, fields, method_of
from .order import Order, Photo
from .runs import Runs, Waiting

# (the line above the pictures, the pictures or None if they stay, whether a run is at work)
Seen = tuple[str, str | None, bool]


class Desk:
    """Takes the orders for one studio."""

    def __init__(self, studio: Studio):
        self.studio, self.runs = studio, Runs()

    def chips(
        self, prompt: str, before: Mapping[str, Any] | None = None, weights: bool | None = False
    ) -> dict[str, Any]:
        """The chips of a prompt that is being typed. weights: whether (word:1.3) in it is a weight."""
        try:
            prompt = read_text(prompt, bool(weights))
        except UserError:  # such as a bracket whose partner is not typed yet; `order` tells of it
            pass
        text, chips = make_chips(self.studio.sd, prompt, before)
        return to_page(text, chips)

    def form(self, method: str, picture: bool) -> tuple[dict[str, Any], float]:
        """The form of a method, and its value of `keep`. picture: whether a photo is loaded."""
        sd = self.studio.sd
        found = [asdict(field) for field in fields(sd, method, picture)]
        keep = default_settings(sd, method, picture)[0].keep
        return {"method": method, "about": about(method), "fields": found, "values": {}}, keep

    def draw(self, session: str, asked: Mapping[str, Any]) -> Iterator[Seen]:
        """Draws what is asked for, and says how far it is. A mistake of the user's is one sentence, no exception."""
        try:
            order = self.order(asked)
            run = self.runs.begin(session, lambda stop, tell: self.studio.draw(order, stop, tell))
            for news in run.follow():
                if isinstance(news, Drawn):
                    yield show.said(""), show.result(news, self.studio.model), False
                elif isinstance(news, Progress) and news.preview:
                    yield show.status(news), show.preview(order, news.preview), True
                else:
                    assert isinstance(news, Progress | Waiting)
                    yield show.status(news), None, True
        except Stopped:
            yield show.said("Stopped. Nothing was drawn yet."), None, False
        except UserError as error:
            yield show.said(str(error), "error"), None, False
        except Exception as error:  # a page shows no traceback; the terminal has it
            if options.is_out_of_memory(error):
                yield show.said("There is not enough memory for this. Ask for a smaller picture.", "error"), None, False
                return
            traceback.print_exc(file=sys.stderr)
            fault = f"This is a fault of the program, not yours: {type(error).__name__}. The terminal says more."
            yield show.said(fault, "error"), None, False

    def stop(self, session: str) -> None:
        self.runs.stop(session)

    def order(self, asked: Mapping[str, Any]) -> Order:
        """The order that the page's fields hold. UserError for a value that cannot be used."""
        sd = self.studio.sd
        photo = _photo(asked)
        weights = bool(asked["weights"])
        text, chips = make_chips(sd, read_text(asked["prompt"] or "", weights), asked["chips"])
        if not text.strip():
            raise UserError("The prompt is empty. Say what to draw, for example: a man without glasses")
        further = [word.strip() for word in (asked["further"] or "").split(",") if word.strip()]
        form, method = asked["form"] or {}, asked["method"]
        values = form.get("values", {}) if form.get("method") == method else {}
        negative = read_text(check_negative((asked["negative"] or "").strip()), weights)
        usual, _origin = default_settings(sd, method, photo is not None)
        seed = check_seed(0 if asked["seed"] is None else asked["seed"])
        steps, guidance = asked["steps"], asked["guidance"]
        [steps] = check_settings(steps=usual.steps if steps is None else steps)
        [guidance] = check_settings(guidance=usual.guidance if guidance is None else guidance)
        keep = usual.keep if asked["keep"] is None else fraction("keep", asked["keep"])
        sides = [sd.side if asked[name] is None else asked[name] for name in ("height", "width")]
        height, width = sd.check_size(*sides)
        spec = method_of(sd, method, photo is not None, values)
        return Order(
            text,
            clicked(text, chips, further).named,
            None if spec == DEFAULT else spec,
            seed,
            None if steps == usual.steps else steps,
            None if guidance == usual.guidance else guidance,
            None if width == sd.side else width,
            None if height == sd.side else height,
            None if keep == usual.keep else keep,
            negative,
            photo,
        )


def _photo(asked: Mapping[str, Any]) -> Photo | None:
    given = asked["photo"]
    if not given:
        return None
    mask = _content(given["mask"]) if given.get("mask") else None
    inversion, paste = _inversion(asked["inversion"]), bool(asked["paste"])
    return Photo(str(given["name"]), _content(given["data"]), mask, inversion, paste, _crop(given.get("crop")))


def _inversion(name: str) -> str | None:
    return None if name == INVERSION else name


def _crop(text: object) -> tuple[int, ...] | None:
    """ "10,0,522,512", as in the field of the page, -> (10, 0, 522, 512); None if it is empty."""
    sides = str(text or "").strip()
    try:
        return read_box(sides) if sides else None
    except argparse.ArgumentTypeError as error:
        raise UserError(f"crop {error}") from None


def _content(uri: str) -> bytes:
    """The content of a data: address, in which the browser sends a file."""
    try:
        return base64.b64decode(uri.partition(";base64,")[2], validate=True)
    except (binascii.Error, ValueError):
        raise UserError("The file arrived damaged; load it again.") from None
