import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from rediffuse.data.registry import load
from rediffuse.errors import UserError


def face(seed: int) -> bytes:
    """A 178×218 photograph with its middle square of 140 pixels one colour and everything around it another."""
    pixels = np.full((218, 178, 3), 250, dtype=np.uint8)
    pixels[39:179, 19:159] = 10 * seed
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=100)
    return buffer.getvalue()


def write(folder, partition="000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n000004.jpg 0\n", count=4):
    path = folder / "img_align_celeba.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for index in reversed(range(1, count + 1)):
            archive.writestr(f"img_align_celeba/{index:06}.jpg", face(index))
    (folder / "list_eval_partition.txt").write_text(partition)
    return path


def test_faces_are_cropped_at_the_centre_and_resized(tmp_path):
    images = load("celeba", {"archive": write(tmp_path)}).images
    assert images.shape == (3, 3, 64, 64)
    # JPEG bleeds a little across the edge of the square.
    np.testing.assert_allclose(images[0, :, 4:60, 4:60], 10, atol=2)
    assert images[0].max() < 60


def test_the_test_part_is_held_out_and_the_validation_part_left_out(tmp_path):
    image_set = load("celeba", {"archive": write(tmp_path)})
    np.testing.assert_allclose(image_set.images[:, 0, 32, 32], [10, 30, 40], atol=2)
    assert image_set.held_out.tolist() == [False, True, False]


def test_the_validation_part_can_be_held_out_instead(tmp_path):
    image_set = load("celeba", {"archive": write(tmp_path), "held_out": "validation", "size": 16})
    np.testing.assert_allclose(image_set.images[:, 0, 8, 8], [10, 20, 40], atol=2)
    assert image_set.held_out.tolist() == [False, True, False]
    assert image_set.shape == (3, 16, 16)


def test_a_missing_partition_says_where_to_take_it_from(tmp_path):
    path = write(tmp_path)
    (tmp_path / "list_eval_partition.txt").unlink()
    with pytest.raises(UserError, match=r"take list_eval_partition\.txt from https://"):
        load("celeba", {"archive": path})


def test_a_photograph_that_is_listed_but_absent_is_named(tmp_path):
    with pytest.raises(UserError, match=r"holds no 000004\.jpg"):
        load("celeba", {"archive": write(tmp_path, count=3)})


def test_a_malformed_partition_names_the_line(tmp_path):
    with pytest.raises(UserError, match="line 2 is not"):
        load("celeba", {"archive": write(tmp_path, partition="000001.jpg 0\n000002.jpg\n")})


def test_a_crop_beyond_the_photograph_is_refused(tmp_path):
    with pytest.raises(UserError, match="178x218, smaller than the crop of 200"):
        load("celeba", {"archive": write(tmp_path), "crop": 200})
