"""Runs as `python infra/terraform-virtualbox/vbox COMMAND`; `cli` says what there is."""

from __future__ import annotations

import sys
from pathlib import Path

# Called by its path, not as a module: the package's parent folder is not on the path yet.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vbox.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
