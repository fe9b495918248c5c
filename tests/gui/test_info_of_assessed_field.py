"""`fieldscope info` of a field that was assessed, and of one that was not."""

from __future__ import annotations

import h5py
import pytest
import torch

from gui.commands.describe import describe
from recon.assessment import Assessment, Figures, write_assessment
from recon.field_file import write_field
from recon.uncertainty import Uncertainty
from tests.recon.fields import rough_field


@pytest.fixture
def path(tmp_path):
    write_field(tmp_path / "a.field.h5", rough_field())
    return tmp_path / "a.field.h5"


def assessment(axial_um):
    bounds = ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
    uncertainty = Uncertainty(torch.zeros(2, 2, 2, dtype=torch.uint8), 1e-4, bounds, 0.0042)
    return Assessment(Figures(0.4567, axial_um, False, True, 0.88712, 0.8), uncertainty)


@pytest.mark.parametrize(("axial_um", "shown"), [(3.0356, 3.036), (float("nan"), None)])
def test_resolution_and_uncertainty_are_told(path, axial_um, shown):
    with h5py.File(path, "a") as file:
        write_assessment(file, assessment(axial_um))
    told = describe(path)
    assert told["resolution_um"] == {"lateral": 0.457, "axial": shown}
    assert told["resolution_at_limit"] == {"lateral": False, "axial": True}
    assert told["unseen_share_of_frequencies"] == 0.887
    assert told["typical_uncertainty"] == 0.0042


def test_without_an_assessment_nothing_is_claimed(path):
    assert not {"resolution_um", "typical_uncertainty"} & set(describe(path))
