"""What becomes of a picture, by its depth, mode, orientation and damage; each conversion is stated."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from rediffuse.data.image_source import open_source
from rediffuse.data.picture import Picture, decode, in_words

RGB = Picture("rgb")


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def deep_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, written by its specification: [H, W], or [H, W, 3 or 4]."""
    values = values[..., None] if values.ndim == 2 else values
    height, width, channels = values.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in values)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep(channels: int, white: int = 65535) -> np.ndarray:
    shape = (5, 6, channels) if channels > 1 else (5, 6)
    values = np.random.default_rng(0).integers(0, white + 1, shape)
    values[0, 0] = white
    return values


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_become_eight_by_one_rule_for_grey_and_colour(channels):
    values, notes = deep(channels), []
    pixels = decode(deep_png(values), RGB, notes)
    expected = np.rint(255 * values / 65535).reshape(5, 6, channels)
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (5, 6, 3)).transpose(2, 0, 1))
    assert notes == ["16 bits a channel to 8: round(255 v / 65535)"]


@pytest.mark.parametrize("channels", [1, 3])
def test_twelve_bits_in_sixteen_are_refused_until_white_is_stated(channels):
    values = deep(channels, white=3806)
    with pytest.raises(ValueError, match=r"16 bits a channel and no value above 3806: say which value is white"):
        decode(deep_png(values), RGB)
    assert decode(deep_png(values), Picture("rgb", white=4095)).max() == round(255 * 3806 / 4095) == 237
    assert decode(deep_png(values), Picture("rgb", white=65535)).max() == round(255 * 3806 / 65535)


def test_a_value_above_white_is_refused():
    with pytest.raises(ValueError, match="a value of 65535, above 4095"):
        decode(deep_png(deep(3)), Picture("rgb", white=4095))


def test_a_black_picture_of_sixteen_bits_is_black():
    assert decode(deep_png(np.zeros((3, 3, 3))), RGB).max() == 0


def test_opacity_of_sixteen_bits_is_laid_on_white():
    values = deep(4)
    opacity = values[..., 3:] / 65535
    expected = np.rint(255 * (values[..., :3] / 65535 * opacity + 1 - opacity))
    np.testing.assert_array_equal(decode(deep_png(values), RGB), expected.transpose(2, 0, 1))


def test_sixteen_bits_in_a_form_that_is_not_read_whole_are_refused():
    with pytest.raises(ValueError, match=r"16 bits a channel in a form that is not read"):
        decode(deep_png(np.full((3, 3, 2), 60000)), RGB)
    with pytest.raises(ValueError, match="more than 8 bits a channel: save it as PNG"):
        decode(b"P6 1 1 65535\n" + bytes(6), RGB)


def test_a_grey_tiff_of_sixteen_bits_follows_the_same_rule():
    values = deep(1)
    pixels = decode(encoded(Image.fromarray(values.astype(np.uint16)), "TIFF"), RGB)
    np.testing.assert_array_equal(pixels[0], np.rint(255 * values / 65535))


@pytest.mark.parametrize("byte_order", [">", "<"])
def test_a_colour_tiff_of_sixteen_bits_follows_the_same_rule(byte_order):
    values = deep(3)
    data = values.astype(f"{byte_order}u2").tobytes()
    height, width, _ = values.shape
    bits, after = 8 + 2 + 9 * 12 + 4, 8 + 2 + 9 * 12 + 4 + 6
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, after),
        (277, 3, 1, 3),
        (278, 3, 1, height),
        (279, 4, 1, len(data)),
    ]
    file = {">": b"MM\x00\x2a", "<": b"II\x2a\x00"}[byte_order] + struct.pack(f"{byte_order}IH", 8, len(entries))
    for tag, kind, count, value in entries:
        packed = struct.pack(
            f"{byte_order}{'HH' if kind == 3 and count == 1 else 'I'}",
            *([value, 0][: 2 if kind == 3 and count == 1 else 1]),
        )
        file += struct.pack(f"{byte_order}HHI", tag, kind, count) + packed
    file += struct.pack(f"{byte_order}I", 0) + struct.pack(f"{byte_order}HHH", 16, 16, 16) + data
    np.testing.assert_array_equal(decode(file, RGB), np.rint(255 * values / 65535).transpose(2, 0, 1))


