"""Codes that several pipelines say their findings with; a pipeline's own stand beside it."""

from inference.coding import Code

SCHEME = "99OPNODE"
"""Of concepts that no public scheme has."""

LUNG = Code("39607008", "SCT", "Lung")
RIGHT_LUNG = Code("3341006", "SCT", "Right lung")
LEFT_LUNG = Code("44029006", "SCT", "Left lung")
"""Sites whose meaning names the side, as viewers show the meaning alone."""
RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")
BILATERAL = Code("51440002", "SCT", "Bilateral")
"""CID 244 Laterality, the three."""

ANATOMICAL = Code("91723000", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
"""CID 7150 Segmentation Property Categories, both."""
OPACITY = Code("112001", "DCM", "Opacity")
OPACITY_SHARE = Code("OPSHARE", SCHEME, "Opacity, share of lung")

PERCENT = Code("%", "UCUM", "%")
SLICES_USED = Code("SLICESUSED", SCHEME, "Slices of 5 mm used")
"""Of `inference.resampled_ct`."""

NO_UNITS = Code("1", "UCUM", "no units")
