"""No file but the loader's own makes a network that could run with random values."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MAKERS = (
    "timm",
    "torchvision.models",
    "segmentation_models_pytorch",
    "monai",
    "lungmask",
    "nnunetv2",
    "torchxrayvision",
    "inference.networks",
)
MAKES_NONE = (  # what they do with arrays, and records
    "lungmask.utils.",
    "torchxrayvision.utils.",
    "torchxrayvision.datasets.",
    "inference.networks.answers.",
    "inference.networks.roi_rows.",
    *(f"inference.networks.encoders.{name}" for name in ("Features", "features", "score")),
)
LOADERS = {"load_network", "load_predictor"}
LOADS = {"load", "load_state_dict", "load_state_dict_from_url", "from_pretrained"}
PACKAGES = ("inference", "node", "handlers", "dicom_out", "db", "phantom")
LOADING = REPOSITORY / "inference" / "weights"
BENCH = (
    "ct_ours",
    "ct_package",
    "ct_run",
    "infer",
    "operations",
    "planted_lungs",
    "stand_in_nnunets",
    "stand_ins",
    "xray_boxes",
    "xray_ensemble",
    "xray_explain",
    "xray_naive",
    "xray_rates",
    "xray_run",
)
"""They time networks of random weights, or count their operations."""


def sources() -> list[Path]:
    return [
        path
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        if not path.is_relative_to(LOADING) and path not in bench()
    ]


def bench() -> list[Path]:
    return [REPOSITORY / "node" / "bench" / f"{name}.py" for name in BENCH]


def imported(tree: ast.Module) -> dict[str, str]:
    """Return the names that a file imports from libraries of networks."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {(alias.asname or alias.name).partition(".")[0]: alias.name for alias in node.names}
    return {
        name: origin
        for name, origin in names.items()
        if any((origin + ".").startswith(f"{maker}.") for maker in MAKERS) and not origin.startswith(MAKES_NONE)
    }


def within_loader(tree: ast.Module) -> set[ast.AST]:
    """Return all that stands inside a call of the loader, inside functions that are named there, and inside networks.

    A class that is made of parts is a network itself, and is made by the loader.
    """
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in LOADERS
    ]
    inside = {child for call in calls for child in ast.walk(call)}
    named = {node.id for node in inside if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        is_made_there = isinstance(node, ast.FunctionDef) and node.name in named
        if is_made_there or (isinstance(node, ast.ClassDef) and is_network(node, tree)):
            inside |= set(ast.walk(node))
    return inside


def is_network(defined: ast.ClassDef, tree: ast.Module) -> bool:
    roots = {ast.unparse(base).partition(".")[0] for base in defined.bases}
    return bool(roots & {"nn", *imported(tree)})


def unverified(source: str, path: str) -> list[str]:
    """Return each place that makes a network, or reads weights, without the loader."""
    tree = ast.parse(source)
    makers, inside, found = imported(tree), within_loader(tree), []
    takes_verified = "weights: Verified" in source
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or node in inside:
            continue
        function = node.func
        root = function
        while isinstance(root, ast.Attribute):
            root = root.value
        name = root.id if isinstance(root, ast.Name) else ""
        called = ast.unparse(function).replace(name, makers.get(name, name), 1)
        if (
            name in makers
            and not called.startswith(MAKES_NONE)
            and not (makers[name].startswith("inference.networks") and has_weights(node))
        ):
            found.append(f"{path}:{node.lineno} calls {makers[name]}")
        reads = isinstance(function, ast.Attribute) and function.attr in LOADS and name in {"torch", "pickle"}
        if reads or (isinstance(function, ast.Attribute) and function.attr == "load_state_dict"):
            found.append(f"{path}:{node.lineno} reads weights")
    if path.startswith("inference/networks/") and "import LMInferer" in source and not takes_verified:
        found.append(f"{path} wraps a network without verified weights")
    return found


def has_weights(call: ast.Call) -> bool:
    """Say whether a network of ours is given weights, which its constructor demands to be verified."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return any("weights" in ast.unparse(argument) for argument in given)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_file_makes_a_network_without_the_loader(path):
    assert unverified(path.read_text(encoding="utf-8"), str(path.relative_to(REPOSITORY))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import timm\nnetwork = timm.create_model('efficientnet_b4')",
        "from torchvision.models import convnext_tiny\nnetwork = convnext_tiny()",
        "from torchvision.models.detection import fasterrcnn_resnet50_fpn as f\nnetwork = f(num_classes=5)",
        "import torchxrayvision as xrv\nnetwork = xrv.models.DenseNet(weights='densenet121-res224-all')",
        "from lungmask import LMInferer\nLMInferer()",
        "from inference.networks.ltc import LTC\nnetwork = LTC(5)",
        "from inference.networks.ltc import LTC\nclass Pipeline(Protocol):\n    network = LTC(5)",
        "import torch\nstate = torch.load('x.pth', weights_only=True)",
        "import torch\nstate = torch.hub.load_state_dict_from_url('x')",
        "network.load_state_dict(state)",
        "import pickle\npickle.load(f)",
    ],
)
def test_this_check_finds_what_it_is_for(source):
    assert unverified(source, "inference/pipelines/new.py")


@pytest.mark.parametrize(
    "source",
    [
        "from inference.networks.ltc import LTC\nnetwork = load_network(found, lambda: LTC(5))",
        "import timm\ndef build():\n    return timm.create_model('x')\nnetwork = load_network(found, build)",
        "from inference.networks.r231 import LungMask\nLungMask(weights, device='cpu')",
        "from torchvision.models.resnet import ResNet\nclass Net(nn.Module):\n    body = ResNet()",
        "import json\njson.load(f)",
    ],
)
def test_this_check_lets_the_loader_pass(source):
    assert unverified(source, "inference/pipelines/new.py") == []


WRITES = ("dicom_out", "db", "node.worker", "node.offline", "node.engine", "node.installation")


def test_what_times_random_weights_imports_nothing_that_writes_results():
    for path in bench():
        names = modules(ast.parse(path.read_text(encoding="utf-8")))
        assert not [name for name in names if f"{name}.".startswith(tuple(f"{writer}." for writer in WRITES))], path


def test_nothing_but_the_benchmark_knows_random_weights():
    knows = [
        path
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        if any("stand_in" in name for name in modules(ast.parse(path.read_text())))
    ]
    assert knows
    assert set(knows) < set(bench())


def modules(tree: ast.Module) -> set[str]:
    """Return every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found
