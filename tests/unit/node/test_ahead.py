"""What a worker has ready: a selection for the next job, and findings made together."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inference import registry, selected
from inference.card import CTInput, ModelCard, XRayInput
from inference.findings import Algorithm, Findings, Refusal, SelectionRefusedError
from node import ahead, ending, worker
from node.ending import Failure
from node.worker import JobOutcome, JobSpec

CARD = ModelCard(name="several", version="1", title="t", purpose="p", output="o", input=XRayInput(), at_once=4)


def spec(job_id: int, name: str = "", *, keeps: bool = False) -> JobSpec:
    return JobSpec(
        job_id=job_id,
        pipeline="several",
        selection_hash="a",
        revision_number=1,
        created_at=datetime.now(UTC),
        paths=(Path(name or str(job_id)),),
        demographics_path=Path(),
        predecessors=(),
        storage=Path(),
        result_folder=Path(),
        weights=Path("weights"),
        series_number=1,
        series_description_prefix="AI",
        keeps_selection=keeps,
    )


@dataclass
class Several:
    """A pipeline that counts how it is asked."""

    card = CARD
    alone: list = field(default_factory=list)
    in_company: list = field(default_factory=list)

    def accepts(self, source):
        return Refusal(code="no", reason="", remedy="") if source == "unfit" else None

    def __call__(self, source, _device):
        self.alone.append(source)
        if source == "poison":
            raise ValueError("poison")
        return self._findings(source)

    def together(self, sources, _device):
        self.in_company.append(sources)
        if "poison" in sources:
            raise ValueError("poison")
        strange = Refusal(code="not-frontal", reason="", remedy="")
        return [strange if source == "strange" else self._findings(source) for source in sources]

    def _findings(self, source):
        return Findings(algorithm=Algorithm(name=source, version="1"), source_instances=())


@pytest.fixture
def pipeline(monkeypatch):
    several, read = Several(), []

    def load(_card, paths):
        read.append(paths[0].name)
        if paths[0].name == "torn":
            raise SelectionRefusedError(Refusal(code="torn", reason="", remedy=""))
        return paths[0].name

    ahead.forget()
    monkeypatch.setattr(ahead, "selections", ahead._Selections())
    monkeypatch.setattr(registry, "CARDS", {"several": CARD})
    monkeypatch.setattr(registry, "load", lambda *_, **__: several)
    monkeypatch.setattr(selected, "load", load)
    several.read = read
    return several


def inferred(job: JobSpec, _device: str) -> JobOutcome:
    found = worker.infer(job, "cpu", worker.Stopwatch())
    if isinstance(found, Refusal):
        return JobOutcome(refusal=found)
    return JobOutcome(summary={"name": found[0].algorithm.name, "source": found[1]})


def run(*jobs: JobSpec):
    return ending.pickle.loads(ending.run_contained(inferred, jobs, "cpu"))


def test_jobs_are_inferred_together_and_each_gets_its_own_findings(pipeline):
    outcomes = run(spec(1, "a"), spec(2, "b"))
    assert [outcome.summary for outcome in outcomes] == [{"name": n, "source": n} for n in "ab"]
    assert (pipeline.in_company, pipeline.alone) == ([["a", "b"]], [])
    assert pipeline.read == ["a", "b"]


def test_one_job_runs_alone(pipeline):
    run(spec(1, "a"))
    assert (pipeline.in_company, pipeline.alone) == ([], ["a"])


def test_what_is_refused_or_cannot_be_read_takes_nothing_from_its_neighbours(pipeline):
    torn, unfit, good = run(spec(1, "torn"), spec(2, "unfit"), spec(3, "good"))
    assert (torn.refusal.code, unfit.refusal.code, good.summary["name"]) == ("torn", "no", "good")
    assert pipeline.in_company == [["good"]]


def test_a_fault_among_several_is_met_by_the_job_that_has_it_alone(pipeline):
    good, poison, other = run(spec(1, "good"), spec(2, "poison"), spec(3, "other"))
    assert (good.summary["name"], other.summary["name"]) == ("good", "other")
    assert isinstance(poison, Failure)
    assert "poison" in poison.message
    assert pipeline.alone == ["good", "poison", "other"]


def test_findings_are_fetched_once_and_do_not_outlive_their_company(pipeline):
    ahead.infer_together([spec(3, "c"), spec(4, "d")], "cpu")
    assert ahead.ready(spec(3)) is not None
    assert ahead.ready(spec(3)) is None
    run(spec(5, "e"))
    assert ahead.ready(spec(4)) is None


def test_a_selection_is_read_once_for_jobs_that_follow_each_other(pipeline):
    for job in (spec(1, "a", keeps=True), spec(2, "a", keeps=True), spec(3, "a"), spec(4, "a")):
        run(job)
    assert pipeline.read == ["a", "a"]


def test_of_a_ct_another_selection_takes_the_place_of_the_kept_one(pipeline, monkeypatch):
    monkeypatch.setattr(registry, "CARDS", {"several": replace(CARD, input=CTInput())})
    for job in (spec(1, "a", keeps=True), spec(2, "b"), spec(3, "a")):
        run(job)
    assert pipeline.read == ["a", "b", "a"]


def test_x_rays_of_jobs_together_are_read_once_for_every_pipeline_that_follows(pipeline):
    names = [str(number) for number in range(8)]
    for first, keeps in ((1, True), (11, True), (21, False)):
        run(*(spec(first + number, name, keeps=keeps) for number, name in enumerate(names)))
    assert pipeline.in_company == [names] * 3
    assert pipeline.read == names
    assert not ahead.selections._kept


def test_x_rays_that_some_pipelines_take_in_smaller_companies_are_read_once_too(pipeline):
    for first, names, keeps in ((1, "abcd", True), (5, "ab", False), (7, "cd", False)):
        run(*(spec(first + number, name, keeps=keeps) for number, name in enumerate(names)))
    assert pipeline.read == list("abcd")


def test_no_more_x_rays_are_kept_than_wait_together(pipeline):
    for number in range(9):
        run(spec(number, str(number), keeps=True))
    assert len(ahead.selections._kept) == 8
    run(spec(9, "8"), spec(10, "0"))
    assert pipeline.read == [*map(str, range(9)), "0"]


def test_what_is_refused_among_several_is_read_once_and_refused_alike(pipeline):
    torn, unfit, strange = run(spec(1, "torn"), spec(2, "unfit"), spec(3, "strange"))
    assert [outcome.refusal.code for outcome in (torn, unfit, strange)] == ["torn", "no", "not-frontal"]
    assert pipeline.read == ["torn", "unfit", "strange"]
    assert pipeline.alone == []
