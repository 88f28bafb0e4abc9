"""``python -m provis_fast`` is the same as ``provis-fast``."""

import sys

from provis_fast.cli import main

if __name__ == "__main__":
    sys.exit(main())
