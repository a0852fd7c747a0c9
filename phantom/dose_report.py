"""A small CT dose report, as scanners send it with the images: an object that is no image and has no geometry.

References
----------
PS3.3 A.35.8 X-Ray Radiation Dose SR IOD; PS3.16 TID 10011 CT Radiation Dose, TID 10012, TID 10013.
"""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.sr.coding import Code
from pydicom.uid import XRayRadiationDoseSRStorage, generate_uid

_MGY = Code("mGy", "UCUM", "mGy")
_MGYCM = Code("mGy.cm", "UCUM", "mGy.cm")


def make_dose_report(
    study_instance_uid: str, *, ct_dose_index_mgy: float = 6.4, dose_length_product_mgycm: float = 185.0
) -> Dataset:
    """Make the SR content and its own modules; patient, study and series are the caller's to add.

    Parameters
    ----------
    study_instance_uid : str
        Over which dose was accumulated.
    ct_dose_index_mgy : float
        Mean CTDIvol of the one acquisition, in mGy.
    dose_length_product_mgycm : float
        In mGy.cm.
    """
    report = _container(
        Code("113701", "DCM", "X-Ray Radiation Dose Report"),
        [
            *_what_was_done(study_instance_uid),
            _accumulated(dose_length_product_mgycm),
            _acquisition(ct_dose_index_mgy, dose_length_product_mgycm),
            _code(
                "CONTAINS",
                Code("113854", "DCM", "Source of Dose Information"),
                Code("113856", "DCM", "Automated Data Collection"),
            ),
        ],
    )
    del report.RelationshipType
    report.SOPClassUID = XRayRadiationDoseSRStorage
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.ReferencedPerformedProcedureStepSequence = Items()
    report.PerformedProcedureCodeSequence = Items()
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "10011"
    report.ContentTemplateSequence = Items([template])
    return report


def _what_was_done(study_instance_uid: str) -> list[Dataset]:
    procedure = _code(
        "HAS CONCEPT MOD",
        Code("121058", "DCM", "Procedure reported"),
        Code("77477000", "SCT", "Computed Tomography X-Ray"),
    )
    intent = _code(
        "HAS CONCEPT MOD", Code("363703001", "SCT", "Has Intent"), Code("261004008", "SCT", "Diagnostic Intent")
    )
    procedure.ContentSequence = Items([intent])
    observer = _code("HAS OBS CONTEXT", Code("121005", "DCM", "Observer Type"), Code("121007", "DCM", "Device"))
    device = _uid(
        "HAS OBS CONTEXT", Code("121012", "DCM", "Device Observer UID"), generate_uid(entropy_srcs=["phantom scanner"])
    )
    scope = _code("HAS OBS CONTEXT", Code("113705", "DCM", "Scope of Accumulation"), Code("113014", "DCM", "Study"))
    study = _uid("HAS PROPERTIES", Code("110180", "DCM", "Study Instance UID"), study_instance_uid)
    scope.ContentSequence = Items([study])
    return [procedure, observer, device, scope]


def _accumulated(dose_length_product_mgycm: float) -> Dataset:
    return _container(
        Code("113811", "DCM", "CT Accumulated Dose Data"),
        [
            _number(Code("113812", "DCM", "Total Number of Irradiation Events"), 1, Code("{events}", "UCUM", "events")),
            _number(Code("113813", "DCM", "CT Dose Length Product Total"), dose_length_product_mgycm, _MGYCM),
        ],
    )


def _acquisition(ct_dose_index_mgy: float, dose_length_product_mgycm: float) -> Dataset:
    dose = _container(
        Code("113829", "DCM", "CT Dose"),
        [
            _number(Code("113830", "DCM", "Mean CTDIvol"), ct_dose_index_mgy, _MGY),
            _number(Code("113838", "DCM", "DLP"), dose_length_product_mgycm, _MGYCM),
        ],
    )
    return _container(
        Code("113819", "DCM", "CT Acquisition"),
        [
            _code("CONTAINS", Code("123014", "DCM", "Target Region"), Code("51185008", "SCT", "Chest")),
            _code(
                "CONTAINS",
                Code("113820", "DCM", "CT Acquisition Type"),
                Code("116152004", "SCT", "Spiral Acquisition"),
            ),
            _uid("CONTAINS", Code("113769", "DCM", "Irradiation Event UID"), generate_uid(entropy_srcs=["event"])),
            dose,
        ],
    )


def _item(relationship: str, value_type: str, concept: Code) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, value_type
    item.ConceptNameCodeSequence = Items([_coded(concept)])
    return item


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _container(concept: Code, content: Sequence[Dataset]) -> Dataset:
    item = _item("CONTAINS", "CONTAINER", concept)
    item.ContinuityOfContent = "SEPARATE"
    item.ContentSequence = Items(content)
    return item


def _code(relationship: str, concept: Code, value: Code) -> Dataset:
    item = _item(relationship, "CODE", concept)
    item.ConceptCodeSequence = Items([_coded(value)])
    return item


def _uid(relationship: str, concept: Code, value: str) -> Dataset:
    item = _item(relationship, "UIDREF", concept)
    item.UID = value
    return item


def _number(concept: Code, value: float, unit: Code) -> Dataset:
    item = _item("CONTAINS", "NUM", concept)
    measured = Dataset()
    measured.NumericValue = f"{value:g}"
    measured.MeasurementUnitsCodeSequence = Items([_coded(unit)])
    item.MeasuredValueSequence = Items([measured])
    return item
