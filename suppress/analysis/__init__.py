"""Where a prompt's target hides, and how the picture changes when it is removed there: the paper's analyses.

    from suppress.analysis import ANALYSES, open_study
    study = open_study(minisd.load("tiny"), "a man without glasses", seed=[0, 1])
    findings = ANALYSES["zeroing"].run(study)  # findings.rows, findings.panels

`suppress analyse PROMPT` writes all of them as figures and tables. `import suppress` imports nothing of this.
"""

from typing import TYPE_CHECKING

from minisd.base.lazy import attributes

from .catalogue import ANALYSES, Analysis

if TYPE_CHECKING:
    from .findings import Findings, Panel
    from .study import Study, open_study

__getattr__ = attributes(
    __name__, {"Findings": "findings", "Panel": "findings", "Study": "study", "open_study": "study"}
)

__all__ = ["ANALYSES", "Analysis", "Findings", "Panel", "Study", "open_study"]
