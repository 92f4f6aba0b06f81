"""``python -m demo_ce``."""

import sys

from .cli import main

sys.exit(main())
