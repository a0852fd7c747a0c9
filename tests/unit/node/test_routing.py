"""Routing is pure: what every rule does with every stack, whatever the study and whatever the other rules."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from db.repository.settling import Arrival
from inference.card import CTInput, KernelPreference, ModelCard, XRayInput
from node.routing import quiet_time_s, route
from node.rules import Origin, Rule
from node.sections import Destination, Settle
from node.stacks import split
from tests.unit.node.headers import axial, for_processing, lateral, xray

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PACS = Destination(name="pacs", host="127.0.0.1", port=1, ae_title="PACS")
SCANNER = Destination(name="scanner", host="127.0.0.1", port=2, ae_title="CT1")


def card(name, **changes):
    values = {"thickness_mm": (0.3, 6.0), "kernel": KernelPreference.SOFT} | changes
    return ModelCard(name=name, version="1", title="", purpose="", output="", input=CTInput(**values))


LUNGS = ModelCard(name="lungs", version="1", title="", purpose="", output="", input=XRayInput())
CARDS = {"any": card("any"), "thin": card("thin", thickness_mm=(0.3, 2.0)), "lungs": LUNGS}


def rule(name="r", **changes):
    return Rule(**({"name": name, "modality": "CT", "pipelines": ["any"], "destinations": ["pacs"]} | changes))


def came(headers, calling="CT1", **later):
    """Return origins; `later` names the sender of the series' last instance."""
    origins = {
        h.sop_instance_uid: Origin(calling_ae_title=calling, called_ae_title="N", received_at=NOW) for h in headers
    }
    for sender, uid in later.items():
        origins[uid] = Origin(calling_ae_title=sender, called_ae_title="N", received_at=NOW + timedelta(seconds=1))
    return origins


def routed(headers, *rules, destinations=(PACS, SCANNER), **senders):
    return route(split(headers), came(headers, **senders), rules=rules, destinations=destinations, cards=CARDS)


SOFT, SHARP = axial("1.3"), axial("1.2", convolution_kernel="B70f", series_number=3)
SCOUT = axial("1.1", count=1, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), series_description="SCOUT")
HEAD = axial("1.5", body_part_examined="HEAD", series_number=7)
DOSE_REPORT = axial("1.4", count=1, modality="SR", sop_class_uid="1.2.840.10008.5.1.4.1.1.88.67")
XRAY = [xray("1.6.1")]
REPEAT = [xray("1.6.2", instance_number=2)]
LATERAL = [lateral("1.8.1")]
REJECTION = [
    xray("1.9.1", modality="KO", sop_class_uid="1.2.840.10008.5.1.4.1.1.88.59", rejected_instance_uids=("1.6.2",))
]


def by_series(routes):
    return {r.choice.stack.first.series_instance_uid: r for r in routes}


def test_a_stack_that_the_conditions_exclude_says_which_and_the_next_best_runs():
    routes = by_series(routed([*SOFT, *SHARP], rule(when={"convolution_kernel": "^b7"})))
    assert routes["1.2"].choice.runs
    assert routes["1.3"].choice.code == "rule"
    assert routes["1.3"].choice.reason == "Excluded by the rule: convolution_kernel is 'B30f', wanted /^b7/."


def test_all_that_fit_run_where_the_rule_says_so():
    routes = by_series(routed([*SOFT, *SHARP, *SCOUT], rule(stacks="all")))
    assert [uid for uid, r in routes.items() if r.choice.runs] == ["1.3", "1.2"]
    assert "One of 2 that fit, which all run" in routes["1.2"].choice.reason
    assert routes["1.1"].choice.code == "localizer"


def test_a_rule_whose_modality_the_study_lacks_decides_nothing():
    assert routed(SOFT, rule(modality=["CR", "DX"])) == []
    assert len(routed([*SOFT, *DOSE_REPORT], rule())) == 2


def test_source_is_the_destination_whose_ae_title_sent_the_newest_instance():
    found = routed(SOFT, rule(destinations=["source", "pacs"]), calling="PACS", CT1="1.3.59")[0]
    assert found.destinations == ("scanner", "pacs")
    assert "AE title" not in found.choice.reason
    assert routed(SOFT, rule(destinations=["source", "pacs"]), calling="PACS")[0].destinations == ("pacs",)


