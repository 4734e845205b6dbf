import gc
import re
import tracemalloc
import weakref
import zipfile

import numpy as np
import pytest
from PIL import Image

from rediffuse.data.image_set import ImageSet, images_digest, make_card, save_image_set
from rediffuse.data.image_source import StreamDigest, open_source
from rediffuse.errors import UserError


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (7, 3, 6, 5), dtype=np.uint8)


def write_pngs(folder, images):
    folder.mkdir(parents=True, exist_ok=True)
    for position, image in enumerate(images):
        Image.fromarray(np.squeeze(image.transpose(1, 2, 0))).save(folder / f"{position:03d}.png")
    return folder


def everything(source, size=3):
    return np.concatenate(list(source.batches(np.arange(source.count), size)))


def test_a_folder_is_read_recursively_and_sorted_by_name(tmp_path, pixels):
    write_pngs(tmp_path / "x" / "b", pixels[3:])
    write_pngs(tmp_path / "x" / "a", pixels[:3])
    (tmp_path / "x" / "notes.txt").write_text("no picture")
    source = open_source(tmp_path / "x")
    assert source.count == 7
    np.testing.assert_array_equal(everything(source), pixels)


def test_a_zip_is_read_as_the_folder_it_was_made_of(tmp_path, pixels):
    folder = write_pngs(tmp_path / "x", pixels)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for path in sorted(folder.iterdir(), reverse=True):
            file.write(path, f"inside/{path.name}")
    np.testing.assert_array_equal(everything(open_source(tmp_path / "x.zip")), pixels)


def test_grey_pictures_become_rgb(tmp_path, pixels):
    grey = pixels[:, :1]
    found = everything(open_source(write_pngs(tmp_path / "x", grey)))
    np.testing.assert_array_equal(found, np.repeat(grey, 3, axis=1))


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_batches_follow_the_order_asked_for_whatever_their_size(tmp_path, pixels, size):
    np.save(tmp_path / "x.npy", pixels)
    order = np.array([6, 0, 3, 3, 1])
    found = list(open_source(tmp_path / "x.npy").batches(order, size))
    assert all(len(batch) <= size for batch in found)
    np.testing.assert_array_equal(np.concatenate(found), pixels[order])


