"""The export dialog on a fake reconstruction, with the real process behind it that writes."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from gui.export.job import NotWritten, Written
from gui.export_choice import Kind, job_of
from recon import messages
from recon.field_file import write_field
from tests.gui.fakes import BOUNDS_UM
from tests.recon.fields import rough_field


@pytest.fixture
def dialog(window, qtbot, tmp_path):
    """The dialog of a window that shows a field; what it asks the fake process to save is a small real field."""
    fake = window.bridge._process
    window.files.open(tmp_path / "cells.field.h5")
    fake.show_field(window.bridge.run)
    qtbot.waitUntil(lambda: window.panels.slices.seen() is not None)

    def save(run, path):
        write_field(path, rough_field())
        fake.tell(messages.Saved(run, path, 1))

    fake.save = save
    window.workflow.folder = tmp_path
    window.actions_by_key["export"].trigger()
    assert window.export_dialog.isVisible() and not window.export_dialog.isModal()
    return window.export_dialog


def test_size_is_told_live(dialog, window, tmp_path):
    dialog.lateral.setValue(0.5)
    dialog.axial.setValue(1.0)
    assert dialog.figures.text() == "160 × 160 × 30 voxels (x, y, z), 3.07 MB"
    dialog.uncertainty.setChecked(True)
    assert "6.14 MB" in dialog.figures.text()
    dialog.only_seen.setChecked(True)
    window.panels.slices.zoom(5)
    dialog._tell_size()
    assert "160 × 160" not in dialog.figures.text()
    dialog.lateral.setValue(0.001)
    assert "memory" in dialog.figures.text() and not dialog.start_button.isEnabled()


def test_the_name_follows_what_is_exported(dialog, tmp_path):
    (tmp_path / "cells.png").touch()
    assert dialog.place.text() == str(tmp_path / "cells.ome.tif")
    for kind, name in ((Kind.SPIN, "cells.mp4"), (Kind.SLICE, "cells-2.png")):
        dialog.kind.setCurrentIndex(dialog.kind.findData(kind))
        assert dialog.place.text() == str(tmp_path / name)
    assert dialog.scale_bar.isVisible() and not dialog.format.isVisible() and not dialog.frames.isVisible()


def test_a_slice_is_exported_as_it_is_seen(dialog, window):
    window.panels.slices.contrast.choose_map("viridis")
    window.panels.slices.navigator.set_cursor((0.0, 0.0, 4.0))
    seen = window.panels.slices.seen()
    assert seen.origin_um[2] == 4.0 and seen.levels == window.panels.slices.contrast.levels
    np.testing.assert_array_equal(
        np.frombuffer(seen.colours, np.uint8).reshape(-1, 3), window.panels.slices.contrast.lookup_table
    )
    assert seen.shape == window.panels.slices.views["xy"].visible().shape


def test_the_slice_that_was_clicked_last_is_meant_and_a_spin_may_be_a_draft(dialog, window, tmp_path):
    window.panels.slices.views["xz"].setFocus()
    dialog.kind.setCurrentIndex(dialog.kind.findData(Kind.SLICE))
    assert dialog.figures.text().startswith("xz slice") and not dialog.draft.isVisible()
    dialog.kind.setCurrentIndex(dialog.kind.findData(Kind.SPIN))
    assert dialog.draft.isVisible()
    for draft, quality in ((False, "rest"), (True, "moving")):
        dialog.draft.setChecked(draft)
        job = job_of(dialog.choice(), window._seen(), dialog._ready, tmp_path / "a", tmp_path / "b.mp4")
        assert job.what.look.quality == quality


def test_a_volume_is_written_beside_the_window(dialog, window, qtbot, tmp_path):
    told = []
    window.bridge.saved.connect(told.append)
    with qtbot.waitSignal(dialog.process.ended, timeout=60_000) as ended:
        dialog.start_button.click()
    assert isinstance(ended.args[0], Written)
    data = tifffile.imread(tmp_path / "cells.ome.tif")
    assert data.shape[0] == 2 and abs(data[0].mean() - 1.33) < 0.05
    assert "Written" in dialog.state.text() and dialog.show_folder.isVisible()
    assert told == [], "the copy that was exported is no saved field"
    dialog.start_button.click()  # the name is taken now
    question = dialog.findChild(object, "export_replace")
    assert question is not None
    question.reject()
    assert not dialog.process.running


def test_cancel_leaves_nothing(dialog, qtbot, tmp_path):
    dialog.kind.setCurrentIndex(dialog.kind.findData(Kind.SWEEP))
    dialog.frames.setValue(10_000)
    with qtbot.waitSignal(dialog.process.progress, timeout=60_000):
        dialog.start_button.click()
    with qtbot.waitSignal(dialog.process.ended, timeout=60_000) as ended:
        dialog.start_button.click()
    assert ended.args[0] == NotWritten("", "")
    assert "nothing was written" in dialog.state.text()
    assert [path for path in tmp_path.iterdir() if path.name.startswith("cells")] == []


def test_a_lost_reconstruction_is_told(dialog, window):
    window.bridge._process.save = lambda run, path: None
    dialog.start_button.click()
    assert dialog.start_button.text() == "Cancel"
    window.bridge.failed.emit(messages.Failed(window.bridge.run, "There is no field.", "Wait.", ends_run=False))
    assert "There is no field. Wait." in dialog.state.text()
    assert dialog.start_button.text() == "Export"
    assert np.all(BOUNDS_UM == dialog._ready.bounds_um)
