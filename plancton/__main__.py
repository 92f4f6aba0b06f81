"""Run ``planctonctl`` as ``python -m plancton``."""

from plancton.cli.main import main

raise SystemExit(main())
