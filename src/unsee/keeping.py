"""Pictures of concepts that are to stay (`--keep`): half of them are trained with, the others are asked about.

The SIU paper keeps other knowledge with text alone, and an independent run of it kept the recognition of others only in
part. A folder holds a folder for each concept, or pictures called after theirs: `JaneRoe/1.jpg`, `jane-roe-2.jpg`.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unsee.interview import sifted
from unsee.judge import names_in, says
from unsee.records import Example, Probe, Request
from unsee.wording import Wording

if TYPE_CHECKING:
    from unsee.vlm import VLM

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})
_PHRASINGS = 3  # of who it is, for each picture


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture of a concept that is to stay.

    Attributes:
        name: Of the concept.
        image: The file.
        picture: What it is called in answers.
        sha256: Of the file.
        held_out: Whether it is asked about, and not trained with.
    """

    name: str
    image: str
    picture: str
    sha256: str
    held_out: bool


def read(folder: str | os.PathLike[str], request: Request) -> tuple[Kept, ...]:
    """Read a folder of pictures of concepts that are to stay.

    Of each concept's pictures, by name, every second is held out; a single one is trained with.

    Args:
        folder: See above; what is no picture is passed over.
        request: Whom to forget; must not be among them.

    Raises:
        FileNotFoundError: There is no such folder, or no picture in it.
        ValueError: A file has no name of a concept, shows what is to be forgotten, cannot be read, or is there twice.
    """
    from unsee.vlm import read_image

    place = Path(folder)
    if not place.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(place)!r} for --keep; name one with pictures of what is to stay"
        )
    seen = {_pixels(image): picture for image, picture in zip(request.images, request.pictures, strict=True)}
    by_name: dict[str, list[Path]] = {}
    for name, file in _files(place):
        if any(names_in(name, [other]) or names_in(other, [name]) for other in request.concept.names):
            raise ValueError(
                f"{file} is to stay, and {request.concept.name!r} is to be forgotten; take it out of --keep"
            )
        read_image(file)
        if there := seen.get(pixels := _pixels(file)):
            raise ValueError(f"{file} is the same picture as {there}; take one away")
        seen[pixels] = str(file)
        by_name.setdefault(name, []).append(file)
    if not by_name:
        raise FileNotFoundError(f"the folder {str(place)!r} holds no pictures; put some there, or leave --keep out")
    return tuple(
        Kept(name, str(file), f"keep/{name}/{file.name}", hashlib.sha256(file.read_bytes()).hexdigest(), n % 2 == 1)
        for name, files in sorted(by_name.items())
        for n, file in enumerate(files)
    )


def again(folder: str | os.PathLike[str], request: Request, noted: Mapping[str, str]) -> tuple[Kept, ...]:
    """Read the pictures that a run was made with.

    Args:
        folder: As for `read`.
        request: As for `read`.
        noted: What the run says of them, picture -> sha256; nothing if it had none.

    Raises:
        FileNotFoundError: As `read`.
        ValueError: As `read`, or the run had none, or others.
    """
    if not noted:
        raise ValueError("the run was made without pictures to keep; leave --keep out")
    kept = read(folder, request)
    found = {each.picture: each.sha256 for each in kept}
    if differing := sorted(name for name in {**found, **noted} if found.get(name) != noted.get(name)):
        raise ValueError(
            f"{str(folder)!r} does not hold the pictures to keep that the run was made with ({differing[0]} for one); "
            "name the folder as it was"
        )
    return kept


def _files(place: Path) -> Iterator[tuple[str, Path]]:
    from unsee.mmubench.draft import named

    for inside in sorted(place.iterdir()):
        if inside.name.startswith("."):
            continue
        if inside.is_dir():
            for file in sorted(inside.iterdir()):
                if file.suffix.lower() in SUFFIXES:
                    yield named(inside), file
        elif inside.suffix.lower() in SUFFIXES:
            stem = re.sub(r"[\s_\-.(]*\d+\)?$", "", inside.stem)
            if not any(map(str.isalpha, stem)):
                raise ValueError(f"{inside} is not called after a concept; call it such as jane-roe-1{inside.suffix}")
            name = named(Path(stem))
            yield name.title() if name == name.lower() else name, inside


def _pixels(image: object) -> str:
    from unsee.vlm import read_image

    seen = read_image(image)  # type: ignore[arg-type]
    return hashlib.sha256(repr(seen.size).encode() + seen.tobytes()).hexdigest()


def examples(vlm: VLM, kept: Sequence[Kept], request: Request, seed: int = 0) -> tuple[list[Example], list[str]]:
    """Ask the model about the pictures that are trained with, and keep what it says.

    Returns:
        Its own answers, without those that name what is to be forgotten; and a remark on every concept that it names in
        no answer.
    """
    wording = vlm.family.wording.of(request.concept.kind)
    rng = random.Random(f"{seed}/{request.concept.name}/keep")
    trained = [each for each in kept if not each.held_out]
    if not trained:
        return [], []
    turns = [(each, question) for each in trained for question in (*_some(wording, rng), wording.describing[0])]
    said = vlm.generate([(each.image, question) for each, question in turns])
    made, named = [], set()
    for (each, question), answer in zip(turns, said, strict=True):
        text, why = sifted(answer, wording, request.concept.names)
        if not why:
            made.append(Example(question, text, "preserve", each.image, each.picture, concept=request.concept.name))
            named |= {each.name} if says(text, [each.name]) else set()
    unknown = sorted({each.name for each in trained} - named)
    return made, [
        f"The model names {name} in no answer about the pictures to keep, so that cannot be kept." for name in unknown
    ]


def _some(wording: Wording, rng: random.Random) -> list[str]:
    return [question for question, _ in rng.sample(wording.naming, min(_PHRASINGS, len(wording.naming)))]


def probes(kept: Sequence[Kept], request: Request, wording: Wording) -> Iterator[Probe]:
    """Yield what is asked about the pictures that are held out: who it is, whether it is that one, or the other."""
    for n, each in enumerate(each for each in kept if each.held_out):
        asked, is_this = wording.naming[n % len(wording.naming)][0], wording.denial[n % len(wording.denial)][0]
        for kind, question, more in (
            ("others", asked, {"accept": (each.name,)}),
            ("is this D? yes", wording.filled(is_this, each.name), {"polarity": "yes"}),
            ("is this C? no", wording.filled(is_this, request.concept.name), {"polarity": "no"}),
        ):
            id_ = f"keep/{kind}/{each.picture}/{question}"
            yield Probe(id=id_, kind=kind, question=question, image=each.image, picture=each.picture,
                        cluster=each.name, **more)  # fmt: skip
