from __future__ import annotations

import threading

import numpy as np
import pytest

from acquisition.frame_store import FrameStore
from acquisition.pacing import TakenFrame


def taken(index: int) -> TakenFrame:
    return TakenFrame(index, 0, 2.0, 0.0, np.zeros((2, 2), np.uint16))


def test_frames_are_kept_in_order_and_all_at_the_end() -> None:
    kept: list[int] = []
    with FrameStore(lambda frame: kept.append(frame.index)) as store:
        for index in range(50):
            store.put(taken(index))
    assert kept == list(range(50))


def test_a_disk_that_hesitates_holds_up_the_camera_only_after_some_frames() -> None:
    goes_on, kept = threading.Event(), list[int]()
    full, entered = threading.Event(), threading.Event()

    def keep(frame: TakenFrame) -> None:
        entered.set()
        assert goes_on.wait(30)
        kept.append(frame.index)

    with FrameStore(keep) as store:
        store.put(taken(0))
        assert entered.wait(30)
        for index in range(1, 5):
            store.put(taken(index))  # none of them waits for the disk

        def one_too_many() -> None:
            store.put(taken(5))
            full.set()

        waiting = threading.Thread(target=one_too_many)
        waiting.start()
        assert not full.wait(0.05)
        assert kept == []
        goes_on.set()
        waiting.join(30)
    assert kept == list(range(6))


def test_after_an_error_nothing_more_is_kept_and_the_taker_is_told() -> None:
    kept: list[int] = []
    told = threading.Event()

    def keep(frame: TakenFrame) -> None:
        if frame.index == 2:
            told.set()
            raise OSError("No space left on device")
        kept.append(frame.index)

    def put_until_refused() -> None:
        with FrameStore(keep) as store:
            for index in range(3):
                store.put(taken(index))
            assert told.wait(30)
            while True:  # at the latest when the store has noted it
                store.put(taken(3))

    with pytest.raises(OSError, match="No space left"):
        put_until_refused()
    assert kept == [0, 1]


def test_an_error_of_the_last_frame_is_told_at_the_end_but_hides_no_other() -> None:
    def fails(frame: TakenFrame) -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"), FrameStore(fails) as store:
        store.put(taken(0))
    with pytest.raises(RuntimeError, match="camera"), FrameStore(fails) as store:
        store.put(taken(0))
        raise RuntimeError("camera")