def test_floats_and_32_bits_are_refused():
    for array in (np.zeros((3, 3), np.float32), np.zeros((3, 3), np.int32)):
        with pytest.raises(ValueError, match="not 8 bits a channel"):
            decode(encoded(Image.fromarray(array), "TIFF"), RGB)


def test_each_mode_becomes_the_colours_that_it_shows():
    palette = Image.new("P", (1, 1))
    palette.putpalette([200, 100, 50])
    shown = {
        "palette": (palette, (200, 100, 50)),
        "grey": (Image.new("L", (1, 1), 77), (77, 77, 77)),
        "black and white": (Image.new("1", (1, 1), 1), (255, 255, 255)),
        "grey, half opaque": (Image.new("LA", (1, 1), (0, 51)), (204, 204, 204)),
        "colour, half opaque": (Image.new("RGBA", (1, 1), (255, 0, 0, 51)), (255, 204, 204)),
    }
    for name, (image, colour) in shown.items():
        assert tuple(decode(encoded(image), RGB)[:, 0, 0]) == colour, name


def test_cmyk_is_converted_with_a_word():
    notes = []
    pixels = decode(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "TIFF"), RGB, notes)
    assert pixels.max() == 0
    assert notes == ["CMYK to RGB without a colour profile"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright_as_exif_says(orientation):
    """The corner that EXIF calls the first row and first column comes to its place (Exif 2.3, tag 0x0112)."""
    stored = np.arange(1, 7, dtype=np.uint8).reshape(2, 3) * 40
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.T,
        6: stored.T[:, ::-1],
        7: stored.T[::-1, ::-1],
        8: stored.T[::-1],
    }[orientation]
    exif, notes = Image.Exif(), []
    exif[0x0112] = orientation
    pixels = decode(encoded(Image.fromarray(stored), exif=exif.tobytes()), Picture("grey"), notes)
    np.testing.assert_array_equal(pixels[0], upright)
    assert notes == (["turned upright, as EXIF says"] if orientation > 1 else [])


@pytest.mark.parametrize("form", ["GIF", "TIFF", "WEBP", "PNG"])
def test_several_pictures_in_one_file_are_refused(form):
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (0, 120, 240)]
    with pytest.raises(ValueError, match="it holds 3 pictures"):
        decode(encoded(frames[0], form, save_all=True, append_images=frames[1:]), RGB)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_a_truncated_picture_is_refused(form):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), form)
    for length in (len(content) // 2, len(content) * 9 // 10):
        with pytest.raises(ValueError, match="it cannot be decoded"):
            decode(content[:length], RGB)


@pytest.mark.parametrize(("content", "said"), [(b"", "it is empty"), (b"hello world, text", "b'hello world,'")])
def test_a_file_that_is_no_picture_is_refused(content, said):
    with pytest.raises(ValueError, match=said):
        decode(content, RGB)


def test_a_picture_of_one_pixel_is_a_picture():
    assert decode(encoded(Image.new("RGB", (1, 1), (1, 2, 3))), RGB)[:, 0, 0].tolist() == [1, 2, 3]


def test_conversions_of_single_pictures_are_counted(tmp_path):
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(deep_png(deep(3)))
    (tmp_path / "3.png").write_bytes(encoded(Image.new("RGB", (6, 5))))
    source = open_source(tmp_path)
    assert sum(len(batch) for batch in source.batches(np.arange(4), 2)) == 4
    assert source.described()[-1] == "16 bits a channel to 8: round(255 v / 65535) (3 pictures)"
    assert in_words(["a", "b", "a"]) == ["a (2 pictures)", "b (1 picture)"]
