"""Body Part Examined as houses of many languages write it."""

import pytest

from node.body_parts import BodyPart, named_part
from node.selection import select
from node.stacks import split
from tests.unit.node.headers import axial, xray
from tests.unit.node.test_xray_selection import CT, XRAY, choices_by_uid


@pytest.mark.parametrize(
    "text",
    """CHEST,Chest,PORT CHEST,CHEST_ABDOMEN,CHESTABDPELVIS,NECKCHESTABDOMEN,TAP,THORAX,Thorax pa,THX,LUNG,LUNGS,
    WHOLEBODY,WHOLE BODY,ENTIRE BODY,TRUNK,TORAX,TÓRAX,Tórax,TO\u0301RAX,TORACE,PECHO,POUMON,Poumons,BRUSTKORB,
    Lunge,POLMONI,PULMÃO,PULMONES,
    KLATKA PIERSIOWA,PŁUCA,HRUDNÍK,Bröstkorg,BRYSTKASSE,Göğüs,AKCİĞER,TÜDŐ,GRUDNAYA KLETKA,ГРУДНАЯ КЛЕТКА,
    Органы грудной клетки,θώρακας,胸部,胸,肺,흉부,الصدر""".replace("\n", "").split(","),
)
def test_the_chest_is_known_in_many_languages(text):
    assert named_part(text.strip()) is BodyPart.CHEST


@pytest.mark.parametrize(
    "text",
    """ABDOMEN,ABD,PELVIS,SKULL,HEAD,NECK,HEADNECK,CSPINE,TSPINE,THORACIC SPINE,CERVICO-THORACIC SPINE,LUMBAR,SHOULDER,
    HAND,RIBS,KNEE,FOOT,BREAST,LEG,HIP,Schädel,SCHAEDEL,BWS,BRUSTWIRBELSÄULE,BAUCH,KNIE,ABDOMEN SIMPLE,COLUMNA TORACICA,
    RODILLA,GENOU,RACHIS THORACIQUE,GINOCCHIO,ADDOME,JOELHO,KRĘGOSŁUP,MIEDNICA,KNÆ,ПОЗВОНОЧНИК,
    грудной отдел позвоночника,腹部,胸椎,胸腰椎,膝関節,頭部,흉추""".replace("\n", "").split(","),
)
def test_another_part_of_the_body_is_known_in_many_languages(text):
    assert named_part(text.strip()) is BodyPart.ANOTHER


@pytest.mark.parametrize("text", ["STAPLES", "SERVICE", "QC", "PHARMACY", "FOREIGN BODY", "CAGE THORACIQUE", "XYZ"])
def test_words_of_no_part_of_the_body_are_not_guessed_at(text):
    assert named_part(text) is BodyPart.UNKNOWN


@pytest.mark.parametrize("text", ["", " ", "UNKNOWN", "unspecified", "N/A", "-", "0"])
def test_what_says_nothing_is_unstated(text):
    assert named_part(text) is BodyPart.UNSTATED


def test_an_x_ray_image_of_an_unknown_body_part_runs_and_says_who_judges():
    (choice,) = choices_by_uid(xray(body_part_examined="STAPLES")).values()
    assert choice.runs
    assert choice.reason.endswith("(PA). Whether its body part STAPLES is the chest, the pipeline judges.")
    (choice,) = choices_by_uid(xray(body_part_examined="Tórax")).values()
    assert choice.reason == "The only image that fits (PA)."


def test_a_ct_of_an_unknown_body_part_runs_unless_another_stack_fits():
    unknown = axial("1.1", count=90, body_part_examined="STAPLES")
    (choice,) = select(split(unknown), CT)
    assert choice.runs
    assert choice.reason.endswith("Whether its body part STAPLES is the chest, the pipeline judges.")
    for said in ("TORAX", ""):
        chest = axial("1.2", count=60, body_part_examined=said)
        assert {c.stack.first.series_instance_uid: c.code for c in select(split([*unknown, *chest]), CT)} == {
            "1.1": "not-best",
            "1.2": "selected",
        }


def test_an_object_without_sop_class_is_called_so():
    (choice,) = select(split([xray(sop_class_uid="")]), XRAY)
    assert choice.reason == "This is an object without SOP class; the pipeline reads X-ray images (CR, DX)."
