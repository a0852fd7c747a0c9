"""Lung volume and density: how much lung there is, and how much of it is too dark or too dense.

Finds the lungs, counts voxels in published bands of Hounsfield units, and marks opacity. Imports nothing heavy until
it runs, so that cards can be read by the receiving service.
"""

from collections.abc import Iterator

from inference.card import NOT_FOR, RESEARCHERS, CTInput, KernelPreference, ModelCard, Quality
from inference.codes import BILATERAL, LUNG, NO_UNITS, SCHEME
from inference.coding import Code
from inference.ct_fit import CTPipeline, coverage_mm, thickness_mm
from inference.densities import Densities
from inference.findings import Algorithm, Findings, Refusal, SelectionRefusedError, Site
from inference.kernel import Sharpness, sharpness
from inference.series import Series

_LOCAL_OPACITY = Code("LOCALOP", SCHEME, "Local opacity fraction")
_THICK_MM = 3.0
_SHORT_MM = 220.0

_INPUT = CTInput(
    thickness_mm=(0.3, 5.0),
    # Sharp kernels raise noise and with it the share below -950 HU: Boedeker et al., Radiology 2004;232:295.
    kernel=KernelPreference.SOFT,
    min_coverage_mm=150.0,
    header_keywords=("ConvolutionKernel", "SliceThickness", "ContrastBolusAgent", "PatientPosition"),
)

CARD = ModelCard(
    name="lung-densitometry",
    version="1.2.0",
    title="Lung volume, density bands and opacity on chest CT",
    purpose="Measure both lungs on one axial chest CT and mark opacity (ground glass and consolidation) for a reader.",
    output=(
        "Right and left lung and opacity as regions; volume in mL, mean density in HU, and shares of the lung in %: "
        "emphysema index, high-attenuation area, consolidation, opacity; a map of the local opacity fraction, from 0 "
        "to 1, where a destination wants maps."
    ),
    intended_users=RESEARCHERS,
    not_for=(
        *NOT_FOR,
        "Diagnosing pneumonia, COVID-19, emphysema or fibrosis: it measures density and names no disease.",
        "Children, other parts of the body, images that are not in Hounsfield units.",
    ),
    input=_INPUT,
    parameters={
        "emphysema_hu": "< -950",
        "high_attenuation_hu": "-600 to -250",
        "consolidation_hu": "> -250",
        "opacity": "> -600 HU on 2 mm blocks, opened by 4 mm, regrown by 3 mm, parts of 1 mL or more",
        "local_opacity": "opacity over lung, both weighed by a Gaussian of 3 mm, on 2 mm blocks",
        "lung_ends": "warned above 5 cm2 on the outermost slice, refused from 80 % of the largest",
    },
    training=(
        "None: classical image analysis, whose settings were chosen with the synthetic chest and one CT of COVID-19 at "
        "hand. The optional lungmask R231 was trained by its authors (references); nothing of it was trained here."
    ),
    assessment=(
        "Not measured against a reference: no lungs or opacity drawn by people were at hand. It was judged by eye on "
        "one CT of COVID-19, and measured on the synthetic chest that it was made with, which says that the code does "
        "what it should, not how it does on patients."
    ),
    quality=tuple(
        Quality(
            measure=f"Dice, {region}",
            value=value,
            on="one synthetic chest, 72 slices of 256 x 256 pixels, known to its makers",
            source="tests/unit/inference/test_cards.py measures it, on phantom/ct.py",
        )
        for region, value in (("right lung", "0.995"), ("left lung", "0.994"), ("opacity", "0.954"))
    ),
    limits=(
        "The classical lung mask finds consolidation only behind aerated lung; it takes effusion there for lung.",
        "A collapsed, removed or wholly consolidated lung is refused, or missed in part.",
        "Bases or apices not scanned are warned about, and refused where the scan ends in the thick of the lungs.",
        "Opacity may hold hilar vessels, atelectasis, fibrosis and tumour, and misses what is thinner than 8 mm.",
        "Thick slices, sharp kernels, contrast agent and the depth of breath shift every share.",
        "The map is the marked opacity, smoothed: no probability, and no more certain than the mask.",
        "Consolidation within the density bands includes vessels; the opacity region does not, as far as it can tell.",
    ),
    references=(
        "Emphysema index below -950 HU: Gevenois et al., Am J Respir Crit Care Med 1996;154:187 (1 mm slices).",
        "High-attenuation area -600 to -250 HU: Lederer et al., Am J Respir Crit Care Med 2009;180:407.",
        "The same, in a cohort: Podolanczuk et al., Eur Respir J 2016;48:1442.",
        "Consolidation > -250 HU, opacity > -600 HU: conventions of this project, the ends of that band.",
        "Soft kernel: Boedeker et al., Radiology 2004;232:295 (sharp kernels bias the emphysema index).",
        "Lung mask by network, where its weights are: Hofmanninger et al., Eur Radiol Exp 2020;4:50 (lungmask R231).",
    ),
    weights=("lungmask-r231",),
)


