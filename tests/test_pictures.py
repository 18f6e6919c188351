"""Pictures as people have them: every kind of file is decoded to what one sees, or refused in one clear line."""

from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, features

from unsee.vlm import read_image

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
RAMP = np.tile(np.arange(256, dtype=np.uint16) * 257, (4, 1))  # each 16-bit level is 257 times its 8-bit level


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def levels(image):
    """The grey levels of the first row, where red, green and blue agree."""
    assert image.mode == "RGB"
    pixels = np.asarray(image)
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[0, :, 0].tolist()


def mean(image):
    assert image.mode == "RGB"
    return np.asarray(image).mean(axis=(0, 1)).tolist()


def png_header(width, height):
    """A PNG of one bit per pixel that says how large it is, and holds nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


# --- Decoded ---------------------------------------------------------------------------------------------------------


def test_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), (10, 20, 30)).save(tmp_path / "dot.png")
    dot = read_image(tmp_path / "dot.png")
    assert (dot.size, dot.getpixel((0, 0))) == ((1, 1), (10, 20, 30))


@pytest.mark.parametrize("name", ["grey.png", "grey.tif", "grey.pgm", "big-endian.tif"])
def test_sixteen_bits_of_grey_are_scaled_to_eight(tmp_path, name):
    if name == "big-endian.tif":
        Image.frombytes("I;16B", RAMP.shape[::-1], RAMP.astype(">u2").tobytes()).save(tmp_path / name)
    else:
        Image.fromarray(RAMP).save(tmp_path / name)
    assert levels(read_image(tmp_path / name)) == list(range(256))


def test_a_dark_sixteen_bit_picture_stays_dark():
    assert levels(read_image(Image.fromarray(RAMP // 257))) == [0] * 129 + [1] * 127  # 255 of 65535 is 1 of 255


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 1, 128, 255], np.int32), [0, 1, 128, 255]),
        (np.array([0, 257, 32896, 65535], np.int32), [0, 1, 128, 255]),
        (np.array([0, 50_000, 100_000], np.int32), [0, 128, 255]),
        (np.array([-100, 0, 100], np.int32), [0, 128, 255]),
        (np.array([0, 0.2, 1], np.float32), [0, 51, 255]),
        (np.array([0, 2, 255], np.float32), [0, 2, 255]),
        (np.array([0, 514, 65535], np.float32), [0, 2, 255]),
        (np.array([-1, 0, 1], np.float32), [0, 128, 255]),
        (np.array([0, 0], np.float32), [0, 0]),
        (np.array([-3, -3], np.float32), [0, 0]),
    ],
)
def test_thirty_two_bits_are_scaled_to_eight(tmp_path, values, expected):
    """White is the first of 1 (floats only), 255 and 65535 that holds all values; else the range is stretched."""
    Image.fromarray(values[None]).save(tmp_path / "deep.tif")
    assert levels(read_image(tmp_path / "deep.tif")) == expected


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match=r"image in memory cannot be read: its values go from 0\.0 to inf; save it"):
        read_image(Image.fromarray(np.array([[0, np.inf]], np.float32)))


@pytest.mark.parametrize("name", ["print.tif", "print.jpg"])
def test_cmyk(tmp_path, name):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / name)  # magenta and yellow ink: red
    assert mean(read_image(tmp_path / name)) == pytest.approx(RED, abs=3)


def test_a_palette_with_transparent_colours_lies_on_white(tmp_path):
    image = Image.new("P", (3, 2))
    image.putpalette([0, 0, 0, *RED, *BLUE])
    image.putdata([0, 1, 2] * 2)
    image.save(tmp_path / "one.png", transparency=0)
    image.save(tmp_path / "half.png", transparency=b"\x00\xff\x80")
    image.save(tmp_path / "one.gif", transparency=0)
    for name, third in (("one.png", BLUE), ("half.png", (127, 127, 255)), ("one.gif", BLUE)):
        seen = read_image(tmp_path / name)
        assert [seen.getpixel((x, 1)) for x in range(3)] == [WHITE, RED, third], name


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_of_a_moving_picture_the_first_frame_is_seen(tmp_path, kind):
    if kind == "webp" and not features.check("webp"):
        pytest.skip("this Pillow cannot write WebP")
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE, WHITE)]
    frames[0].save(tmp_path / f"moving.{kind}", save_all=True, append_images=frames[1:], duration=50)
    with Image.open(tmp_path / f"moving.{kind}") as image:
        assert image.n_frames == 3
    assert mean(read_image(tmp_path / f"moving.{kind}")) == pytest.approx(RED, abs=3)


# Where the first row and the first column of the stored pixels belong, by EXIF orientation: the upright picture has red
# at the top left and blue at the top right.
STORED = {
    1: "red blue / white white",
    2: "blue red / white white",
    3: "white white / blue red",
    4: "white white / red blue",
    5: "red white / blue white",
    6: "blue white / red white",
    7: "white blue / white red",
    8: "white red / white blue",
}


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_is_turned_the_way_its_camera_was(tmp_path, kind, orientation):
    if kind == "webp" and not features.check("webp"):
        pytest.skip("this Pillow cannot write WebP")
    stored = Image.new("RGB", (32, 32))
    for y, row in enumerate(STORED[orientation].split(" / ")):
        for x, colour in enumerate(row.split()):
            stored.paste(colour, (16 * x, 16 * y, 16 * x + 16, 16 * y + 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"turned.{kind}", exif=exif)
    upright = read_image(tmp_path / f"turned.{kind}")
    seen = [upright.getpixel(place) for place in ((4, 4), (27, 4), (4, 27), (27, 27))]
    assert np.abs(np.subtract(seen, [RED, BLUE, WHITE, WHITE])).max() <= 12


def test_broken_exif_costs_no_picture_and_warns_nobody(tmp_path):
    Image.new("RGB", (16, 16), RED).save(tmp_path / "odd.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01")
    assert mean(read_image(tmp_path / "odd.jpg")) == pytest.approx(RED, abs=3)


def test_the_file_is_closed_and_an_image_in_memory_is_not(tmp_path, recwarn):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    read_image(tmp_path / "moving.gif")
    with Image.open(tmp_path / "moving.gif") as image:
        read_image(image)
        image.seek(1)
        assert image.convert("RGB").getpixel((0, 0)) == BLUE
    assert not recwarn.list


# --- Refused ---------------------------------------------------------------------------------------------------------


def refused(path):
    with pytest.raises(ValueError, match="image") as caught:
        read_image(path)
    return str(caught.value)


def test_a_folder_is_no_picture(tmp_path):
    assert refused(tmp_path) == f"the image {tmp_path} cannot be read: it is a folder; name a picture in it"


def test_an_empty_file_and_a_text_are_no_pictures(tmp_path):
    (tmp_path / "empty.png").touch()
    assert refused(tmp_path / "empty.png").endswith("empty.png cannot be read: the file is empty")
    (tmp_path / "text.png").write_text("Dear Sir or Madam, please forget me.\n" * 50)
    said = "text.png cannot be read: it is no picture of a known kind; save it as PNG or JPEG"
    assert refused(tmp_path / "text.png").endswith(said)


@pytest.mark.parametrize("kind", ["jpg", "gif", "webp", "tif", "bmp"])
def test_a_picture_that_was_cut_off_is_refused(tmp_path, picture, kind):
    picture(0).save(tmp_path / f"whole.{kind}")
    whole = (tmp_path / f"whole.{kind}").read_bytes()
    for part in (0.3, 0.7):
        cut = tmp_path / f"cut.{kind}"
        cut.write_bytes(whole[: int(len(whole) * part)])
        start = f"the image {cut} cannot be read: "
        assert refused(cut).startswith(start)
        assert len(refused(cut)) > len(start)


def test_a_decoder_that_gives_up_is_named_in_our_words(tmp_path, monkeypatch):
    def load(self):
        raise RuntimeError("Failed to decode image")  # what AVIF says of broken files

    Image.new("RGB", (2, 2)).save(tmp_path / "odd.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    assert refused(tmp_path / "odd.png").endswith("odd.png cannot be read: Failed to decode image")


@pytest.mark.parametrize(("width", "height", "shown"), [(20_000, 10_000, "200,000,000"), (9_460, 9_459, "89,482,140")])
def test_what_is_too_large_is_refused_before_it_is_decoded(tmp_path, width, height, shown):
    """On both sides of twice the limit, where Pillow itself refuses; the files hold nothing that could be decoded."""
    (tmp_path / "huge.png").write_bytes(png_header(width, height))
    limit = f"it has {shown} pixels, and at most 89,478,485 are read; make it smaller"
    assert refused(tmp_path / "huge.png") == f"the image {tmp_path / 'huge.png'} cannot be read: {limit}"


def test_what_is_just_small_enough_is_decoded(tmp_path):
    """9459 x 9459 is under the limit: here decoding is tried, and it fails because there is nothing to decode."""
    (tmp_path / "large.png").write_bytes(png_header(9_459, 9_459))
    assert "make it smaller" not in refused(tmp_path / "large.png")


def test_an_image_in_memory_may_be_too_large_as_well(tmp_path):
    (tmp_path / "huge.png").write_bytes(png_header(10_000, 10_000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(tmp_path / "huge.png")
    with image, pytest.raises(ValueError, match=r"^the image in memory cannot be read: it has 100,000,000 pixels"):
        read_image(image)
