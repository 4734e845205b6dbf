"""LPIPS with randomly initialised weights against the authors' formula written out, pair by pair."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from rediffuse.errors import UserError
from rediffuse.evaluation.lpips import CHANNELS, LpipsDistance

# Convolutions of torchvision's `features`: index, channels in and out, kernel, stride, padding; "pool" before some.
ALEX = [
    (0, 3, 64, 11, 4, 2),
    "pool",
    (3, 64, 192, 5, 1, 2),
    "pool",
    (6, 192, 384, 3, 1, 1),
    (8, 384, 256, 3, 1, 1),
    (10, 256, 256, 3, 1, 1),
]
VGG = [
    [(0, 3, 64), (2, 64, 64)],
    [(5, 64, 128), (7, 128, 128)],
    [(10, 128, 256), (12, 256, 256), (14, 256, 256)],
    [(17, 256, 512), (19, 512, 512), (21, 512, 512)],
    [(24, 512, 512), (26, 512, 512), (28, 512, 512)],
]


def random_weights(network: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    if network == "alex":
        shapes = {conv[0]: (conv[2], conv[1], conv[3], conv[3]) for conv in ALEX if conv != "pool"}
    else:
        shapes = {index: (out, into, 3, 3) for block in VGG for index, into, out in block}
    net = {}
    for index, shape in shapes.items():
        fan = shape[1] * shape[2] * shape[3]
        net[f"features.{index}.weight"] = torch.randn(shape, generator=generator) * (2 / fan) ** 0.5
        net[f"features.{index}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    heads = {
        f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1, generator=generator) for i, c in enumerate(CHANNELS[network])
    }
    return net, heads


def plain_maps(network: str, net: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    maps = []
    if network == "alex":
        for conv in ALEX:
            if conv == "pool":
                x = F.max_pool2d(x, 3, 2)
                continue
            index, _, _, _, stride, padding = conv
            x = F.conv2d(x, net[f"features.{index}.weight"], net[f"features.{index}.bias"], stride, padding).relu()
            maps.append(x)
        return maps
    for number, block in enumerate(VGG):
        x = F.max_pool2d(x, 2) if number else x
        for index, _, _ in block:
            x = F.conv2d(x, net[f"features.{index}.weight"], net[f"features.{index}.bias"], padding=1).relu()
        maps.append(x)
    return maps


def plain_lpips(network: str, net, heads, a: np.ndarray, b: np.ndarray) -> float:
    """d of two images, in float64, as the paper's equation 1 reads."""
    net = {name: value.double() for name, value in net.items()}
    both = torch.from_numpy(np.stack([a, b])).double() / 255 * 2 - 1
    both = both.expand(-1, 3, -1, -1)
    shift = torch.tensor([-0.030, -0.088, -0.188]).double()[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450]).double()[:, None, None]
    total = 0.0
    for number, maps in enumerate(plain_maps(network, net, (both - shift) / scale)):
        unit = maps / maps.norm(dim=1, keepdim=True).clamp_min(1e-10)
        weighted = heads[f"lin{number}.model.1.weight"][0].double() * (unit[0] - unit[1]) ** 2
        total += float(weighted.sum(0).mean())
    return total


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 3, 40, 36), dtype=np.uint8)


