"""Our equipment and the algorithm, in every place where an object names them; all agree.

References
----------
PS3.3 C.7.5.2 Enhanced General Equipment, C.12.1 Contributing Equipment Sequence; PS3.16 TID 1004, TID 4019.
IHE AI Results, Evidence Creator.
"""

from highdicom import AlgorithmIdentificationSequence
from highdicom.sr import AlgorithmIdentification, CodedConcept, DeviceObserverIdentifyingAttributes
from pydicom.dataset import Dataset

from dicom_out import codes
from dicom_out.coded import code_item, concept
from dicom_out.context import Run
from dicom_out.product import MANUFACTURER, RESEARCH_NOTICE
from dicom_out.uids import WRITER_VERSION
from inference.findings import Algorithm

_LONG_STRING = 64


def model_name(algorithm: Algorithm) -> str:
    """Return Manufacturer's Model Name (0008,1090)."""
    return algorithm.name[:_LONG_STRING]


def software_versions(algorithm: Algorithm) -> tuple[str, str]:
    """Return Software Versions (0018,1020): of the model, of the writers."""
    return algorithm.version[:_LONG_STRING], f"{MANUFACTURER} {WRITER_VERSION}"


def serial_number(run: Run) -> str:
    """Return Device Serial Number (0018,1000): the hash of the weights, else the Device UID."""
    return (run.algorithm.weights_sha256 or run.device_uid)[:_LONG_STRING]


def set_equipment(dataset: Dataset, run: Run) -> None:
    """Set the General Equipment module and the one item of Contributing Equipment Sequence (0018,A001)."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(codes.PROCESSING_EQUIPMENT)]
    item.ContributionDescription = RESEARCH_NOTICE
    for target in (dataset, item):
        target.Manufacturer = MANUFACTURER
        target.ManufacturerModelName = model_name(run.algorithm)
        target.SoftwareVersions = list(software_versions(run.algorithm))
        target.DeviceSerialNumber = serial_number(run)
    item.DeviceUID = run.device_uid
    dataset.ContributingEquipmentSequence = [item]


def device_observer(run: Run) -> DeviceObserverIdentifyingAttributes:
    """Return TID 1004, equal to the Contributing Equipment."""
    return DeviceObserverIdentifyingAttributes(
        uid=run.device_uid,
        name=model_name(run.algorithm),
        manufacturer_name=MANUFACTURER,
        model_name=model_name(run.algorithm),
        serial_number=serial_number(run),
    )


def algorithm_identification(algorithm: Algorithm) -> AlgorithmIdentification:
    """Return TID 4019 for one group of a report."""
    return AlgorithmIdentification(
        name=model_name(algorithm),
        version=algorithm.version,
        family=_family(algorithm),
        parameters=_parameters(algorithm) or None,
        manufacturer=MANUFACTURER,
    )


def segmentation_algorithm(algorithm: Algorithm) -> AlgorithmIdentificationSequence:
    """Return Segmentation Algorithm Identification Sequence (0062,0007)."""
    return AlgorithmIdentificationSequence(
        name=model_name(algorithm),
        family=_family(algorithm),
        version=algorithm.version[:_LONG_STRING],
        source=MANUFACTURER,
        parameters=dict(algorithm.parameters) or None,
    )


def _family(algorithm: Algorithm) -> CodedConcept:
    return concept(codes.ARTIFICIAL_INTELLIGENCE if algorithm.weights_sha256 else codes.HISTOGRAM_ANALYSIS)


def _parameters(algorithm: Algorithm) -> list[str]:
    weights = [f"weights sha256={algorithm.weights_sha256}"] if algorithm.weights_sha256 else []
    said = {**algorithm.parameters, **algorithm.decisions}
    return weights + [f"{name}={value}" for name, value in said.items()]
