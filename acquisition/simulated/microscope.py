"""The simulated microscope: an emulated LED board, and what its light shows of a phantom on the real camera's time.

The program drives it as it drives a real one: the board answers on a serial port, the camera is Micro-Manager's
DemoCamera with its exposure, region of interest and read-out. Only the pixels are replaced, by

    counts = sensor( dust * sum_l  light_l(exposure) * gain_l * shade_l * image_l )

with light_l the mean light of LED l between start and end of this very exposure (so a frame taken too early is as wrong
as it would be at the bench), gain_l the LED's own brightness error, image_l the phantom in the light of the LED's
true direction, and shade_l and dust what makes a real field uneven (`acquisition.simulated.uneven_field`).

The phantom lies on Micro-Manager's stages: at z of the focus drive it is raised by z along the light, and the xy stage
carries it along x and y, to whole pixels; what leaves the field of view on one side comes back on the other.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.capture import Optics, Truth
from acquisition.errors import OperatorError
from acquisition.leds import led_na, led_positions_mm
from acquisition.simulated.boards import make_board
from acquisition.simulated.bodies import volume_zyx
from acquisition.simulated.camera import SimulatedCamera
from acquisition.simulated.optics import AngledImager
from acquisition.simulated.phantoms import make_phantom
from acquisition.simulated.sensor import Sensor
from acquisition.simulated.transport import EmulatedPort
from acquisition.simulated.uneven_field import UnevenField

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.profile import Profile, SimulationSettings

_log = logging.getLogger(__name__)

_READ_OUT_STEP_UM = 0.5
_OFF_AXIS_SEED, _NOISE_SEED = 1, 2  # streams of the one seed in the profile


def truth_planes(z_um: tuple[float, float]) -> int:
    """Number of planes of the truth between two depths."""
    return max(2, round((z_um[1] - z_um[0]) / _READ_OUT_STEP_UM))


class SimulatedMicroscope:
    """Everything behind the cables of a simulated profile.

    Parameters
    ----------
    profile
        With a table [simulation].

    Attributes
    ----------
    board
        The emulated board; faults are injected here.
    led_na_l2
        (L, 2) where the LEDs really are.
    led_gain_l
        (L,) how bright they really are.
    """

    def __init__(self, profile: Profile, settings: SimulationSettings, optics: Optics) -> None:
        self._profile = profile
        self._settings = settings
        self._optics = optics
        nominal_l3 = led_positions_mm(profile.led_board.geometry)
        self.board = make_board(profile.led_board, nominal_l3, profile.illumination.wavelength_um)
        wrong = {led for leds in (settings.dead_leds, *settings.swapped_leds) for led in leds if led >= len(nominal_l3)}
        if wrong:
            raise OperatorError(
                f"The simulated board has no LED {min(wrong)}: it has {len(nominal_l3)}, numbered from 0.",
                "Correct simulation.dead_leds and simulation.swapped_leds in the profile.",
            )
        self.board.miswire(settings.dead_leds, settings.swapped_leds)
        orientation = profile.led_board.orientation
        shift_x, shift_y = orientation.shift_mm
        misplaced = orientation.model_copy(
            update={
                "rotation_deg": orientation.rotation_deg + settings.board_rotation_deg,
                "shift_mm": (shift_x + settings.board_shift_mm[0], shift_y + settings.board_shift_mm[1]),
            }
        )
        self.led_na_l2 = led_na(nominal_l3 * [1.0, 1.0, settings.distance_scale], misplaced)
        spread = np.random.default_rng([settings.seed, _OFF_AXIS_SEED]).standard_normal(len(nominal_l3))
        self.led_gain_l = (1 + settings.led_gain_sigma * spread).astype(np.float32)
        self._rng = np.random.default_rng([settings.seed, _NOISE_SEED])
        self._sensor = Sensor(
            offset_counts=profile.camera.offset_counts,
            gain_e_per_count=profile.camera.gain_e_per_count or 1.0,
            bit_depth=profile.camera.bit_depth,
            full_well_e=settings.full_well_e,
            read_noise_e=settings.read_noise_e,
        )
        self._field = UnevenField(
            self.sensor_shape, optics.objective_na, settings.shading, settings.dust, settings.seed
        )
        self._port = EmulatedPort(self.board)
        # Slicing the phantom takes seconds: it goes on while the camera is opened.
        self._background = ThreadPoolExecutor(1, thread_name_prefix="phantom")
        self._imager = self._background.submit(self._make_imager)
        self._camera: SimulatedCamera | None = None
        self._core: Any = None

    @property
    def port(self) -> str:
        """Serial port on which the board answers."""
        return self._port.port

    @property
    def sensor_shape(self) -> tuple[int, int]:
        """Rows and columns of the whole sensor."""
        return (self._settings.image_px, self._settings.image_px)

    @cached_property
    def _phantom(self) -> Any:
        height_um, width_um = (side * self._optics.pixel_um for side in self.sensor_shape)
        return make_phantom(
            self._settings.phantom,
            self._settings.seed,
            self._settings.dn_max,
            (width_um, height_um),
            self._profile.sample.z_um,
        )

    def _make_imager(self) -> AngledImager:
        started = time.perf_counter()
        imager = AngledImager.of_phantom(self._phantom, self._optics, self.sensor_shape, self._profile.sample.z_um)
        _log.debug("phantom sliced in %.1f s", time.perf_counter() - started)
        return imager

    def install(self, core: Any, camera: str) -> None:
        """Make the core's camera see this microscope; called once, on the core's thread, before settings are made."""
        self._core = core
        core.set_property(camera, "FastImage", "1")
        binning = self._profile.camera.binning
        core.set_property(camera, "OnCameraCCDXSize", str(self.sensor_shape[1] * binning))
        core.set_property(camera, "OnCameraCCDYSize", str(self.sensor_shape[0] * binning))
        core.set_pixel_size_um(core.get_current_pixel_size_config(), self._optics.pixel_um / binning)
        core.get_image_bit_depth = lambda: self._sensor.bit_depth
        board: Any = self.board  # the two cables between camera and board, where it has sockets for them
        trigger_in = getattr(board, "trigger", None) if self._profile.camera.trigger.exposure_out else None
        exposure_out = trigger_in or (lambda exposure_s: None)
        self._camera = SimulatedCamera(core, camera, self.light, self.counts, exposure_out)
        board.on_trigger_out = self._camera.trigger

    def light(self, start_s: float, end_s: float) -> NDArray[np.float32]:
        """Mean light (L,) of each LED between two times of the board's clock, its own brightness error included."""
        return self.board.mean_brightness(start_s, end_s) * self.led_gain_l

    def counts(self, light_l: NDArray[np.float32], exposure_s: float) -> NDArray[np.uint16]:
        """Counts (H, W) of the whole sensor after so long an exposure in this light; on the core's thread."""
        electrons_yx = np.zeros(self.sensor_shape, np.float32)
        columns, rows, z_um = self.place()
        for led in np.flatnonzero(light_l > 1e-6):
            na = self.led_na_l2[led]
            electrons_yx += light_l[led] * self._field.shade(na) * self._imager.result().intensity(na, z_um)
        if rows or columns:
            electrons_yx = np.roll(electrons_yx, (rows, columns), (0, 1))
        electrons_yx *= self._field.dust_yx
        electrons_yx *= np.float32(self._settings.electrons * exposure_s * 1000 / self._profile.plan.exposure_ms)
        return self._sensor.expose(electrons_yx, self._rng)

    def place(self) -> tuple[int, int, float]:
        """Where the stages have carried the phantom: columns, rows, and z in micrometres; on the core's thread."""
        if self._core is None:
            return 0, 0, 0.0
        stage, core = self._profile.stage, self._core
        z_device = stage.z_device or core.get_focus_device()
        xy_device = stage.xy_device or core.get_xy_stage_device()
        z_um = float(core.get_position(z_device)) if z_device else 0.0
        x_um, y_um = (core.get_x_position(xy_device), core.get_y_position(xy_device)) if xy_device else (0.0, 0.0)
        return round(x_um / self._optics.pixel_um), round(y_um / self._optics.pixel_um), z_um

    @cached_property
    def _index(self) -> tuple[NDArray[np.float64], NDArray[np.complex64]]:
        """Planes (Z,) of the truth about half a micrometre apart, and index change (Z, H, W), with the stages at 0."""
        top, bottom = self._profile.sample.z_um
        edges_um = np.linspace(top, bottom, truth_planes(self._profile.sample.z_um) + 1)
        z_um = 0.5 * (edges_um[:-1] + edges_um[1:])
        return z_um, volume_zyx(self._phantom, z_um, self.sensor_shape, self._optics.pixel_um)

    def truth(self, columns: int = 0, rows: int = 0, z_um: float = 0.0) -> Truth:
        """What sample and board really are on the camera's pixels, with the sample where `place` says."""
        home_um, index_zyx = self._index
        x, y, width, height = self._profile.camera.roi or (0, 0, *self.sensor_shape[::-1])
        index_zyx = np.roll(index_zyx, (rows, columns), (1, 2))[:, y : y + height, x : x + width]
        kappa_zyx = np.ascontiguousarray(index_zyx.imag)
        return Truth(
            dn_zyx=np.ascontiguousarray(index_zyx.real),
            kappa_zyx=kappa_zyx if kappa_zyx.any() else None,
            z_um=home_um + z_um,
            led_na_l2=self.led_na_l2,
        )

    def close(self) -> None:
        """Take the board from its port, and end the camera's sequence."""
        if self._camera is not None:
            self._camera.stop()
            # It and the board refer back to here: without this the sliced phantom, some hundred megabytes, would stay
            # until the next full garbage collection, and a window sees one in hours.
            self._camera = None
            self.board.on_trigger_out = lambda time_s: None
        self._port.close()
        self._background.shutdown(wait=False, cancel_futures=True)
