"""Pictures on a page: found, made small, and where nobody is to recognise them, blurred. No model is needed."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee.runs import Run

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 240
"""Pixels of the longer side of a picture on the page."""
_BLURRED = 8  # colours across and down that a blurred picture is made of
_QUALITY = (82, 60, 40, 20)  # the next where the picture would be larger than that
_MOST = 24_000  # bytes; 61 pictures as large as that make 2 MB of a page


def uri(run: Run, config: Mapping[str, Any], name: str, file: str | None = None) -> str | None:
    """Return a picture as the page holds it; None if it was not kept and cannot be drawn again."""
    from unsee.pocket import world

    image = _kept(run, config, name, file)
    if image is not None:
        return _uri(image)
    return _drawn_uri(name) if world.lived_in(config["benchmark"]) else None


def find(run: Run, config: Mapping[str, Any], name: str, file: str | None = None) -> Image | None:
    """Return a picture that a run kept, that lies in `file`, or that can be drawn again; else None.

    Raises:
        ValueError: The file cannot be read.
    """
    from unsee.pocket import world

    image = _kept(run, config, name, file)
    return _drawn(name) if image is None and world.lived_in(config["benchmark"]) else image


def _kept(run: Run, config: Mapping[str, Any], name: str, file: str | None) -> Image | None:
    given = list(config["pictures"])
    kept = f"picture-{given.index(name)}.png" if name in given else f"{name}.png"
    if Path(kept).name == kept and kept.startswith("picture-") and (run.folder / kept).exists():
        return _read(run.path(kept))
    if file is not None and Path(file).is_file():
        return _read(Path(file))
    return None


def _drawn(name: str) -> Image | None:
    from unsee.pocket import world
    from unsee.pocket.draw import render

    try:
        drawn = world.picture_by_id(name)
    except ValueError:  # a user's own picture of one of its characters
        return None
    return render(drawn, SIZE)


@lru_cache(maxsize=1024)  # the runs of a bench show the same pictures
def _drawn_uri(name: str) -> str | None:
    image = _drawn(name)
    return None if image is None else _uri(image)


def _uri(image: Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(_jpeg(image)).decode()


def blurred(image: Image) -> Image:
    """Return a picture reduced to 8 by 8 colours, at the size of a thumbnail.

    Whoever has the very picture can still see that it fits; nobody sees who is in it.
    """
    from PIL import Image as images

    small = image.convert("RGB").resize((_BLURRED, _BLURRED), images.Resampling.BOX)
    return small.resize((SIZE // 2, SIZE // 2), images.Resampling.BICUBIC)


def png(image: Image) -> bytes:
    """Return a picture as a PNG without any metadata."""
    return _saved(image, "PNG")


def _read(file: Path) -> Image:
    from PIL import Image as images
    from PIL import ImageOps

    try:
        with images.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                upright = upright.convert("RGBA")
                upright = images.alpha_composite(images.new("RGBA", upright.size, "white"), upright)
            return upright.convert("RGB")
    except (OSError, ValueError, SyntaxError, images.DecompressionBombError) as error:
        raise ValueError(f"the picture {file} cannot be read: {error}; mend it, or leave pictures out") from error


def _jpeg(image: Image) -> bytes:
    small = image.convert("RGB")
    small.thumbnail((SIZE, SIZE))
    saved = (_saved(small, "JPEG", quality=quality) for quality in _QUALITY)
    return next((data for data in saved if len(data) <= _MOST), _saved(small, "JPEG", quality=_QUALITY[-1]))


def _saved(image: Image, form: str, **options: Any) -> bytes:
    from PIL import Image as images

    bare = images.new("RGB", image.size)
    bare.paste(image.convert("RGB"))
    file = io.BytesIO()
    bare.save(file, form, **options)
    return file.getvalue()
