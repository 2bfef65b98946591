"""A method that does its part by itself, or on top of another method (`to`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from minisd import UserError
from minisd.base.arguments import shown

from ..prompt import Prompt
from ..protocol import Method


@dataclass(frozen=True)
class Added(Method):
    """The setting that these methods share."""

    to: Method | None = None  # add it to this method, which then gets these `steps`, `guidance`, `start`, `keep`

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.to is None:
            return
        if not isinstance(self.to, Method):
            raise UserError(f"to = {shown(self.to)}; expected an instance of a method, such as suppress.Unread()")
        common = {name: getattr(self, name) for name in ("steps", "guidance", "start", "keep")}
        object.__setattr__(self, "to", replace(self.to, **common))

    @property
    def descends_on(self) -> str:
        return self.to.descends_on if self.to else ""

    @property
    def needs_words(self) -> bool:
        return self.to is not None and self.to.needs_words

    def remark(self, prompt: Prompt) -> str:
        if self.to is None:
            return ""
        own = self.to.remark(prompt)
        return f"added to {type(self.to).__name__} with these steps, guidance and R" + (f" ({own})" if own else "")
