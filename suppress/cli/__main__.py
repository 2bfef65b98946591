"""`python -m suppress.cli` is `suppress`."""

from .commands import main

raise SystemExit(main())
