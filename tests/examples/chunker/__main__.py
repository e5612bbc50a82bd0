"""``python -m tests.examples.chunker``."""

from __future__ import annotations

import sys

from .cli import main

# A spawned worker imports this module again, under another name.
if __name__ == "__main__":
    sys.exit(main())
