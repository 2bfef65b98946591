"""Where a prompt's target hides, and what becomes of the picture when it is taken out there: the paper's analyses.

    from suppress.analysis import ANALYSES, open_study
    study = open_study(minisd.load("tiny"), "a man without glasses", seed=[0, 1])
    findings = ANALYSES["zeroing"].run(study)  # findings.rows, findings.panels

`suppress analyse PROMPT` writes all of them as figures and tables. Nothing here is imported by `import suppress`.
"""

from .catalogue import ANALYSES, Analysis
from .findings import Findings, Panel
from .study import Study, open_study

__all__ = ["ANALYSES", "Analysis", "Findings", "Panel", "Study", "open_study"]