def test_a_source_that_is_no_destination_is_said_and_the_others_get_the_results():
    (found,) = routed(SOFT, rule(destinations=["source", "pacs"]), calling="CT9")
    assert found.choice.runs
    assert found.destinations == ("pacs",)
    assert "No destination has the AE title of the source, 'CT9': they go to pacs only." in found.choice.reason
    (alone,) = routed(SOFT, rule(destinations=["source"]), calling="CT9")
    assert alone.choice.runs
    assert alone.destinations == ()
    assert alone.choice.reason.endswith("they are kept here.")


def test_a_study_that_nothing_fits_gets_one_notice_on_what_comes_nearest_to_a_chest_ct():
    gap = axial("1.7", series_number=9)[:30] + axial("1.7")[33:]
    routes = routed([*SCOUT, *HEAD, *gap, *DOSE_REPORT], rule(notices=True))
    (told,) = [r for r in routes if r.refusal]
    assert told.choice.stack.first.series_instance_uid == "1.7"
    assert not told.choice.runs
    assert told.refusal.code == "nothing-fits"
    assert told.refusal.reason.startswith("None of the images chosen for any fit it. ")
    assert "Series 9 (57 images): " in told.refusal.reason
    assert "Body part HEAD is not the chest." in told.refusal.reason
    assert "SCOUT" not in told.refusal.reason  # descriptions may name a patient, and reasons are logged
    assert told.refusal.remedy


def test_no_notice_where_one_stack_runs_or_the_conditions_exclude_all_or_nobody_asked():
    assert not any(r.refusal for r in routed([*SOFT, *SCOUT], rule(notices=True)))
    assert not any(r.refusal for r in routed(HEAD, rule(notices=True, when={"series_description": "thorax"})))
    assert not any(r.refusal for r in routed(HEAD, rule()))


XRAY_RULE = {"modality": ["CR", "DX"], "pipelines": ["lungs"]}


def test_every_frontal_image_runs_whatever_a_rule_says_of_stacks():
    for stacks in ("best", "all"):
        routes = routed([*XRAY, *REPEAT, *LATERAL], rule(stacks=stacks, **XRAY_RULE))
        assert [r.choice.runs for r in routes] == [True, True, False]


def test_a_key_object_counts_though_the_rule_asks_for_x_ray_alone():
    routes = {r.choice.stack.first.sop_instance_uid: r for r in routed([*XRAY, *REPEAT, *REJECTION], rule(**XRAY_RULE))}
    assert routes["1.6.1"].choice.runs
    assert routes["1.6.2"].choice.code == "rejected"
    assert routes["1.9.1"].choice.code == "rule"


def test_a_study_without_a_frontal_image_gets_one_notice_on_the_one_nearest_to_it():
    routes = routed([*LATERAL, for_processing("1.4.1")], rule(notices=True, **XRAY_RULE))
    (told,) = [r for r in routes if r.refusal]
    assert told.choice.stack.first.sop_instance_uid == "1.4.1"
    assert "for processing" in told.refusal.reason
    assert "lateral" in told.refusal.reason
    assert "Send the image for presentation." in told.refusal.remedy
    assert not any(r.refusal for r in routed([*XRAY, *LATERAL], rule(notices=True, **XRAY_RULE)))


def test_a_rule_without_a_modality_says_of_each_image_what_its_pipelines_read():
    routes = routed([*SOFT, *XRAY], rule(modality=None, pipelines=["any", "lungs"]))
    said = {(r.pipeline.name, r.choice.stack.first.modality): r.choice.reason for r in routes}
    assert said["any", "DX"] == "Not a CT image (DX)."
    assert said["lungs", "CT"] == "This is CT; the pipeline reads X-ray images (CR, DX)."
    assert len([r for r in routes if r.choice.runs]) == 2


def arrivals(*triples):
    return frozenset(Arrival(modality=m, calling_ae_title=c, called_ae_title="N") for m, c in triples)


