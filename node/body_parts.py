"""Which part of the body a header names: the chest, another, or neither for certain. Pure.

Body Part Examined is free text in practice, in the language of the house, so its words are compared without accents
and case. The chest together with other parts is the chest: a scan of chest and abdomen holds it.

References
----------
PS3.16 Annex L (Defined Terms of Body Part Examined), CID 4031 (Common Anatomic Region).
"""

# ruff: noqa: RUF001 - words stand in the letters of their languages

import re
import unicodedata
from enum import Enum


class BodyPart(Enum):
    """What a text says."""

    CHEST = "chest"
    ANOTHER = "another part"
    UNKNOWN = "words unknown here"
    UNSTATED = "nothing"


def named_part(text: str) -> BodyPart:
    """Say which part of the body a text names."""
    words = " ".join(_LETTERS.findall(_folded(text)))
    if words in _SAYS_NOTHING:
        return BodyPart.UNSTATED
    if _CHEST.search(_CHINESE_THORACIC_SPINE.sub("椎", words)):
        return BodyPart.CHEST
    return BodyPart.ANOTHER if _ANOTHER.search(words) else BodyPart.UNKNOWN


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.translate(_BARRED)).upper()
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _pattern(*, stems: str, words: str) -> re.Pattern[str]:
    """Match stems wherever they stand, as in CHESTABDPELVIS, and words only whole: STAPLES is no TAP."""
    whole, within = ("|".join(_folded(some).split()).replace("_", " ") for some in (words, stems))
    return re.compile(rf"{within}|\b(?:{whole})\b")


_BARRED = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "æ": "ae", "Æ": "AE", "ı": "i"})
"""Letters that Unicode does not take for others with an accent."""
_LETTERS = re.compile(r"[^\W\d_]+")
_SAYS_NOTHING = frozenset({"", "UNKNOWN", "UNDEFINED", "UNSPECIFIED", "NONE", "N A"})
_CHINESE_THORACIC_SPINE = re.compile("胸腰?椎")
"""In Chinese and Japanese a word with that of the chest."""
_CHEST = _pattern(
    stems="""
        CHEST THORAX LUNG PULMO WHOLEBODY WHOLE_BODY ENTIRE_BODY TRUNK
        TORAX TORACE TORAKS POUMON PULMAO POLMON BRUSTKORB BORSTKAS BRYSTKASSE
        BRÖSTKORG RINTAKEHÄ KEUHKO HRUDNÍK MELLKAS AKCIĞER ΘΩΡΑΚΑΣ ΘΩΡΑΚΟΣ КЛЕТК 胸 肺 흉부
    """,
    words="""
        THX CXR TAP CAP PECHO PEITO PETTO LONGEN KLATKA PŁUCA PLUĆA PLÍCE TÜDŐ GÖĞÜS GRUDNAYA GRUDNAJA ΘΩΡΑΞ
        ГРУДНАЯ ГРУДНА ГРУДИ ГРУДЬ ОГК ЛЁГКИЕ ЛЁГКИХ ЛЕГЕНІ الصدر صدر חזה 가슴
    """,
)
_ANOTHER = _pattern(
    stems="""
        ABDOM ADDOM PELVI PELVE BASSIN BECKEN BEKKEN BACINO MIEDNIC BRZUCH SKULL CRANE CRANI KRANI SCHÄDEL SCHAEDEL
        CZASZK BRAIN CEREBR SPINE SPINAL CERVI LUMBA LUMBO SACR COCCY VERTEBR RACHI COLUMNA COLUNA COLONNA WIRBEL WERVEL
        KRĘGOSŁUP RYGG SHOULDER SCHULTER SCHOUDER CLAVIC SCAPUL HUMER ELBOW ELLBOGEN ELLEBOOG FOREARM WRIST
        HANDGELENK FINGER THUMB FEMUR FEMORA THIGH OBERSCHENKEL UNTERSCHENKEL OBERARM UNTERARM KNEE PATELL TIBIA FIBUL
        ANKLE SPRUNGGELENK CALCAN EXTREMI BREAST MAMMO MANDIB MAXIL TEETH DENTA ORBIT NASAL SINUS FACIAL ZYGOM STERN
        KIDNEY LIVER BLADDER ESOPHAG STOMACH RODILLA GINOCCHIO JOELHO GENOU KOLANO KOLENO EPAULE HOMBRO SPALLA OMBRO
        POIGNET MUÑECA CHEVILLE TOBILLO CAVIGLIA TORNOZELO HANCHE CADERA GOMITO COTOVELO
        ПОЗВОН ЖИВОТ БРЮШ ЧЕРЕП КОЛЕН ПЛЕЧ ТАЗОБЕДР ΣΠΟΝΔΥΛ ΚΟΙΛΙΑ ΚΡΑΝΙ
        腹 骨盤 骨盆 盆腔 頭 头 頸 颈 頚 椎 膝 足 手 肩 肘 腰 股 乳
        복부 골반 두부 경추 흉추 요추 척추 무릎
    """,
    words="""
        HEAD HEADNECK NECK FACE NOSE EAR JAW TMJ ARM ARMS LEG LEGS HAND HANDS HIP HIPS FOOT FEET TOE TOES HEEL LIMB RIB
        RIBS HEART COLON KUB ABD HWS BWS LWS KOPF HALS BAUCH HÜFTE HUEFTE KNIE FUSS ZEHE ZEHEN BEIN RIPPEN
        TÊTE COU PIED MAIN DOIGT COUDE SEIN JAMBE BRAS CABEZA CUELLO PIE MANO CODO DEDO PIERNA BRAZO MAMA
        TESTA COLLO PIEDE POLSO ANCA DITO GAMBA BRACCIO CABEÇA PESCOÇO MÃO PUNHO QUADRIL PERNA BRAÇO BACIA
        BUIK HOOFD NEK VOET POLS HEUP ENKEL GŁOWA SZYJA STOPA DŁOŃ RĘKA BARK ŁOKIEĆ NADGARSTEK BIODRO
        BUK HUVUD HODE HOVED FOT FOD HÖFT KNÄ KNE KNÆ ТАЗ ГОЛОВА ШЕЯ СТОПА КИСТЬ РУКА НОГА
    """,
)
