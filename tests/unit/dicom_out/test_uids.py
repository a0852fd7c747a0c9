from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_out import uids
from dicom_out.context import ResultContext, ResultKind, Run
from tests.factories import STUDY, algorithm

texts = st.text(max_size=30)


def a_run(study=STUDY, context=None, **changes):
    source = Dataset()
    source.StudyInstanceUID = study
    values = {"pipeline": "p", "selection_hash": "00", "created_at": datetime(2026, 1, 1, tzinfo=UTC)}
    job = ResultContext(**{**values, **(context or {})})
    return Run(source=source, demographics=source, context=job, algorithm=algorithm(**changes))


@given(parts=st.lists(texts, max_size=6))
def test_a_derived_uid_is_valid_and_at_most_64_characters(parts):
    uid = uids.derived_uid(*parts)
    assert uid.is_valid
    assert len(uid) <= 64
    assert uid == uids.derived_uid(*parts)


@given(one=st.lists(texts, max_size=5), other=st.lists(texts, max_size=5))
def test_different_parts_make_different_uids(one, other):
    assert (uids.derived_uid(*one) == uids.derived_uid(*other)) == (one == other)


@given(parameters=st.dictionaries(texts, texts, max_size=5), seed=st.randoms())
def test_the_order_of_parameters_does_not_matter(parameters, seed):
    shuffled = list(parameters.items())
    seed.shuffle(shuffled)
    one, other = algorithm(parameters=parameters), algorithm(parameters=dict(shuffled))
    assert uids.parameters_hash(one) == uids.parameters_hash(other)


@settings(max_examples=50)
@given(one=st.dictionaries(texts, texts, max_size=4), other=st.dictionaries(texts, texts, max_size=4))
def test_different_parameters_make_different_devices(one, other):
    first, second = (uids.device_uid("p", algorithm(parameters=p)) for p in (one, other))
    assert (first == second) == (one == other)


def test_what_was_decided_on_an_image_makes_no_other_model():
    one, other = algorithm(), algorithm(decisions={"classifier": "0.9 >= 0.8"})
    assert uids.device_uid("p", one) == uids.device_uid("p", other)


@pytest.mark.parametrize(
    "other",
    [
        a_run(study="1.2.3"),
        a_run(context={"selection_hash": "01"}),
        a_run(context={"pipeline": "q"}),
        a_run(context={"revision": 2}),
        a_run(context={"created_at": datetime(2027, 1, 1, tzinfo=UTC)}),  # a job made anew after a lost database
        a_run(version="1.2.1"),
        a_run(weights_sha256="cd" * 32),
        a_run(weights_sha256=None),
        a_run(parameters={"threshold_hu": "-500", "closing_mm": "5"}),
    ],
)
def test_objects_of_different_runs_have_different_uids(other):
    run = a_run()
    for kind in ResultKind:
        assert run.series_uid(kind, 1) != other.series_uid(kind, 1)
        assert run.instance_uid(kind, 1) != other.instance_uid(kind, 1)


def test_another_writer_version_makes_other_objects(monkeypatch):
    before = a_run().instance_uid(ResultKind.SR, 1)
    monkeypatch.setattr(uids, "WRITER_VERSION", "next")
    assert a_run().instance_uid(ResultKind.SR, 1) != before


def test_all_uids_of_one_run_differ():
    run = a_run()
    made = [run.device_uid, *(run.series_uid(kind, index) for kind in ResultKind for index in (1, 2))]
    made += [run.instance_uid(kind, index) for kind in ResultKind for index in (1, 2, 11)]
    made += [run.instance_uid(ResultKind.SEG, 1, "dimension organization")]
    assert len(set(made)) == len(made)
    assert all(UID(uid).is_valid for uid in made)


def test_the_device_changes_with_the_model_and_not_with_the_study():
    assert a_run().device_uid == a_run(study="1.2.3").device_uid
    for changed in ({"version": "2"}, {"weights_sha256": "cd" * 32}, {"name": "other"}, {"parameters": {}}):
        assert a_run().device_uid != a_run(**changed).device_uid


def test_a_tracking_uid_persists_from_run_to_run_and_differs_between_labels_and_studies():
    right = uids.tracking_uid(STUDY, "right lung")
    assert right == uids.tracking_uid(STUDY, "right lung")
    assert len({right, uids.tracking_uid(STUDY, "left lung"), uids.tracking_uid("1.2.3", "right lung")}) == 3
