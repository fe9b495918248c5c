"""The empty field that a plan names (`plan.reference`), for the scan that is to have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acquisition.capture import MatchedReference, match_reference, read_reference

if TYPE_CHECKING:
    from acquisition.capture import CaptureHeader
    from acquisition.plan import ExposurePlan
    from acquisition.profile_plan import PlanSettings

NO_REFERENCE = "none"


def check_reference(settings: PlanSettings) -> None:
    """Refuse a reference that is missing or none, before the devices are opened; errors as `read_reference`."""
    if settings.reference is not None and settings.reference != NO_REFERENCE:
        read_reference(settings.reference)


def reference_for(settings: PlanSettings, plan: ExposurePlan, header: CaptureHeader) -> MatchedReference | None:
    """The reference that the settings name, matched to the capture it is to get into; None: they name none.

    Raises
    ------
    CaptureError, ReferenceCaptureError
        It cannot be read, or does not fit.
    """
    if settings.reference is None or settings.reference == NO_REFERENCE:
        return None
    return match_reference(
        read_reference(settings.reference),
        header,
        plan.exposure_ms_p,
        plan.dark_count > 0,
        plan.main_exposure_ms,
        settings.reference_max_age_h,
    )
