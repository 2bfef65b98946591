"""Lets the tests import their helpers (closeness.py, loading/checkpoints.py): importlib mode adds no folder."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent / "loading")]
