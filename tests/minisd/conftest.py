"""Lets the tests beside it import their helpers (checkpoints.py): pytest's importlib mode adds no folder."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
