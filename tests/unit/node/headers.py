"""Instance headers as real scanners write them, for tests of selection."""

from node.header import InstanceHeader

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


def axial(series: str = "1.1", *, count: int = 60, step: float = 5.0, **changes) -> list[InstanceHeader]:
    values = {
        "sop_class_uid": CT_IMAGE,
        "series_instance_uid": series,
        "modality": "CT",
        "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
        "series_number": 2,
        "series_description": "chest",
        "acquisition_number": 1,
        "rows": 512,
        "columns": 512,
        "pixel_spacing": (0.7, 0.7),
        "slice_thickness": step,
        "convolution_kernel": "B30f",
        "image_orientation_patient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    } | changes
    start = values.pop("start", 0.0)
    return [
        InstanceHeader(
            **{
                "sop_instance_uid": f"{series}.{n}",
                "instance_number": n + 1,
                "image_position_patient": (0.0, 0.0, start + n * step),
            }
            | values
        )
        for n in range(count)
    ]


DX_IMAGE = "1.2.840.10008.5.1.4.1.1.1.1"
DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
CR_IMAGE = "1.2.840.10008.5.1.4.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def xray(uid: str = "2.1.1", **changes) -> InstanceHeader:
    """Return the header of a PA chest image; its series is its UID without the last part."""
    values = {
        "sop_class_uid": DX_IMAGE,
        "sop_instance_uid": uid,
        "series_instance_uid": uid.rpartition(".")[0],
        "modality": "DX",
        "image_type": ("ORIGINAL", "PRIMARY", ""),
        "series_number": 1,
        "series_description": "chest",
        "body_part_examined": "CHEST",
        "view_position": "PA",
        "instance_number": 1,
        "rows": 2048,
        "columns": 2048,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "presentation_intent_type": "FOR PRESENTATION",
    }
    return InstanceHeader(**(values | changes))


def lateral(uid: str = "2.2.1", **changes) -> InstanceHeader:
    values = {"view_position": "LL", "series_number": 2, "patient_orientation": ("P", "F")}
    return xray(uid, **(values | changes))


def for_processing(uid: str = "2.3.1", **changes) -> InstanceHeader:
    values = {"sop_class_uid": DX_FOR_PROCESSING, "presentation_intent_type": "FOR PROCESSING", "series_number": 3}
    return xray(uid, **(values | changes))
