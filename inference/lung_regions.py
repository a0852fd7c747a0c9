"""Both lungs of a resampled chest CT as regions of the images it came from, with their volumes."""

from inference.codes import ANATOMICAL, BILATERAL, LEFT, LEFT_LUNG, LUNG, RIGHT, RIGHT_LUNG
from inference.coding import Code
from inference.findings import Measurement, Purpose, Region, Site
from inference.resampled_ct import ResampledCT

VOLUME = Code("118565006", "SCT", "Volume")
_ML = Code("mL", "UCUM", "mL")
BOTH_LUNGS = Site(location=LUNG, laterality=BILATERAL)
_SIDES = (
    ("right lung", Site(location=RIGHT_LUNG, laterality=RIGHT)),
    ("left lung", Site(location=LEFT_LUNG, laterality=LEFT)),
)


def lung_regions(ct: ResampledCT) -> tuple[Region, Region]:
    """Return right and left lung; a lung that was not found is empty."""
    voxel_ml = ct.source_geometry.voxel_volume_ml
    masks = ct.lungs_to_source(ct.labels)
    right, left = (
        Region(
            label=label,
            purpose=Purpose.LUNGS,
            property_category=ANATOMICAL,
            property_type=LUNG,
            mask=mask,
            site=site,
            measurements=(Measurement(concept=VOLUME, value=float(mask.sum()) * voxel_ml, unit=_ML),),
        )
        for (label, site), mask in zip(_SIDES, masks, strict=True)
    )
    return right, left


def total_volume(lungs: tuple[Region, Region]) -> Measurement:
    """Return the volume of both."""
    value = sum(region.measurements[0].value for region in lungs)
    return Measurement(concept=VOLUME, value=value, unit=_ML, site=BOTH_LUNGS)