@pytest.fixture
def files(tmp_path):
    net, heads = random_weights("alex")
    save_file(net, tmp_path / "net.safetensors")
    save_file(heads, tmp_path / "heads.safetensors")
    return tmp_path / "net.safetensors", tmp_path / "heads.safetensors"


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_the_distance_is_the_papers_equation(tmp_path, images, network):
    """Maps in single precision against double: 1e-5 relative."""
    net, heads = random_weights(network)
    torch.save(net, tmp_path / "net.pth")
    torch.save(heads, tmp_path / "heads.pth")
    found = LpipsDistance(network, tmp_path / "net.pth", tmp_path / "heads.pth").distance(images[:2], images[2:4])
    expected = [plain_lpips(network, net, heads, images[i], images[i + 2]) for i in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_diversity_is_the_mean_over_all_pairs(files, images):
    measure = LpipsDistance("alex", *files)
    pairs = [(i, j) for i in range(5) for j in range(i)]
    each = measure.distance(images[[i for i, _ in pairs]], images[[j for _, j in pairs]])
    assert measure.diversity(images, batch_size=1) == pytest.approx(each.mean(), rel=1e-6)


def test_equal_images_are_at_distance_zero(files, images):
    measure = LpipsDistance("alex", *files)
    np.testing.assert_array_equal(measure.distance(images, images), 0)
    assert measure.diversity(images[:1].repeat(3, 0)) == 0


def test_grey_images_count_as_rgb_and_small_ones_are_brought_to_a_size(files):
    small = np.random.default_rng(1).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8)
    measure = LpipsDistance("alex", *files, size=64)
    found = measure.distance(small[:2], small[2:])
    np.testing.assert_array_equal(found, measure.distance(small[:2].repeat(3, 1), small[2:].repeat(3, 1)))
    assert (found > 0).all()
    with pytest.raises(UserError, match="at least 31 pixels, not 8: give a larger size"):
        LpipsDistance("alex", *files).distance(small[:2], small[2:])


def test_the_authors_whole_module_in_one_file_gives_the_same(files, tmp_path, images):
    net, heads = random_weights("alex")
    slices = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
    whole = {f"net.slice{slices[int(n.split('.')[1])]}.{n.removeprefix('features.')}": v for n, v in net.items()}
    torch.save(whole | heads, tmp_path / "whole.pth")
    found = LpipsDistance("alex", tmp_path / "whole.pth").distance(images[:2], images[2:4])
    np.testing.assert_array_equal(found, LpipsDistance("alex", *files).distance(images[:2], images[2:4]))


def test_torchscript_files_serve_too(files, tmp_path, images):
    import torchvision

    net, _ = random_weights("alex")
    with torch.device("meta"):
        model = torchvision.models.alexnet(weights=None)
    model = torch.nn.ModuleDict({"features": model.features})
    model.load_state_dict(net, assign=True)
    torch.jit.script(model).save(str(tmp_path / "net.pt"))
    found = LpipsDistance("alex", tmp_path / "net.pt", files[1]).distance(images[:2], images[2:4])
    np.testing.assert_array_equal(found, LpipsDistance("alex", *files).distance(images[:2], images[2:4]))


def test_weights_that_are_not_there_are_named(files, tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.pth do not exist: give torchvision's network"):
        LpipsDistance("alex", tmp_path / "nowhere.pth", files[1])
    with pytest.raises(UserError, match=r"heads\.safetensors holds no features\.0\.weight"):
        LpipsDistance("alex", files[1], files[1])
    with pytest.raises(UserError, match=r"net\.safetensors holds no lin0\.model\.1\.weight of 64 channels"):
        LpipsDistance("alex", files[0])
    with pytest.raises(UserError, match=r"features\.0\.weight is \[64, 3, 11, 11\], not \[64, 3, 3, 3\]"):
        LpipsDistance("vgg", *files)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_damaged_files_are_named(tmp_path, files, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} holds no weights"):
        LpipsDistance("alex", tmp_path / name, files[1])


def test_negative_heads_are_refused(files, tmp_path):
    _, heads = random_weights("alex")
    heads["lin2.model.1.weight"][0, 5] = -0.1
    save_file(heads, tmp_path / "bad.safetensors")
    with pytest.raises(UserError, match=r"lin2\.model\.1\.weight has negative weights"):
        LpipsDistance("alex", files[0], tmp_path / "bad.safetensors")


def test_sets_of_different_sizes_are_refused(files, images):
    with pytest.raises(UserError, match="not 5 with 4"):
        LpipsDistance("alex", *files).distance(images, images[:4])


def test_weights_that_are_not_finite_are_refused(files, tmp_path):
    _, heads = random_weights("alex")
    heads["lin2.model.1.weight"][0, 5] = float("nan")
    save_file(heads, tmp_path / "bad.safetensors")
    with pytest.raises(UserError, match=r"the weights lin2\.model\.1\.weight hold NaN or infinity"):
        LpipsDistance("alex", files[0], tmp_path / "bad.safetensors")