def test_the_longest_quiet_time_of_the_rules_that_may_apply_counts():
    settle = Settle(quiet_ct_s=60, quiet_xray_s=15)
    emergency = rule("er", quiet_s=20, when={"calling_ae_title": "ER"})
    others = rule("others", when={"calling_ae_title": ["CT1", "CT2"]})
    slow = rule("slow", quiet_s=90)
    assert quiet_time_s(arrivals(("CT", "ER")), [emergency, others], settle) == 20
    assert quiet_time_s(arrivals(("CT", "CT1")), [emergency, others], settle) == 60
    assert quiet_time_s(arrivals(("CT", "ER"), ("SR", "CT1")), [emergency, others], settle) == 20
    assert quiet_time_s(arrivals(("CT", "ER")), [emergency, others, slow], settle) == 90
    assert quiet_time_s(arrivals(("DX", "ER")), [emergency, others, slow], settle) == 15
    assert quiet_time_s(arrivals(("DX", "ER"), ("CT", "X")), [], settle) == 60
    assert quiet_time_s(arrivals(), [], settle) == 60


def test_x_ray_studies_wait_their_own_time_unless_slices_came_too():
    settle = Settle(quiet_ct_s=60, quiet_xray_s=15)
    chest = rule("x", **XRAY_RULE)
    assert quiet_time_s(arrivals(("DX", "ER"), ("CR", "X")), [rule(), chest], settle) == 15
    assert quiet_time_s(arrivals(("CR", "ER")), [rule(), rule("y", quiet_s=5, **XRAY_RULE)], settle) == 5
    assert quiet_time_s(arrivals(("DX", "ER"), ("CT", "X")), [rule(), chest], settle) == 60


STUDIES = st.sets(
    st.sampled_from(["SOFT", "SHARP", "SCOUT", "HEAD", "DOSE_REPORT", "XRAY", "REPEAT", "LATERAL", "REJECTION"]),
    min_size=1,
).map(lambda names: [header for name in sorted(names) for header in globals()[name]])
WHENS = st.fixed_dictionaries(
    {},
    optional={
        "modality": st.sampled_from(["CT", ["CT", "DX"], ["DX"]]),
        "calling_ae_title": st.sampled_from(["CT1", "CT2"]),
        "series_description": st.sampled_from(["chest", "scout", "^(?!.*scout)"]),
        "convolution_kernel": st.sampled_from(["^b3", "^b"]),
        "slice_count": st.sampled_from([{"min": 2}, {"max": 10}]),
        "body_part_examined": st.sampled_from([["CHEST", ""], "HEAD"]),
    },
)
RULES = st.builds(
    lambda when, pipelines, stacks, notices, number: Rule(
        name=f"r{number}",
        when=when,
        pipelines=pipelines,
        stacks=stacks,
        notices=notices,
        destinations=["source", "pacs"],
    ),
    WHENS,
    st.sampled_from([["any"], ["thin"], ["any", "thin"], ["lungs"], ["any", "lungs"]]),
    st.sampled_from(["best", "all"]),
    st.booleans(),
    st.integers(0, 99),
)


@settings(deadline=None, max_examples=150)
@given(headers=STUDIES, rules=st.lists(RULES, max_size=3, unique_by=lambda r: r.name))
def test_every_stack_gets_one_decision_per_applying_rule_and_pipeline_and_at_most_the_best_runs(headers, rules):
    stacks = split(headers)
    routes = routed(headers, *rules)
    modalities = {h.modality for h in headers}
    for r in rules:
        wanted = r.conditions.modality
        for name in r.pipelines:
            mine = [x for x in routes if x.rule is r and x.pipeline.name == name]
            assert [x.choice.stack for x in mine] == (stacks if wanted is None or modalities & set(wanted) else [])
            runs = [x for x in mine if x.choice.runs]
            assert r.stacks == "all" or name == "lungs" or len(runs) <= 1
            assert len([x for x in mine if x.refusal]) <= (r.notices and not runs)
            assert all(x.choice.reason for x in mine)
            assert not any(x.choice.runs and x.refusal for x in mine)


@settings(deadline=None, max_examples=100)
@given(headers=STUDIES, rules=st.lists(RULES, min_size=1, max_size=3, unique_by=lambda r: r.name), data=st.data())
def test_another_rule_changes_no_rules_decisions(headers, rules, data):
    place = data.draw(st.integers(0, len(rules) - 1))
    rest = rules[:place] + rules[place + 1 :]
    assert [r for r in routed(headers, *rules) if r.rule is not rules[place]] == routed(headers, *rest)
