"""The window as it is, connected at its start and perhaps scanning; for `test_light_goes_off`.

Usage: python connected_app.py PROFILE live|scan
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def main() -> int:
    """Run the window and tell on stdout what the instrument does."""
    from gui import app, main_window

    class ConnectedWindow(main_window.MainWindow):
        def show(self) -> None:
            super().show()
            self.panels.live.light.setCurrentIndex(0)  # one LED
            self.service.check_made.connect(lambda check: print(check.name, flush=True))
            self.service.opened.connect(self.go_on)
            self.service.problem.connect(lambda message, remedy: print(f"problem {message}", flush=True))
            self.workflow.connect_instrument()

        def go_on(self) -> None:
            print("opened", flush=True)
            if sys.argv[2] == "scan":
                self.workflow.start_scan()

    main_window.MainWindow = ConnectedWindow  # type: ignore[misc]
    return app.main(["--profile", sys.argv[1]])


if __name__ == "__main__":
    sys.exit(main())
