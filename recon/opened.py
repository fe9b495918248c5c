"""Fields of files, kept at hand: those looked at last, and the one that is likely to be wanted next."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from recon.field_file import read_field
from recon.tiles import TiledField

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from recon.result import Field

KEPT_BYTES = 100e6
"""Of parameters; what was not looked at for longest is forgotten first."""


class OpenedFields:
    """Reads each file once, as long as it stays the same.

    Parameters
    ----------
    device
        Where the fields are evaluated.
    pulse
        Called often while they are.
    """

    def __init__(self, device: torch.device, pulse: Callable[[], None]) -> None:
        self._device, self._pulse = device, pulse
        self._fields: OrderedDict[tuple[str, int], Field | TiledField] = OrderedDict()

    def get(self, path: str) -> Field | TiledField:
        """Return a field; errors as `recon.load_field`."""
        key = path, Path(path).stat().st_mtime_ns if Path(path).is_file() else 0
        if key not in self._fields:
            self._fields[key] = read_field(path, self._device)
            set_pulse(self._fields[key], self._pulse)
        self._fields.move_to_end(key)
        while len(self._fields) > 1 and sum(f.parameter_bytes for f in self._fields.values()) > KEPT_BYTES:
            self._fields.popitem(last=False)
        return self._fields[key]


def set_pulse(field: Field | TiledField, pulse: Callable[[], None]) -> None:
    """Have a pulse called often while a field is evaluated; what it raises ends that."""
    for tile in field.tiles if isinstance(field, TiledField) else (field,):
        if tile is not None:
            tile.network.pulse = pulse
