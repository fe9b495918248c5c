"""The live image: wanted or not, in the light that the operator chose; while a scan runs, that of its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from acquisition.instrument import Instrument
    from gui.instrument_service import InstrumentService
    from gui.live_panel import LivePanel
    from gui.spectrum_panel import SpectrumPanel


class LiveImage(QObject):
    """Between the instrument and the panels that show what its camera sees.

    Parameters
    ----------
    panel, spectrum
        Where it is shown.
    service
        The instrument.
    """

    def __init__(self, panel: LivePanel, spectrum: SpectrumPanel, service: InstrumentService, parent: QObject) -> None:
        super().__init__(parent)
        self._panel, self._spectrum, self._service = panel, spectrum, service
        self._connected = False
        self._wanted = True
        panel.exposure_chosen.connect(service.set_exposure)
        panel.light_chosen.connect(self._light)
        service.picture_ready.connect(self._show_picture)

    def connect_to(self, instrument: Instrument) -> None:
        """Show what this instrument sees, if that is wanted."""
        self._connected = True
        profile = instrument.profile
        limits = profile.camera.exposure_ms
        self._panel.set_instrument(
            instrument.led_na_l2, profile.objective.na, (limits.min, limits.max, limits.default)
        )
        self._spectrum.set_geometry(
            instrument.led_na_l2, profile.objective.na, profile.illumination.wavelength_um, profile.pixel_um
        )
        if self._wanted:
            self._start()

    def let_go(self) -> None:
        """There is no instrument any more."""
        self._connected = False
        self._panel.set_connected(False)
        self._spectrum.clear()

    def set_wanted(self, wanted: bool) -> None:
        """Switch it on or off; while a scan runs, for the time after."""
        self._wanted = wanted
        if not self._connected or self._service.scanning:
            return
        if wanted:
            self._start()
        else:
            self._service.stop_live()
            self._panel.pupil.set_lit(None)
            self._panel.expect(frames=False)

    def scan_begins(self) -> None:
        """From now on frames are shown."""
        self._panel.pupil.mark_seen(None)
        self._panel.pupil.set_lit(None)
        self._panel.expect(frames=True)

    def scan_ended(self) -> None:
        """The live image goes on by itself."""
        self._panel.pupil.set_lit(self._panel.chosen_light() if self._wanted else None)
        self._panel.expect(frames=self._wanted)

    def _start(self) -> None:
        brightness_l = self._panel.chosen_light()
        self._service.start_live(self._panel.exposure.value(), brightness_l)
        self._panel.pupil.set_lit(brightness_l)
        self._panel.expect(frames=True)

    def _light(self, brightness_l: NDArray[np.float32]) -> None:
        self._service.set_light(brightness_l)
        if self._wanted and not self._service.scanning:
            self._panel.pupil.set_lit(brightness_l)

    def _show_picture(self) -> None:
        picture = self._service.pictures.fetch()
        if picture is not None and self._connected:
            self._panel.show_picture(picture)
            self._spectrum.offer(picture.image_yx, picture.brightness_l)
