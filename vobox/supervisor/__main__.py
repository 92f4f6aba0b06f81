"""``python3 -m vobox.supervisor``: the same as ``thyme-vobox``, with any Python from 3.6."""

import sys

from .cli import main

sys.exit(main())
