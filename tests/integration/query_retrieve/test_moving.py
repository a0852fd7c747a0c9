"""C-MOVE to destinations of the configuration, by DCMTK and Orthanc; and who may ask at all."""

import re

from pydicom.uid import (
    JPEGLosslessSV1,
)

from tests import peers
from tests.factories import STUDY
from tests.holdings import AE_TITLE, XRAY_STUDY
from tests.integration.query_retrieve.conftest import FIND, MOVE, RESULTS, SCOUT, SLICES, identifier


def test_movescu_moves_a_study_to_a_destination(holdings, storescp):
    done = peers.movescu(
        holdings.peer.host,
        holdings.peer.port,
        AE_TITLE,
        storescp.ae_title,
        {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY},
    )
    assert re.search(r"Completed Suboperations\s*: 6", done.stdout), done.stdout
    assert {d.SOPInstanceUID for d in storescp.datasets()} == SLICES | {SCOUT} | RESULTS
    peers.movescu(
        holdings.peer.host,
        holdings.peer.port,
        AE_TITLE,
        storescp.ae_title,
        {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": XRAY_STUDY},
    )
    (image,) = [d for d in storescp.datasets() if d.StudyInstanceUID == XRAY_STUDY]
    assert image.file_meta.TransferSyntaxUID == JPEGLosslessSV1


def move(associate, destination, keys):
    *_, (last, listed) = associate(MOVE).send_c_move(keys, destination, MOVE)
    return last, listed


def test_only_destinations_of_the_configuration_are_known(associate):
    last, _ = move(associate, "STRANGER", identifier("STUDY", StudyInstanceUID=STUDY))
    assert last.Status == 0xA801


def test_a_destination_that_is_down_fails_every_sub_operation(associate):
    last, listed = move(associate, "DEAD", identifier("STUDY", StudyInstanceUID=STUDY))
    assert (last.Status, last.NumberOfFailedSuboperations) == (0xA702, 6)
    assert len(listed.FailedSOPInstanceUIDList) == 6


def test_orthanc_finds_and_retrieves(holdings, orthanc):
    orthanc.rest(
        "PUT", "/modalities/node", {"AET": AE_TITLE, "Host": "127.0.0.1", "Port": holdings.peer.port, "AllowMove": True}
    )
    asked = orthanc.rest("POST", "/modalities/node/query", {"Level": "Study", "Query": {"PatientName": "Müller*"}})
    (answer,) = orthanc.rest("GET", f"{asked['Path']}/answers?expand&simplify")
    assert (answer["StudyInstanceUID"], answer["PatientName"]) == (STUDY, "Müller^Jörg")
    orthanc.rest("POST", f"{asked['Path']}/retrieve", {"TargetAet": orthanc.ae_title})
    orthanc.wait_for_instances(6)


def test_whoever_is_not_named_is_not_offered_it(associate):
    association = associate(FIND, "1.2.840.10008.1.1", ae_title="STRANGER")
    assert {str(cx.abstract_syntax) for cx in association.accepted_contexts} == {"1.2.840.10008.1.1"}
