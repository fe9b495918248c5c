"""The window's offer to go on with a reconstruction that a program which crashed has left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import pytest

from gui.going_on import GoingOnOffer
from gui.recon_process import checkpoint_path, forget_checkpoints, left_checkpoints
from recon.messages import FitSettings

if TYPE_CHECKING:
    from gui.main_window import MainWindow


def leave(capture: Path, name: str = "1-a", finished: bool = False, **chosen: Any) -> Path:
    """Write what the window reads of a checkpoint."""
    path = checkpoint_path().with_name(f"reconstruction-{name}.field.h5")
    path.parent.mkdir(parents=True, exist_ok=True)
    capture.touch()
    with h5py.File(path, "w") as file:
        settings = json.dumps(asdict(FitSettings(model="born", z_um=(-3.0, 3.0), **chosen)))
        file.create_group("checkpoint").attrs.update(settings=settings, finished=finished)
        file.create_group("fit").attrs.update(capture_folder=str(capture.parent), capture_name=capture.name, steps=120)
    return path


def offer_in(window: MainWindow, qtbot: Any) -> GoingOnOffer:
    offer = GoingOnOffer(window.panels.message, window.workflow)
    with qtbot.waitSignal(offer.found):
        offer.look()
    return offer


def calls(window: MainWindow, kind: str) -> list[Any]:
    process: Any = window.bridge._process
    return [call for call in process.calls if call[0] == kind]


def test_an_interrupted_reconstruction_is_gone_on_with(window: MainWindow, tmp_path: Path, qtbot: Any) -> None:
    capture = tmp_path / "cells.h5"
    left = leave(capture)
    offer_in(window, qtbot)
    bar = window.panels.message
    assert bar.isVisible() and bar.property("tone") == "info"
    assert "cells.h5 was interrupted at step 120" in bar.message.text()
    assert left.exists(), "nothing is touched before the operator says so"
    bar.action.click()
    assert [call[1:3] for call in calls(window, "resume")] == [(str(capture), False)]
    assert not left.exists() and checkpoint_path().exists(), "from now on it is this window's"
    assert not bar.isVisible()
    assert window.workflow.capture_path == capture
    assert window.bridge.fitting
    begun: Any = window.bridge._begun
    assert begun[1] == FitSettings(model="born", z_um=(-3.0, 3.0)), "with the operator's choices of then"


def test_what_is_discarded_is_gone_and_the_next_is_offered(window: MainWindow, tmp_path: Path, qtbot: Any) -> None:
    older = leave(tmp_path / "older.h5", "1-a", time_point=3)
    os.utime(older, (time.time() - 60, time.time() - 60))
    newer = leave(tmp_path / "newer.h5", "2-a", finished=True)
    offer_in(window, qtbot)
    bar = window.panels.message
    assert "newer.h5 was finished" in bar.message.text()
    bar.other.click()
    assert not newer.exists()
    assert "older.h5, time point 3, position 0, was interrupted" in bar.message.text()
    bar.dismiss.click()
    assert not bar.isVisible() and older.exists(), "it is offered again at the next start"


def test_the_offer_gives_way_to_another_reconstruction(window: MainWindow, tmp_path: Path, qtbot: Any) -> None:
    left = leave(tmp_path / "cells.h5")
    offer_in(window, qtbot)
    window.workflow.reconstruct(tmp_path / "other.h5")
    assert not window.panels.message.isVisible()
    assert left.exists()


def test_what_another_window_has_taken_is_told(window: MainWindow, tmp_path: Path, qtbot: Any) -> None:
    left = leave(tmp_path / "cells.h5")
    offer_in(window, qtbot)
    left.unlink()
    window.panels.message.action.click()
    assert "no longer there" in window.panels.message.message.text()
    assert window.bridge.run is None


@pytest.mark.parametrize("bad", ["torn", "foreign", "no fit", "no capture", "saved meanwhile", "empty"])
def test_what_nobody_can_go_on_with_is_passed_over(window: MainWindow, tmp_path: Path, qtbot: Any, bad: str) -> None:
    path = leave(tmp_path / "cells.h5", finished=bad == "saved meanwhile")
    if bad == "torn":
        path.write_bytes(path.read_bytes()[:700])
    elif bad == "empty":
        path.write_bytes(b"")
    elif bad == "foreign":
        with h5py.File(path, "r+") as file:
            file["checkpoint"].attrs["settings"] = json.dumps({"z_um": None, "hold_out": [], "of": "another version"})
    elif bad == "no fit":
        with h5py.File(path, "r+") as file:
            del file["fit"]
    elif bad == "no capture":
        (tmp_path / "cells.h5").rename(tmp_path / "cells.h5.part")
    else:
        (tmp_path / "cells-2.field.h5").touch()
    offer = GoingOnOffer(window.panels.message, window.workflow)
    with qtbot.assertNotEmitted(offer.found):
        offer.look().join()
    assert not window.panels.message.isVisible()


def test_what_a_living_window_keeps_is_its_own(user_folders: Path, tmp_path: Path) -> None:
    """Another program says where its checkpoint is, holds it, and is killed."""
    tell = (
        "import sys; from gui.recon_process import checkpoint_path, hold_checkpoint; hold_checkpoint();"
        " print(checkpoint_path(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", tell], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().decode().strip())
        leave(tmp_path / "cells.h5", theirs.name.removeprefix("reconstruction-").removesuffix(".field.h5"))
        assert theirs.is_file()
        assert left_checkpoints() == []
        for path in theirs.parent.iterdir():
            os.utime(path, (0, 0))
        forget_checkpoints()
        assert theirs.is_file(), "however old: it runs"
        other.kill()
    assert left_checkpoints() == [theirs]
    forget_checkpoints()
    assert not list(theirs.parent.iterdir()), "days after the window was killed nothing of it is left"
