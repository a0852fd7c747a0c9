"""What the help of a recipe says is what the recipe does."""

import pytest
from typer.main import get_command

from node.cli import app
from training.ct_severity.fitting import Network
from training.ct_severity.fitting import Recipe as CtSeverity
from training.ct_severity.recipe import SIZES
from training.lung_fields.fitting import Recipe as LungFields
from training.opacity_boxes.numbers import Numbers as Boxes
from training.opacity_ensemble.fitting import Recipe as OpacityEnsemble
from training.opacity_explain.numbers import Kind, Part, published

LUNGS, CLASSIFIER, REGRESSOR, MAP = (published(Part(kind=kind)) for kind in Kind)


def defaults_of(recipe):
    return {one.name: one.show_default for one in get_command(app).commands["train"].commands[recipe].params}


def shown(value):
    return f"{value:.5f}".rstrip("0") if isinstance(value, float) else str(value)


@pytest.mark.parametrize(
    ("recipe", "numbers", "names"),
    [
        ("ct-severity", CtSeverity(), ["width", "epochs", "batch", "learning_rate", "seed"]),
        ("lung-fields", LungFields(), ["epochs"]),
        ("opacity-boxes", Boxes(), ["epochs", "batch", "learning_rate", "momentum", "weight_decay"]),
        ("opacity-ensemble", OpacityEnsemble(), ["epochs"]),
    ],
)
def test_the_help_names_the_numbers_of_the_recipe(recipe, numbers, names):
    said = defaults_of(recipe)
    assert {name: said[name].split(",")[0] for name in names} == {name: shown(getattr(numbers, name)) for name in names}


def test_the_help_names_the_sizes_of_both_networks_of_severity():
    sizes = {name: " ".join(map(str, SIZES[Network(name)])) for name in ("ltc", "i3d")}
    assert defaults_of("ct-severity")["size"] == f"ltc: {sizes['ltc']}; i3d: {sizes['i3d']}"


def test_the_help_of_opacity_explain_names_the_numbers_of_each_kind_of_part():
    said = defaults_of("opacity-explain")
    assert said["epochs"] == (
        f"as the source: lungs {LUNGS.epochs}, classifiers {CLASSIFIER.epochs}, regressors {REGRESSOR.epochs}, "
        f"maps {MAP.epochs}"
    )
    assert (LUNGS.batch, CLASSIFIER.batch) == (MAP.batch, MAP.batch)
    assert said["batch"] == f"as the source: {MAP.batch}, regressors {REGRESSOR.batch}"
    assert LUNGS.learning_rate == MAP.learning_rate
    assert said["learning_rate"] == (
        f"as the source: classifiers {shown(CLASSIFIER.learning_rate)}, regressors {shown(REGRESSOR.learning_rate)}, "
        f"lungs and maps {shown(MAP.learning_rate)}"
    )
    assert (REGRESSOR.decay, LUNGS.decay) == (MAP.decay, 1)
    assert said["decay"] == f"as the source: classifiers {CLASSIFIER.decay}, regressors and maps {MAP.decay}"