@pytest.mark.parametrize(
    ("arrange", "words"),
    [
        (lambda x: x, "[N, C, H, W]"),
        (lambda x: x.transpose(0, 2, 3, 1), "[N, H, W, C]"),
        (lambda x: x[:, 0], "[N, H, W], grey"),
        (lambda x: x[:, :1], "[N, C, H, W]"),
    ],
)
def test_axes_are_told_apart(tmp_path, pixels, arrange, words):
    array = arrange(pixels)
    np.save(tmp_path / "x.npy", array)
    source = open_source(tmp_path / "x.npy")
    expected = pixels if 3 in array.shape[1::2] else pixels[:, :1]
    np.testing.assert_array_equal(everything(source), expected)
    assert words in source.conversions[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_become_the_pixels_they_were(tmp_path, pixels, dtype):
    for name, array in (("unit", pixels / 255), ("signed", pixels / 127.5 - 1)):
        np.save(tmp_path / f"{name}.npy", array.astype(dtype))
        np.testing.assert_array_equal(everything(open_source(tmp_path / f"{name}.npy")), pixels)


def test_the_conversion_of_floats_is_stated(tmp_path, pixels):
    np.save(tmp_path / "x.npy", (pixels / 127.5 - 1).astype(np.float32))
    assert open_source(tmp_path / "x.npy").conversions[1] == "float32 in [-1, 1] to uint8: round(127.5 (x + 1))"


@pytest.mark.parametrize("names", [("images", "nfe"), ("arr_0", "arr_1"), ("anything",)])
def test_the_images_of_an_npz_are_found(tmp_path, pixels, names):
    arrays = {name: pixels if position == 0 else np.zeros(3) for position, name in enumerate(names)}
    np.savez(tmp_path / "x.npz", **arrays)
    np.testing.assert_array_equal(everything(open_source(tmp_path / "x.npz")), pixels)


def floats(low: float, high: float) -> np.ndarray:
    """Floats whose smallest is `low` and whose largest is `high`."""
    values = np.linspace(low, high, 7 * 36).astype(np.float32)
    return values.reshape(7, 6, 6)


@pytest.mark.parametrize("low", [-0.01, -0.4])
def test_floats_that_may_be_an_overshoot_or_another_range_ask_for_the_range(tmp_path, low):
    np.save(tmp_path / "x.npy", floats(low, 1))
    with pytest.raises(UserError, match=r"\[0, 1\] with an overshoot, or \[-1, 1\]\? Say which by --range"):
        open_source(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("low", "high", "span"), [(-0.01, 1, (0, 1)), (-0.01, 1, (-1, 1)), (0, 255, (0, 255)), (-0.6, 0.9, (-1, 1))]
)
def test_a_stated_range_decides_and_is_recorded(tmp_path, low, high, span):
    values = floats(low, high)
    np.save(tmp_path / "x.npy", values)
    source = open_source(tmp_path / "x.npy", span=span)
    expected = np.rint(np.clip((values.astype(np.float64) - span[0]) / (span[1] - span[0]), 0, 1) * 255)
    np.testing.assert_array_equal(everything(source)[:, 0], expected)
    said = source.conversions[1]
    assert said.startswith(f"float32 in [{span[0]}, {span[1]}] to uint8")
    assert ("clipped" in said) == (low < span[0])


@pytest.mark.parametrize(
    ("low", "high", "why"),
    [
        (-0.5, 0.5, "or [-1, 1]? Say which"),  # (x - 127.5) / 255
        (-1, 0, "[-1, 0], or [-1, 1] of dark images?"),  # x / 255 - 1
        (0, 1 / 255, "divided by 255 twice?"),
    ],
)
def test_floats_of_half_a_range_or_none_ask_for_the_range(tmp_path, low, high, why):
    np.save(tmp_path / "x.npy", floats(low, high))
    with pytest.raises(UserError, match=re.escape(why)):
        open_source(tmp_path / "x.npy")
    assert everything(open_source(tmp_path / "x.npy", span=(low, high))).max() == 255


def test_a_file_of_two_arrays_is_refused_as_one_would_be_dropped(tmp_path, pixels):
    with (tmp_path / "x.npy").open("wb") as file:
        np.save(file, pixels)
        np.save(file, pixels)
    with pytest.raises(UserError, match="bytes after its array, as of a second one"):
        open_source(tmp_path / "x.npy")


def test_a_stated_range_that_does_not_hold_the_values_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", floats(0, 255))
    with pytest.raises(UserError, match=r"has values from 0 to 255, which the range \[0, 1\] does not hold"):
        open_source(tmp_path / "x.npy", span=(0, 1))


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int8, np.complex64])
def test_other_types_than_uint8_and_floats_are_refused(tmp_path, dtype):
    np.save(tmp_path / "x.npy", np.zeros((4, 8, 8), dtype))
    with pytest.raises(UserError, match=r"give uint8, or floats in \[0, 1\] or \[-1, 1\]"):
        open_source(tmp_path / "x.npy")


