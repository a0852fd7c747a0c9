"""What the codes mean that headers give views and parts of the body with: in SNOMED CT, and in SNOMED RT before.

pydicom knows them too, among all codes of PS3.16, which take 16 MB of the service; a test holds the two together.

References
----------
PS3.16 CID 4010 (DX View), CID 4031 (Common Anatomic Region), Annex O (mapping of SNOMED concept identifiers).
"""

from collections.abc import Mapping
from types import MappingProxyType


def _by_code(table: str) -> Mapping[str, str]:
    rows = [line.split(maxsplit=2) for line in table.strip().splitlines()]
    return MappingProxyType({code: meaning for *both, meaning in rows for code in both if code != "-"})


VIEWS = _by_code("""
    399242004 R-102C6 acanthioparietal
    399348003 R-10206 antero-posterior
    399312000 R-10208 antero-posterior oblique
    399061009 R-10241 axial
    399196006 R-10244 caudo-cranial
    399162004 R-10242 cranio-caudal
    399335002 R-102C4 dorsoplantar
    399033003 R-10202 frontal
    399160007 R-10204 frontal oblique
    399132005 R-10252 frontal-oblique axial
    399067008 R-102CD lateral
    260427002 R-40783 lateral oblique
    399352003 R-10228 lateral-medial
    399099002 R-10230 latero-medial oblique
    399135007 R-10220 left anterior oblique
    399173006 R-10236 left lateral
    399184004 R-10238 left oblique
    399006002 R-10212 left posterior oblique
    260426006 R-40782 medial oblique
    399260004 R-10224 medial-lateral
    399368009 R-10226 medio-lateral oblique
    399182000 R-102C1 oblique
    399004004 R-10246 oblique axial
    399225005 R-10250 oblique caudo-cranial
    399288005 R-10248 oblique cranio-caudal
    260499007 R-40810 Occlusal projection
    399351005 R-102C7 orbitoparietal
    399316002 R-102C8 parieto-orbital
    399272005 R-102C5 parietoacanthial
    399071006 R-102C3 plantodorsal
    272479007 R-40888 postero-anterior
    399059000 R-10216 postero-anterior oblique
    399356000 R-40985 right anterior oblique
    399198007 R-10232 right lateral
    399236003 R-10234 right oblique
    399038007 R-10210 right posterior oblique
    30730003 G-A145 Sagittal
    399325008 R-10254 sagittal-oblique axial
    399255003 R-10256 submentovertical
    399110001 R-102C2 tangential
    119376003 G-8300 tissue specimen
    399360002 R-10257 verticosubmental
""")
"""CID 4010."""

REGIONS = _by_code("""
    818981001 - Abdomen
    818982008 - Abdomen and Pelvis
    85856004 T-15420 Acromioclavicular joint
    70258002 T-15750 Ankle joint
    53505006 T-59900 Anus
    86598002 T-280A0 Apex of Lung
    28273000 T-60610 Bile duct
    34707002 T-60600 Biliary tract
    89837001 T-74000 Bladder
    72001000 T-12700 Bone of lower limb
    371195002 T-D0821 Bone of upper limb
    76752008 T-04000 Breast
    955009 T-26000 Bronchus
    80144004 T-12770 Calcaneus
    122494005 T-11501 Cervical spine
    1217257000 - Cervico-thoracic spine
    816094009 - Chest
    416550000 R-FAB55 Chest and Abdomen
    416775004 R-FAB56 Chest, Abdomen and Pelvis
    51299004 T-12310 Clavicle
    64688005 T-11BF0 Coccyx
    71854001 T-59300 Colon
    79741001 T-64500 Common bile duct
    38848004 T-58200 Duodenum
    16953009 T-15430 Elbow joint
    38266002 T-D0010 Entire body
    32849002 T-56000 Esophagus
    110861005 T-DD163 Esophagus, stomach and duodenum
    66019005 T-D0300 Extremity
    81745001 T-AA000 Eye
    371398005 T-D0801 Eye region
    91397008 T-11196 Facial bones
    71341001 T-12710 Femur
    87342007 T-12750 Fibula
    7569003 T-D8800 Finger
    56459004 T-D9700 Foot
    14975008 T-D8500 Forearm
    28231008 T-63000 Gallbladder
    85562004 T-D8700 Hand
    69536005 T-D1100 Head
    774007 T-D1000 Head and Neck
    80891009 T-32000 Heart
    29836001 T-D2500 Hip
    24136001 T-15710 Hip joint
    85050009 T-12410 Humerus
    34516001 T-58600 Ileum
    22356005 T-12340 Ilium
    361078006 T-AB959 Internal Auditory Canal
    661005 T-D1213 Jaw region
    21306003 T-58400 Jejunum
    72696002 T-D9200 Knee
    14742008 T-59000 Large intestine
    4596009 T-24100 Larynx
    303270005 T-50007 Liver and biliary structure
    30021000 T-D9400 Lower leg
    61685007 T-D9000 Lower limb
    122496007 T-11503 Lumbar spine
    1217253001 - Lumbo-sacral spine
    91609006 T-11180 Mandible
    59066005 T-11133 Mastoid bone
    70925003 T-11170 Maxilla
    72410000 T-D3300 Mediastinum
    102292000 T-14668 Muscle of lower limb
    30608006 T-13600 Muscle of upper limb
    74386004 T-11149 Nasal bone
    45048000 T-D1600 Neck
    417437006 R-FAB52 Neck and Chest
    416152001 R-FAB53 Neck, Chest and Abdomen
    416319003 R-FAB54 Neck, Chest, Abdomen and Pelvis
    55024004 T-11102 Optic canal
    363654007 T-D14AE Orbital structure
    15776009 T-65000 Pancreas
    69930009 T-65010 Pancreatic duct
    110621006 T-65600 Pancreatic duct and bile duct systems
    2095001 T-22000 Paranasal sinus
    45289007 T-61100 Parotid gland
    64234005 T-12730 Patella
    816092008 - Pelvis
    1231522001 - Pelvis and lower extremities
    706342009 R-FE0C7 Phantom
    41216001 T-92000 Prostate
    34402009 T-59600 Rectum
    113197003 T-11300 Rib
    1217254007 - Sacro-coccygeal Spine
    39723000 T-15680 Sacroiliac joint
    54735007 T-11AD0 Sacrum
    79601000 T-12280 Scapula
    42575006 T-D1460 Sella turcica
    58742003 T-12980 Sesamoid bones of foot
    16982005 T-D2220 Shoulder
    89546000 T-11100 Skull
    30315005 T-58000 Small intestine
    421060004 T-D04FF Spine
    7844006 T-15610 Sternoclavicular joint
    56873002 T-11210 Sternum
    69695003 T-57000 Stomach
    54019009 T-61300 Submandibular gland
    27949001 T-15770 Tarsal joint
    53620006 T-15290 Temporomandibular joint
    68367000 T-D9100 Thigh
    122495006 T-11502 Thoracic spine
    1217256009 - Thoraco-lumbar spine
    76505004 T-D8810 Thumb
    29707007 T-D9800 Toe
    44567001 T-25000 Trachea
    40983000 T-D8200 Upper arm
    53120007 T-D8000 Upper limb
    431491007 T-7000B Upper urinary tract
    87953007 T-73000 Ureter
    13648007 T-75000 Urethra
    110639002 T-88920 Uterus and fallopian tubes
    110517009 T-11011 Vertebral column and cranium
    74670003 T-15460 Wrist joint
    13881006 T-11166 Zygoma
""")
"""CID 4031."""
