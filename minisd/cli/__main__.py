"""`python -m minisd.cli` is `minisd`."""

from .commands import main

raise SystemExit(main())
