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