@pytest.mark.parametrize("shape", [(64, 48, 3), (64, 48, 1), (3, 64, 48)])
def test_one_image_without_its_first_axis_is_not_taken_for_grey_ones(tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
    with pytest.raises(UserError, match=r"which may be one image or \d+ grey ones: give all four axes"):
        open_source(tmp_path / "x.npy")


def test_labels_of_another_length_are_refused(tmp_path, pixels):
    np.savez(tmp_path / "x.npz", images=pixels, labels=np.arange(6))
    with pytest.raises(UserError, match="holds 7 images and 6 labels"):
        open_source(tmp_path / "x.npz")


def test_two_arrays_of_images_are_refused_unless_one_is_called_so(tmp_path, pixels):
    np.savez(tmp_path / "x.npz", arr_0=pixels, arr_1=pixels[:3])
    with pytest.raises(UserError, match=r"holds arr_0 \[7, 3, 6, 5\], arr_1 \[3, 3, 6, 5\]: call the array of images"):
        open_source(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", images=pixels, damaged=pixels[:3])
    assert open_source(tmp_path / "x.npz").conversions[-1] == "passed over beside images: damaged"


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (
            lambda path: np.savez(path, mean=np.zeros(4), cov=np.eye(4)),
            r"holds mean \[4\], cov \[4, 4\]: .*'mu' and 'sigma'",
        ),
        (lambda path: np.savez(path, images=np.array([{}])), "Python objects .* never loaded"),
        (lambda path: path.write_text("some text"), "is not an npz file: it is text: 'some text'"),
        (lambda path: path.write_bytes(b""), "is not an npz file: it is empty"),
        (lambda path: path.write_bytes(b"\x80\x04\x95abc"), "is not an npz file: it is a pickle of Python objects"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1"), "a pointer of Git LFS"),
    ],
)
def test_an_npz_of_something_else_is_called_what_it_is(tmp_path, write, said):
    write(tmp_path / "x.npz")
    with pytest.raises(UserError, match=said):
        open_source(tmp_path / "x.npz")


def test_a_pickle_in_an_npy_is_called_so(tmp_path):
    np.save(tmp_path / "x.npy", {"mu": np.zeros(3)}, allow_pickle=True)
    with pytest.raises(
        UserError, match=r"Python objects \(a pickle\), which are never loaded: save images as one uint8"
    ):
        open_source(tmp_path / "x.npy")


def test_of_a_prepared_data_set_the_training_images_are_taken(tmp_path, pixels):
    held_out = np.arange(7) % 3 == 0
    words = {"title": "t", "source": "s", "licence": "l", "citation": "c", "preprocessing": []}
    card = make_card("made-up", images=pixels, held_out=held_out, **words)
    save_image_set(tmp_path / "made-up", ImageSet(pixels, None, held_out, (), card))
    source = open_source(tmp_path / "made-up")
    assert source.kind == "training images of the data set made-up"
    np.testing.assert_array_equal(everything(source), pixels[~held_out])


def test_one_size_for_all_crops_and_resizes(tmp_path, pixels):
    write_pngs(tmp_path / "x", pixels)
    Image.fromarray(np.zeros((9, 20, 3), np.uint8)).save(tmp_path / "x" / "wide.png")
    assert everything(open_source(tmp_path / "x", size=4)).shape == (8, 3, 4, 4)


def test_the_digest_of_a_stream_is_that_of_the_array(pixels):
    digest = StreamDigest(7)
    for start in range(0, 7, 3):
        digest.update(pixels[start : start + 3])
    assert digest.hexdigest() == images_digest(pixels)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((0, 4, 4), np.uint8), "holds no images"),
        (np.zeros((4, 4), np.uint8), r"has shape \(4, 4\): images are"),
        (np.zeros((2, 4, 4, 4), np.uint8), "images have 1 or 3 channels"),
        (np.zeros((2, 3, 4, 3), np.uint8), "channels may come first or last"),
        (np.zeros((2, 4, 4), np.int64), "is int64: give uint8"),
        (np.full((2, 4, 4), 200.0), "has values from 200 to 200: give uint8"),
        (np.full((2, 4, 4), -1.5), "has values from -1.5 to -1.5"),
        (np.concatenate([np.zeros((2, 4, 4)), np.full((1, 4, 4), np.nan)]), r"NaN or infinity, first in image 2"),
        (np.array([{}]), "not an array of numbers"),
    ],
)
def test_an_array_that_is_no_images_is_refused_saying_why(tmp_path, array, reason):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=reason):
        open_source(tmp_path / "x.npy")


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 truncated"])
def test_a_file_that_is_no_array_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        open_source(tmp_path / name)


def test_no_more_than_three_batches_are_in_memory(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((200, 4, 4), np.uint8))
    alive: list[int] = []
    batches: list[weakref.ref] = []
    for batch in open_source(tmp_path / "x.npy").batches(np.arange(200), 5):
        batches.append(weakref.ref(batch))
        del batch
        gc.collect()
        alive.append(sum(reference() is not None for reference in batches))
    assert len(batches) == 40
    assert max(alive) <= 3


def peak(path, count: int) -> int:
    np.lib.format.open_memmap(path, "w+", np.uint8, (count, 32, 32, 3)).flush()
    tracemalloc.start()
    for _ in open_source(path).batches(np.arange(count), 32):
        pass
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    few, many = peak(tmp_path / "few.npy", 320), peak(tmp_path / "many.npy", 6400)
    # 6,080 images more are 19 MB; their positions, 8 bytes each, are all that may come on top.
    assert many < few + 400_000
