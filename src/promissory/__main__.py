"""`python -m promissory`: the command line."""

from __future__ import annotations

import sys

from promissory.executor.cli import main

if __name__ == "__main__":
    sys.exit(main())
