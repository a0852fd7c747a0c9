"""CT severity: five levels and a COVID-19 score from LTC, from I3D and from both, and where the networks looked.

Its steps are in `inference.severity`. Imports nothing heavy until it runs, so that cards can be read by the receiving
service.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from inference.algorithms import algorithm_of
from inference.card import NOT_FOR, RESEARCHERS, CTInput, ModelCard, Quality
from inference.codes import NO_UNITS, SCHEME
from inference.coding import Code
from inference.ct_fit import CTPipeline
from inference.findings import Findings, Heatmap
from inference.series import Series
from inference.weights import Shelf

if TYPE_CHECKING:  # they bring torch
    from inference.resampled_ct import ResampledCT
    from inference.severity.prepared import Prepared
    from inference.severity.reading import Attention, Reading

_INPUT = CTInput(thickness_mm=(0.3, 5.0), min_coverage_mm=150.0, header_keywords=("SliceThickness",))
_LUNGS = "lungmask-r231"
_SLOTS = {"LTC": "ct-severity-ltc", "I3D": "ct-severity-i3d"}
_ATTENTION = Code("ATTENTION", SCHEME, "Attention (Grad-CAM), share of its highest value")
_PAPER = "A COVID-19 patient severity stratification using a 3D convolutional strategy on CT-scans, ISBI 2021"

CARD = ModelCard(
    name="ct-severity",
    version="1.0.0",
    title="Severity of COVID-19 on chest CT in five levels, by two 3D networks",
    purpose=(
        "Put one axial chest CT of a patient with COVID-19 on one of five levels of severity, by two networks and by "
        "their mean, and show where each of them looked."
    ),
    output=(
        "For LTC, for I3D and for the mean of both: a share of each of the five levels and a score for COVID-19, in "
        "%, none of them calibrated, and the level with the highest share. Right and left lung as regions, volumes in "
        "mL; for each network a map of its attention, from 0 to 1, where a destination wants maps."
    ),
    intended_users=RESEARCHERS,
    not_for=(
        *NOT_FOR,
        "Finding or excluding COVID-19: the score for it was trained against what its site took for no COVID-19.",
        "The severity of anything but COVID-19, or a prognosis: the levels describe one CT on one day.",
        "Outlining disease: attention is not a segmentation.",
        "Children, other parts of the body, images that are not in Hounsfield units.",
    ),
    input=_INPUT,
    parameters={
        "grid": "1.5 x 1.5 x 5 mm, linear, sizes truncated",
        "window_hu": "centre -400, width 1400, to 0..1",
        "mask": "voxels outside the lungs 0",
        "slices": "lungs cover 5 % of the slice or more; from feet to head; refused below 10",
        "input": "padded to a square, resized to what the weights are for; by default 60 x 112 x 112, 64 x 224 x 224",
        "level": "highest softmax; of the mean, highest mean of both",
        "attention": "Grad-CAM of each network's level at its last convolutional block, highest value 1",
        "lung_ends": "warned above 5 cm2 on the outermost slice, refused from 80 % of the largest",
    },
    training=(
        "By the site that installs its networks: those of the source were not published. There, levels were five "
        "bins of the Global CT Score (five lobes, 0 to 5 each), and I3D began with weights of Kinetics. "
        "`opacity-node train ct-severity` trains both on a site's own CTs. Nothing that comes with the program was "
        "trained."
    ),
    assessment=(
        "Not assessed here: no trained networks and no CTs with known severity were at hand. That the networks, "
        "trained, find planted opacity and look at it is proved on synthetic chests; how good the source's networks "
        "were is its authors' claim, and how good a site's are, the site's to find out."
    ),
    quality=(
        Quality(
            measure="accuracy, five levels",
            value="60 %",
            on="4-fold cross-validation on 350 patients, by the source's own networks, which are not those here",
            source=_PAPER,
            is_claimed=True,
        ),
    ),
    limits=(
        "No number is calibrated: 60 % does not mean 60 of 100.",
        "What the levels mean is what the installed networks were trained to: the bins of the source are not stated.",
        "Two in five patients got another level than the truth, by the source's own claim.",
        "Slices on which lungs cover less than 5 % are not looked at: apices and bases count little.",
        "Lungs that R231 finds in part, such as behind large consolidation or effusion, are seen in part.",
        "Whole slices are shrunk to 112 or 224 pixels: what is smaller than 5 mm or so is not seen.",
        "Attention is as coarse as a few centimetres, and shows what speaks for a level, not what speaks against it.",
        "Our choice, where the source is silent: slices from feet to head, padded to a square, not cropped to lungs.",
        "Our choice too: size of LTC's input, values from 0 to 1, equal colours for I3D, one output for COVID-19.",
    ),
    references=(
        f"{_PAPER}: networks, window, mask, rule of slices, Grad-CAM.",
        "LTC: Varol et al., IEEE TPAMI 2018;40:1510, arXiv:1604.04494.",
        "I3D: Carreira and Zisserman, CVPR 2017, arXiv:1705.07750.",
        "Grad-CAM: Selvaraju et al., IJCV 2020;128:336, arXiv:1610.02391.",
        "Global CT Score: Pan et al., Radiology 2020;295:715.",
        "Hofmanninger et al., Eur Radiol Exp 2020;4:50 (lungmask R231).",
    ),
    weights=(_LUNGS, *_SLOTS.values()),
)

_ALWAYS = (
    "Uncalibrated: levels and scores mean what this site trained its networks to say.",
    "Severity levels hold given COVID-19 only.",
)


class CTSeverity(CTPipeline):
    """The pipeline.

    Parameters
    ----------
    weights : Path
        Folder that holds the weights of its three slots.
    """

    card = CARD
    wanted = _INPUT

    def __call__(self, series: Series, device: str) -> Findings:
        """Judge one CT stack.

        Parameters
        ----------
        series : Series
            That `accepts` lets pass.
        device : str
            Torch device.

        Raises
        ------
        SelectionRefusedError
            If no lungs are found, or too little of them, or the scan ends within them.
        inference.weights.WeightsRefusedError
            If weights are missing, or are not what they should be.
        """
        # SimpleITK, scipy and torch are imported with these.
        from inference.lung_regions import lung_regions, total_volume
        from inference.resampled_ct import resampled_ct
        from inference.severity.prepared import prepare_ct
        from inference.severity.reading import read
        from inference.severity.statements import disagreement, headlines, of_each, other_levels, voices

        found = Shelf(self._weights).require(*CARD.weights)
        ct = resampled_ct(series, found[_LUNGS], device=device)
        prepared, told = prepare_ct(ct)
        readings = {name: read(prepared, found[slot], device=device) for name, slot in _SLOTS.items()}
        mean, *networks = voices(readings)
        lungs = lung_regions(ct)
        return Findings(
            algorithm=algorithm_of(CARD, found, [ct.parameters, *_computed(readings)]),
            source_instances=series.sop_instance_uids,
            measurements=(
                *headlines(mean),
                total_volume(lungs),
                *of_each(*networks, slices=len(prepared.kept)),
                *other_levels(mean, *networks),
            ),
            headlines=2,
            categories=tuple(said.answer for said in (mean, *networks)),
            regions=lungs,
            heatmaps=tuple(
                _heatmap(name, reading.attention, prepared, ct)
                for name, reading in readings.items()
                if reading.attention is not None
            ),
            warnings=(*disagreement(*networks), *told, *_warnings(prepared, readings, ct), *_ALWAYS),
        )


def _heatmap(name: str, attention: "Attention", prepared: "Prepared", ct: "ResampledCT") -> Heatmap:
    from inference.deferred import DeferredHeatmap

    return DeferredHeatmap(
        label=f"attention {name}",
        quantity=_ATTENTION,
        unit=NO_UNITS,
        grid=ct.geometry,
        value_range=(0.0, 1.0),
        compute=lambda: attention.on_grid(prepared),
    )


def _warnings(prepared: "Prepared", readings: "Mapping[str, Reading]", ct: "ResampledCT") -> Iterator[str]:
    from inference.wording import counted

    left_out = int(prepared.kept[-1] - prepared.kept[0]) + 1 - len(prepared.kept)
    if left_out:
        between = counted(left_out, "slice")
        yield f"{between} of 5 mm between others with lung were not looked at: lungs cover less than 5 % there."
    for name, reading in readings.items():
        if reading.attention is None:
            yield f"No attention map of {name}: nothing in its last block speaks for its level."
    yield from dict.fromkeys((*ct.warnings, *(line for reading in readings.values() for line in reading.warnings)))


def _computed(readings: "Mapping[str, Reading]") -> Iterator[Mapping[str, str]]:
    for name, reading in readings.items():
        yield {**reading.parameters, f"input_{name.lower()}": " x ".join(map(str, reading.size))}
