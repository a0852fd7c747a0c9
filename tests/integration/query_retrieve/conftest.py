"""A node that answers queries, real peers to ask it, and what they ask."""

import time

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
)
from pynetdicom import AE

from node.config import Config
from node.sections import Destination, QueryRetrieve
from tests import peers
from tests.factories import SERIES, STUDY
from tests.holdings import AE_TITLE, chest, serve, xray
from tests.orthanc import Orthanc
from tests.peers import StoreScp
from tests.processes import free_port

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
REPORT, MAP = f"{STUDY}.77.1.1", f"{STUDY}.77.2.1"
RESULTS = {REPORT, MAP}
SLICES = {f"{SERIES}.{n}" for n in (1, 2, 3)}
SCOUT = f"{STUDY}.9.1"
NOBODY_LISTENS = free_port()


@pytest.fixture(scope="package")
def storescp(tmp_path_factory):
    with StoreScp(tmp_path_factory.mktemp("storescp")) as peer:
        yield peer


@pytest.fixture(scope="package")
def orthanc(tmp_path_factory):
    with Orthanc(tmp_path_factory.mktemp("orthanc"), calling_aets=[AE_TITLE]) as peer:
        yield peer


@pytest.fixture(scope="package")
def destinations(storescp, orthanc):
    return (
        Destination(name="dcmtk", host="127.0.0.1", port=storescp.port, ae_title=storescp.ae_title),
        Destination(name="orthanc", host="127.0.0.1", port=orthanc.port, ae_title=orthanc.ae_title),
        Destination(name="dead", host="127.0.0.1", port=NOBODY_LISTENS, ae_title="DEAD"),
    )


@pytest.fixture(scope="package")
def holdings(tmp_path_factory, destinations):
    """A CT of three slices and a scout with results, and a compressed X-ray image."""
    folder = tmp_path_factory.mktemp("holdings")
    allowed = QueryRetrieve(calling_ae_titles=("FINDSCU", "GETSCU", "MOVESCU", "ORTHANC", "TEST@127.0.0.0/8"))
    holdings = serve(folder / "node", Config(query_retrieve=allowed, destinations=destinations, rules=()))
    holdings.receive(*chest(), xray(), folder=folder / "sent")
    holdings.add_results(STUDY)
    yield holdings
    holdings.close()


@pytest.fixture
def find(holdings):
    """Return findscu's matches at a level."""

    def ask(level, **keys):
        return peers.findscu(holdings.peer.host, holdings.peer.port, AE_TITLE, level=level, keys=keys)

    return ask


@pytest.fixture
def associate(holdings):
    """Open associations of pynetdicom's, and end them."""
    opened = []

    def call(*contexts, ae_title="TEST", roles=(), handlers=(), syntax=ExplicitVRLittleEndian):
        entity = AE(ae_title=ae_title)
        for context in contexts:
            entity.add_requested_context(context, syntax)
        association = entity.associate(
            holdings.peer.host, holdings.peer.port, ae_title=AE_TITLE, ext_neg=list(roles), evt_handlers=list(handlers)
        )
        opened.append(association)
        return association

    yield call
    for association in opened:
        if association.is_established:
            association.release()


def identifier(level, **keys):
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return dataset


def slowly(act):
    def later(*arguments, **options):
        time.sleep(0.3)
        return act(*arguments, **options)

    return later
