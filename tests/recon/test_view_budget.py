"""Pictures take no more of a fit's time than they may, on a clock that only the work itself moves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from recon import messages, view_requests
from recon.painter import MAX_CREDIT_S
from recon.reconstruct import State
from recon.worker import Worker

STEP_S, PICTURE_S = 0.4, 0.25


class Run:
    """A fit that changes with each step."""

    state, has_field, device = State.FITTING, True, torch.device("cpu")

    def __init__(self, clock: SimpleNamespace) -> None:
        self.clock, self.changes, self.kept_changes, self.reached = clock, 0, 0, ()

    def advance(self) -> bool:
        self.clock.now_s += STEP_S
        self.changes += 1
        return True

    def field(self) -> object:
        return self


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.9])
def test_pictures_keep_to_their_share(fraction: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now_s=0.0, painted_s=0.0)
    monkeypatch.setattr("recon.painter.time.monotonic", lambda: clock.now_s)

    def paint(asked: view_requests.PictureRequest, *others: object) -> Any:
        clock.now_s += PICTURE_S
        clock.painted_s += PICTURE_S
        return np.zeros((1, 1), np.float32)

    monkeypatch.setattr("recon.painter.paint", paint)
    monkeypatch.setattr("recon.painter.shared.share", lambda array: array)
    run = Run(clock)
    worker = Worker(SimpleNamespace(send=lambda event: None))  # type: ignore[arg-type]
    worker._begin(1).reconstruction = run  # type: ignore[assignment]
    worker._handle(messages.SetViewBudget(fraction))
    for view in ("xy", "xz", "yz"):
        worker._handle(
            view_requests.RequestSlice(1, view, 1, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1, 1))
        )
    while clock.now_s < 400.0:
        worker._work()
    slack_s = 2 * MAX_CREDIT_S + 3 * PICTURE_S
    assert clock.painted_s <= fraction * clock.now_s + slack_s
    wanted_s = run.changes * PICTURE_S  # one view after each step is all that can be asked for
    assert clock.painted_s >= min(fraction * clock.now_s, wanted_s) - slack_s, "and they use what they may have"
