"""Balaïtous: two scores of one chest CT, for COVID-19 and, given that, for a severe outcome; as its package has them.

Its steps are in `inference.balaitous`. Imports nothing heavy until it runs, so that cards can be read by the receiving
service.
"""

from collections.abc import Sequence
from dataclasses import replace

from inference.algorithms import algorithm_of
from inference.balaitous.demographics import KEYWORDS, demographics
from inference.balaitous.readout import part_measurements, score_measurements, told_measurements
from inference.balaitous.regressions import load_regressions, scores
from inference.card import NOT_FOR, RESEARCHERS, CTInput, ModelCard, Quality
from inference.ct_fit import CTPipeline
from inference.findings import Findings
from inference.series import Series
from inference.weights import Shelf

_INPUT = CTInput(thickness_mm=(0.3, 5.0), min_coverage_mm=150.0, header_keywords=(*KEYWORDS, "SliceThickness"))
BLOCKS = {"full": 24, "lung": 16}
"""Of each network, by what it looks at: whole slices, lungs alone."""
EVIDENCE = "docs/evidence/parity.json"
"""Written by `make parity`."""
_SEVERE_AUC, _COVID_AUC = "80.44 %", "83.22 %"
_OVERVIEW = "Jégou, Balaïtous overview, STOIC challenge, 18 October 2022"
_README = "Jégou, README of the package balaitous 1.2"

CARD = ModelCard(
    name="balaitous",
    version="1.0.0",
    title="Scores for COVID-19 and for its severe outcome on chest CT",
    purpose=(
        "Give one axial chest CT the two scores of Balaïtous: for COVID-19, and, given COVID-19, for a severe outcome, "
        "which is intubation or death within one month."
    ),
    output=(
        "Two scores from 0 to 100 %, neither of them calibrated: they order patients, and are no probabilities. Beside "
        "them the four regressions that they are sums of, the age and sex that were used and where they were had, "
        "right and left lung as regions, and volumes in mL."
    ),
    intended_users=RESEARCHERS,
    not_for=(
        *NOT_FOR,
        "Finding or excluding COVID-19 or any other disease: other pneumonias were never asked about.",
        "The severity of anything but COVID-19: that score was fitted on patients with COVID-19 only.",
        "Children, other parts of the body, images that are not in Hounsfield units.",
    ),
    input=_INPUT,
    parameters={
        "grid": "1.5 x 1.5 x 5 mm, linear, sizes truncated",
        "lung_cleaning": "largest part of each lung; parts on a slice with 5th percentile > -100 HU dropped",
        "frame": "224 x 224 pixels about the lungs, -1024 HU where there is none",
        "slices": "first to last with lung, that excluded; less 10 % at each end; refused below 10 with lung",
        "window_hu": "-1024 to 600, ImageNet mean and deviation",
        "networks": "iBOT ViT-L/16, class token: 24 blocks on slices, 16 on lungs alone; mean of slices and flips",
        "covariates": "severity: age / 100 in 0.25 to 0.95 (missing: 65 years), sex 1 M, 0 F, 0.5 else",
    },
    training=(
        "By its authors, on data that are not here: the networks on CT slices and on ImageNet-22k, the regressions on "
        "the public part of STOIC, 2000 patients of French hospitals in spring 2020, those of severity on the ones "
        "with COVID-19. Nothing was trained here."
    ),
    assessment=(
        "Not assessed here: the networks' weights and patients with a known outcome were not at hand. That it computes "
        "what its package computes is proved with random weights; how well that tells patients apart is its authors' "
        "claim, made on the challenge's patients, who came from the same hospitals."
    ),
    quality=(
        Quality(
            measure="difference from the package, float32",
            value="1.8e-08",
            on="largest in a score of 0 to 1: all 36 slices of one real CT, and a phantom; random weights",
            source=EVIDENCE,
        ),
        *(
            Quality(
                measure=f"cost of bfloat16, {outcome}",
                value=value,
                on="largest in a score of 0 to 1: all 36 slices of one real CT, and 4 of them with 5 random networks",
                source=EVIDENCE,
            )
            for outcome, value in (("severe outcome", "0.00026"), ("COVID-19", "0.0027"))
        ),
        *(
            Quality(measure=f"AUC, {outcome}", value=value, on=on, source=_OVERVIEW, is_claimed=True)
            for on, severe, covid in (
                ("cross-validation on its training patients, 4 x 8 folds", "80.36 ± 2.80 %", "82.98 ± 2.01 %"),
                ("qualification leaderboard, 800 unseen patients", _SEVERE_AUC, _COVID_AUC),
            )
            for outcome, value in (("severe outcome", severe), ("COVID-19", covid))
        ),
        *(
            Quality(
                measure=f"AUC, {outcome}",
                value=value,
                on="final leaderboard, 1000 unseen patients, by regressions on 9724 patients, which are not these",
                source=_README,
                is_claimed=True,
            )
            for outcome, value in (("severe outcome", "81.0 %"), ("COVID-19", "84.5 %"))
        ),
    ),
    limits=(
        "Neither score is calibrated: 60 % does not mean 60 of 100. Its author names calibration as missing.",
        "A test on patients of other hospitals is missing too, by the same author.",
        "The severity score follows the burden of lesions, its author found: it is low where few are seen.",
        "Without age in the header 65 years are assumed, without sex the value between both: severity then says less.",
        "bfloat16, the default where a machine has units for it, moves both scores; float16 is never used.",
        "Patients of 2020: vaccines, treatments and later variants have changed what the scores were fitted to.",
        "With lungs that R231 finds in part, such as behind large consolidation or effusion, both scores may be off.",
        "The lungs are those that the scores were computed from: the largest part of each, at 1.5 x 1.5 x 5 mm.",
    ),
    references=(
        "Jégou, package balaitous 1.2 (MIT), https://github.com/SimJeg/balaitous: the reference of every step.",
        "Jégou, Balaïtous overview, STOIC challenge, 18 October 2022.",
        "Lassau et al., Nature Communications 2021;12:634 (AI-severity, which it improves on).",
        "Revel et al., Radiology 2021;301:E361 (the STOIC study).",
        "Zhou et al., iBOT: Image BERT Pre-Training with Online Tokenizer, ICLR 2022.",
        "Hofmanninger et al., Eur Radiol Exp 2020;4:50 (lungmask R231).",
    ),
    weights=("lungmask-r231", "balaitous-full", "balaitous-lung", "balaitous-heads"),
)

