"""`python -m gui.cli`: the same as `fieldscope`, from the source tree."""

from __future__ import annotations

from gui.cli import main

if __name__ == "__main__":
    main()
