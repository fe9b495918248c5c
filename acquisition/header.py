"""From profile and plan to the head of a capture file: what every acquisition and every import has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acquisition.capture_records import CaptureHeader, Optics
from acquisition.leds import led_na

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from acquisition.plan import ExposurePlan
    from acquisition.profile import Profile


def optics_of(profile: Profile) -> Optics:
    """Return the optics as the capture file stores them; the camera pixel is the binned one."""
    return Optics(
        wavelength_um=profile.illumination.wavelength_um,
        objective_na=profile.objective.na,
        magnification=profile.objective.magnification,
        camera_pixel_um=profile.camera.pixel_um * profile.camera.binning,
        pixel_um=profile.pixel_um,
        medium_index=profile.sample.medium_index,
        camera_offset=profile.camera.offset_counts,
        camera_gain_e=profile.camera.gain_e_per_count,
        bit_depth=profile.camera.bit_depth,
    )


def make_header(
    profile: Profile,
    plan: ExposurePlan,
    led_position_mm_l3: NDArray[np.float64],
    image_shape: tuple[int, int],
    title: str = "",
    sample: str = "",
    operator: str = "",
) -> CaptureHeader:
    """Collect what is known before the first frame; `led_position_mm_l3` (L, 3) in the board frame."""
    return CaptureHeader(
        optics=optics_of(profile),
        led_position_mm_l3=led_position_mm_l3,
        led_na_l2=led_na(led_position_mm_l3, profile.led_board.orientation),
        patterns_pl=plan.patterns_pl,
        image_shape=image_shape,
        profile_toml=profile.toml_text,
        title=title or profile.title,
        sample=sample,
        operator=operator,
        sample_z_um=profile.sample.z_um,
    )
