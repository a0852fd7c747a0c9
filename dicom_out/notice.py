"""A refusal as a DICOM object: a short report in the study that says which pipeline did not run, why, and what to do.

An Enhanced SR, as it needs text and few codes and every PACS takes it. No template of PS3.16 is a report on an analysis
that did not take place; title and status are those that the CAD templates (TID 4000, TID 4100) use for it.

References
----------
PS3.3 A.35.2 Enhanced SR IOD. PS3.16 CID 6042 Status of Results, TID 1002 Observer Context.
"""

from collections.abc import Iterable, Sequence

from highdicom import sr as hd
from highdicom.sr import RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code

from dicom_out import codes
from dicom_out.build import ResultObject
from dicom_out.coded import concept
from dicom_out.context import ResultContext, ResultKind, Run
from dicom_out.equipment import device_observer
from dicom_out.plain import plain
from dicom_out.product import MANUFACTURER, RESEARCH_NOTICE
from dicom_out.study import bare_reference, stamp
from inference.card import ModelCard
from inference.findings import Algorithm, Refusal

_CONTAINS = RelationshipTypeValues.CONTAINS
_EARLIER = "An earlier report of this study was made before its newest images came."


def notice(
    refusal: Refusal,
    sources: Sequence[Dataset],
    context: ResultContext,
    card: ModelCard,
    *,
    demographics: Dataset | None = None,
) -> ResultObject:
    """Write what a refusal tells the destinations.

    Parameters
    ----------
    refusal : Refusal
        Why the pipeline did not run, and what a person can do.
    sources : sequence of Dataset
        Headers of the images that it was to run on, in order; at least one.
    context : ResultContext
        The job.
    card : ModelCard
        Of the pipeline. Its weights do not matter, as none were used.
    demographics : Dataset or None
        Header of the source instance whose patient and study attributes are right; None takes the first.

    Returns
    -------
    ResultObject
        The only object of its job.
    """
    algorithm = Algorithm(name=card.name, version=card.version)
    run = Run(source=sources[0], demographics=demographics or sources[0], context=context, algorithm=algorithm)
    dataset = hd.EnhancedSR(
        evidence=[bare_reference(source) for source in sources],
        content=_content(refusal, sources, card, run),
        series_instance_uid=run.series_uid(ResultKind.NOTICE, 1),
        series_number=1,
        sop_instance_uid=run.instance_uid(ResultKind.NOTICE, 1),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=True,
        is_verified=False,
    )
    stamp(dataset, run, ResultKind.NOTICE, 1, context.series_description(f"notice: {card.name} did not run"))
    return ResultObject(kind=ResultKind.NOTICE, index=1, dataset=dataset)


def _content(refusal: Refusal, sources: Sequence[Dataset], card: ModelCard, run: Run) -> Dataset:
    root = hd.ContainerContentItem(name=dictionary.DCM.SummaryOfAnalyses)
    observer = hd.ObserverContext(
        observer_type=dictionary.DCM.Device, observer_identifying_attributes=device_observer(run)
    )
    root.ContentSequence = hd.ContentSequence(
        [*observer, _status(card), *_texts(refusal, card, run), *_images(sources)], is_root=False
    )
    return root


def _status(card: ModelCard) -> hd.CodeContentItem:
    status = hd.CodeContentItem(
        name=dictionary.DCM.SummaryOfAnalyses, value=dictionary.DCM.NotAttempted, relationship_type=_CONTAINS
    )
    status.ContentSequence = hd.ContentSequence(
        [
            hd.TextContentItem(name=name, value=plain(value), relationship_type=RelationshipTypeValues.HAS_PROPERTIES)
            for name, value in (
                (dictionary.DCM.AlgorithmName, card.name),
                (dictionary.DCM.AlgorithmVersion, card.version),
            )
        ]
    )
    return status


def _texts(refusal: Refusal, card: ModelCard, run: Run) -> Iterable[hd.TextContentItem]:
    """Yield what a person reads, in the order of reading."""
    conclusion = f"{card.name} {card.version} did not run on these images and measured nothing. {refusal.reason}"
    yield _text(dictionary.DCM.Conclusion, conclusion)
    if refusal.remedy:
        yield _text(dictionary.DCM.Recommendation, refusal.remedy)
    if run.context.predecessors:
        yield _text(concept(codes.COMMENT), _EARLIER)
    yield _text(concept(codes.COMMENT), f"{RESEARCH_NOTICE}. Not reviewed by a person.")


def _text(name: Code | hd.CodedConcept, value: str) -> hd.TextContentItem:
    return hd.TextContentItem(name=name, value=plain(value), relationship_type=_CONTAINS)


def _images(sources: Sequence[Dataset]) -> Iterable[hd.ContentItem]:
    """Yield the series, and one image of its middle to look at; the evidence lists all."""
    middle = sources[len(sources) // 2]
    yield hd.UIDRefContentItem(
        name=dictionary.DCM.SeriesInstanceUID, value=str(middle.SeriesInstanceUID), relationship_type=_CONTAINS
    )
    yield hd.ImageContentItem(
        name=dictionary.DCM.SourceImage,
        referenced_sop_class_uid=str(middle.SOPClassUID),
        referenced_sop_instance_uid=str(middle.SOPInstanceUID),
        relationship_type=_CONTAINS,
    )
