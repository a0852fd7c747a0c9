"""torchxrayvision's networks against torchxrayvision used as its documentation shows."""

import importlib.util
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import torch

from inference.compute import Limits, Precision, limits, set_limits
from inference.networks import xrv as networks

xrv = networks.xrv
_SEED, _WHOLE = 5, networks.pspnet


@pytest.fixture(autouse=True)
def in_float32():
    before = limits()
    set_limits(Limits(precision=Precision.FLOAT32))
    yield
    set_limits(before)


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    monkeypatch.setattr(xrv.utils, "download", None)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", None)


@pytest.fixture(scope="module")
def densenet(stored):
    torch.manual_seed(_SEED)
    network = xrv.models.DenseNet(num_classes=18)
    with torch.no_grad():  # scores on both sides of the operating points
        network.classifier.weight.normal_(0, 0.2)
    return stored("xrv-densenet121-all", network)


@pytest.fixture(scope="module")
def pspnet(stored):
    """Full width, but with the least depth: on a CPU the whole takes ten seconds an image."""
    shallow = partial(networks.pspnet, block_config=[1, 1, 1, 1])
    torch.manual_seed(_SEED)
    state = shallow(14).state_dict()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "pspnet", shallow)
        patch.setattr(xrv.baseline_models.chestx_det, "pspnet", shallow)
        yield stored("xrv-pspnet", {f"module.{name}": value for name, value in state.items()})


def documented(image, side):
    """As torchxrayvision's README prepares an image of 8 bits."""
    prepared = xrv.datasets.normalize(np.rint(image * 255), 255)[None]
    transform = [xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(side)]
    for step in transform:
        prepared = step(prepared)
    return torch.from_numpy(prepared)[None]


def test_findings_are_those_of_the_documented_use(densenet, images):
    whole = [np.rint(image * 255) / np.float32(255) for image in images]
    answered = networks.findings(densenet, whole, "cpu")
    theirs = xrv.models.DenseNet(weights="densenet121-res224-all", cache_dir=densenet.path.parent)
    for image, scores in zip(whole, answered.each, strict=True):
        with torch.inference_mode():
            wanted = theirs(documented(image, 224))[0].numpy()
        assert list(scores) == theirs.pathologies
        np.testing.assert_allclose(list(scores.values()), wanted, atol=1e-5)
        assert np.ptp(wanted) > 0.1


def test_findings_without_operating_points_would_be_others(densenet, images):
    thresholds = list(densenet.thresholds.values())
    assert thresholds == pytest.approx(xrv.models.model_urls["densenet121-res224-all"]["op_threshs"])
    network = networks._densenet(densenet)
    with torch.inference_mode():
        logits = network.classifier(network.features2(documented(images[0], 224)))
    assert not np.allclose(logits, list(networks.findings(densenet, images[:1], "cpu").each[0].values()), atol=0.1)


def test_lungs_are_those_of_the_documented_use(pspnet, images):
    square = np.rint(images[1] * 255) / np.float32(255)
    found = networks.lungs(pspnet, [square], "cpu").each[0]
    theirs = xrv.baseline_models.chestx_det.PSPNet(cache_dir=pspnet.path.parent)
    with torch.inference_mode():
        logits = theirs(documented(square, 512))
    assert logits.shape == (1, 14, 512, 512)
    wanted = logits[0, [theirs.targets.index("Right Lung"), theirs.targets.index("Left Lung")]].sigmoid().numpy()
    np.testing.assert_allclose(found.probabilities, networks.resized(wanted, (256, 256)), atol=1e-5)


def test_the_whole_network_takes_what_the_release_file_holds_and_says_the_same_twice_and_of_several(
    stored, monkeypatch
):
    monkeypatch.setattr(networks, "pspnet", _WHOLE)
    whole = _WHOLE(14)
    verified = stored("xrv-pspnet", {f"module.{name}": value for name, value in whole.state_dict().items()})
    network = networks._pspnet(verified)
    assert network.model.block_config == [3, 4, 23, 3]
    assert all(torch.equal(value, network.model.state_dict()[name]) for name, value in whole.state_dict().items())
    images = torch.rand(2, 3, 96, 96)  # of seconds; it pools to a grid of 6 x 6
    with torch.inference_mode():
        together, again = network.model(images), network.model(images)
        alone = torch.cat([network.model(image[None]) for image in images])
    assert together.shape == (2, 14, 96, 96)
    assert torch.equal(together, again)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(300, 260), (260, 300), (301, 260), (260, 301), (211, 211)])
def test_the_square_is_the_one_that_torchxrayvision_cuts(shape):
    image = np.arange(shape[0] * shape[1]).reshape(shape)
    assert (image[networks.square(shape)] == xrv.datasets.XRayCenterCrop()(image[None])[0]).all()


@pytest.mark.parametrize("shape", [(300, 240), (240, 301), (700, 500)])
def test_what_is_found_in_the_square_lies_where_the_image_shows_it(shape):
    truth = np.zeros(shape, dtype=np.float32)
    rows, columns = networks.square(shape)
    truth[rows.start + 20 : rows.start + 90, columns.start + 100 : columns.start + 160] = 1
    seen = networks.prepared(truth, 512) / 2048 + 0.5
    found = networks._back(np.concatenate([seen, 0 * seen]), shape)
    assert found.masks.shape == (2, *shape)
    assert (found.masks[0] != (truth > 0.5)).mean() < 0.002
    assert not found.masks[1].any()
    outside = np.ones(shape, dtype=bool)
    outside[found.known] = False
    assert not found.probabilities[:, outside].any()


def test_no_pixel_is_of_both_lungs():
    both = np.full((2, 4, 4), 0.9, dtype=np.float32)
    both[1, 0] = 0.95
    masks = networks.Lungs(probabilities=both, known=(slice(0, 4), slice(0, 4))).masks
    assert not masks.all(axis=0).any()
    assert masks[1, 0].all()


def test_several_images_get_what_each_alone_gets(densenet, pspnet, images):
    together = networks.findings(densenet, images, "cpu").each
    alone = [networks.findings(densenet, [image], "cpu").each[0] for image in images]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(list(one.values()), list(other.values()), atol=1e-5)


def test_importing_the_networks_leaves_warnings_as_they_were(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchxrayvision"]:
        monkeypatch.delitem(sys.modules, name)
    spec = importlib.util.spec_from_file_location("imported_anew", networks.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "imported_anew", module)
    before = warnings.filters[:]
    spec.loader.exec_module(module)
    assert module.xrv is not xrv
    assert warnings.filters == before