class LungDensitometry(CTPipeline):
    """The pipeline.

    Parameters
    ----------
    weights : Path
        Folder that may hold R231's weights; without them the classical lung mask is used.
    """

    card = CARD
    wanted = _INPUT

    def __call__(self, series: Series, device: str) -> Findings:
        """Measure one CT stack.

        Parameters
        ----------
        series : Series
            That `accepts` lets pass.
        device : str
            Torch device, used by R231 only.

        Raises
        ------
        SelectionRefusedError
            If no two lungs are found, or the scan ends within them.
        inference.weights.WrongWeightsError
            If R231's file is not the pinned one.
        """
        # SimpleITK, scipy and skimage are imported with these.
        from inference.ct_lungs import find_lungs
        from inference.deferred import DeferredHeatmap
        from inference.lung_ends import check_ends
        from inference.opacity import find_opacity, local_opacity
        from inference.working_grid import coarsen

        lungs = find_lungs(series, weights_folder=self._weights, device=device)
        if isinstance(lungs, Refusal):
            raise SelectionRefusedError(lungs)
        ends = check_ends(lungs.right | lungs.left, series.geometry)
        if isinstance(ends, Refusal):
            raise SelectionRefusedError(ends)
        grid = coarsen(series.pixel_array, series.geometry.spacing_mm)
        both = lungs.right | lungs.left
        opacity = find_opacity(grid, both)
        measured = Densities(series, both, opacity)
        heatmap = DeferredHeatmap(
            label="local opacity",
            quantity=_LOCAL_OPACITY,
            unit=NO_UNITS,
            grid=grid.geometry(series.geometry),
            value_range=(0.0, 1.0),
            compute=lambda: local_opacity(grid, opacity, both),
        )
        algorithm = Algorithm(
            name=CARD.name,
            version=CARD.version,
            weights_sha256=lungs.weights_sha256,
            parameters={**CARD.parameters, **lungs.parameters},
        )
        return Findings(
            algorithm=algorithm,
            source_instances=series.sop_instance_uids,
            measurements=measured.lung(measured.lungs, Site(location=LUNG, laterality=BILATERAL)),
            regions=tuple(measured.regions(lungs.right, lungs.left)),
            heatmaps=(heatmap,),
            warnings=(*ends, *lungs.warnings, *_warnings(series, classical=lungs.weights_sha256 is None)),
        )


def _warnings(series: Series, *, classical: bool) -> Iterator[str]:
    header = series.headers[0]
    thickness, coverage = thickness_mm(series), coverage_mm(series)
    position, values = str(header.get("PatientPosition", "")), header.get("ConvolutionKernel") or ""
    kernel = values if isinstance(values, str) else "\\".join(values)
    if classical:
        yield "Classical lung mask: consolidation is bounded by the ribs, effusion behind the lung may be included."
    if thickness > _THICK_MM:
        yield f"Slices of {thickness:g} mm: partial volume lowers the emphysema index (published on 1 mm slices)."
    if sharpness(kernel) is Sharpness.SHARP:
        yield f"Sharp kernel {kernel}: noise raises the emphysema index; compare only within one kernel."
    if coverage < _SHORT_MM:
        yield f"The stack covers {coverage:.0f} mm: parts of the lungs may be missing."
    if header.get("ContrastBolusAgent"):
        yield "Contrast agent was given: density shares shift towards dense."
    if position[2:3] == "P" or "D" in position:
        yield f"Patient position {position}: the search for dependent consolidation assumes a supine patient."
