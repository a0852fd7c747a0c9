"""Every code that the writers add by themselves; those of findings come with the findings."""

from inference.coding import Code

PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
"""CID 7005 Contributing Equipment Purpose of Reference."""

ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
"""CID 7162 Surface Processing Algorithm Family, as TID 4019 uses it: algorithms with learned weights."""

HISTOGRAM_ANALYSIS = Code("123103", "DCM", "Histogram Analysis")
"""CID 7162: algorithms without weights, which judge by thresholds."""

CT_CHEST = Code("24627-2", "LN", "CT Chest")
"""Procedure reported (121058, DCM), TID 1500 row 4, CID 100, where the source names no procedure."""

XR_CHEST = Code("36554-4", "LN", "XR Chest Single view")
"""Procedure reported where a radiograph names none."""

LUNG = Code("39607008", "SCT", "Lung")
"""Finding site of the whole series. CID 6112 and 4031."""

CERTAINTY_OF_FINDING = Code("111012", "DCM", "Certainty of Finding")
"""Confidence of a category. CID 6048 and TID 4108."""

PERCENT = Code("%", "UCUM", "Percent")
"""CID 7181."""

COMMENT = Code("121106", "DCM", "Comment")
"""Warnings and the research notice, a TEXT in TID 1501."""

SOURCE_IMAGE = Code("121322", "DCM", "Source Image for Image Processing Operation")
"""CID 7202 Source Image Purpose of Reference."""

QUANTITY = Code("246205007", "SCT", "Quantity")
"""Concept of Quantity Definition Sequence (0040,9220). PS3.3 C.7.6.16-12b."""

CHEST = Code("51185008", "SCT", "Chest")
"""Anatomic region of a map. CID 4031."""

SPATIAL_RESAMPLING = Code("113085", "DCM", "Spatial resampling")
"""How a map came from its images. CID 7203."""