_ALWAYS = (
    "Both scores are uncalibrated: they order patients, they are no probabilities.",
    "The severe-outcome score (intubation or death within one month) holds given COVID-19 only.",
    "Trained on patients of French hospitals in spring 2020, before vaccines and later variants.",
    f"Its author's claim, not checked here: AUC {_COVID_AUC} (COVID-19), {_SEVERE_AUC} (severe outcome), 800 patients.",
)


class Balaitous(CTPipeline):
    """The pipeline.

    Parameters
    ----------
    weights : Path
        Folder that holds the weights of its four slots.
    """

    card = CARD
    wanted = _INPUT

    def __call__(self, series: Series, device: str) -> Findings:
        """Score one CT stack.

        Parameters
        ----------
        series : Series
            That `accepts` lets pass.
        device : str
            Torch device.

        Raises
        ------
        SelectionRefusedError
            If no lung is found, or too little of it, or the scan ends within the lungs.
        inference.weights.WeightsRefusedError
            If weights are missing, or are not what they should be.
        """
        # SimpleITK, skimage and torch are imported with these.
        from inference.balaitous.features import features
        from inference.balaitous.preparation import prepare
        from inference.balaitous.windowing import windowed
        from inference.lung_regions import lung_regions, total_volume
        from inference.resampled_ct import resampled_ct

        found = Shelf(self._weights).require(*CARD.weights)
        regressions = load_regressions(found["balaitous-heads"])
        patient = demographics(series.headers)
        ct = resampled_ct(series, found["lungmask-r231"], device=device)
        prepared = prepare(ct)
        said = {
            view: features(windowed(scan), found[f"balaitous-{view}"], blocks=BLOCKS[view], device=device)
            for view, scan in (("full", prepared.full), ("lung", prepared.lung))
        }
        both = scores(regressions, {view: part.values for view, part in said.items()}, patient.covariates)
        lungs = lung_regions(replace(ct, labels=prepared.labels))
        return Findings(
            algorithm=algorithm_of(CARD, found, [ct.parameters, *(part.parameters for part in said.values())]),
            source_instances=series.sop_instance_uids,
            measurements=(
                *score_measurements(both),
                total_volume(lungs),
                *told_measurements(patient, prepared.slices),
                *part_measurements(both),
            ),
            headlines=2,
            regions=lungs,
            warnings=_each_once(
                patient.warnings, prepared.warnings, ct.warnings, *(part.warnings for part in said.values()), _ALWAYS
            ),
        )


def _each_once(*groups: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(warning for group in groups for warning in group))
