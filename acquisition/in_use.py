"""Whether somebody still writes a file, as the system itself knows it.

A writer holds a shared advisory lock (flock) on its open file. It ends with the program, however that ends, moves along
when the file is renamed, and does not keep HDF5's readers out, who take a shared lock as well. Windows needs no lock:
there a file that somebody holds open cannot be opened for one's own use alone.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

log = logging.getLogger(__name__)

QUIET_S = 600.0
"""Where the system knows no locks (some network drives), a file unchanged for so long counts as left alone."""
_REFUSED = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_TRIALS = 20
_SHARING_VIOLATION = 32  # Windows


def hold(file: IO[bytes]) -> None:
    """Say that this file is in use until it is closed; without effect where the system knows no locks."""
    if sys.platform != "win32":
        import fcntl

        for trial in range(_TRIALS):
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
                return
            except OSError as error:
                if trial == _TRIALS - 1 or error.errno not in _REFUSED:
                    log.warning("no lock on %s (%s): its age will tell whether it is in use", file.name, error)
                    return
                time.sleep(0.01)  # somebody asks at this moment whether it is in use


if sys.platform == "win32":

    def is_in_use(path: Path) -> bool:
        """Whether a program writes this file or holds it open; it is neither changed nor kept.

        Raises
        ------
        OSError
            The file is not there or not readable.
        """
        import ctypes
        from ctypes import wintypes

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateFileW.restype = wintypes.HANDLE
        generic_read, open_existing = 0x80000000, 3
        handle = kernel.CreateFileW(os.fspath(path), generic_read, 0, None, open_existing, 0, None)
        if handle == wintypes.HANDLE(-1).value:
            code = ctypes.get_last_error()
            if code == _SHARING_VIOLATION:
                return True
            raise ctypes.WinError(code)
        kernel.CloseHandle(wintypes.HANDLE(handle))
        return False

else:

    def is_in_use(path: Path) -> bool:
        """Whether a program writes this file or holds it open; it is neither changed nor kept.

        Raises
        ------
        OSError
            The file is not there or not readable.
        """
        import fcntl

        try:
            # Locks over a network are those of its server, which grants this one only to who could write.
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _REFUSED:
                return True
            age_s = time.time() - os.fstat(descriptor).st_mtime
            log.warning("%s cannot be locked (%s); it was changed %.0f s ago", path, error, age_s)
            return age_s < QUIET_S
        finally:
            os.close(descriptor)
        return False
