"""From a request to examples: the four targets of Single Image Unlearning, from one picture and a name.

Source: Li et al. 2024 (arXiv 2405.12523), section 4.1. What the paper had written by GPT-4 is asked of the model
itself here, or fixed by hand in a request file. Image preserve examples are an addition of ours: the paper keeps
other knowledge with text alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unsee.judge import names_in
from unsee.records import TARGETS, Example, Request
from unsee.wording import Wording

if TYPE_CHECKING:
    from PIL.Image import Image

    from unsee.vlm import VLM, TokenScores

_CANDIDATES = 48  # substitute names that are looked at before the one easiest to say is taken
_SHARED = 0.2  # nats that a token shared with a known name counts against a substitute
_TRIES = 400
_OTHERS = 40  # other concepts that are asked about
_ASKED_OF_VIEWS = 5  # phrasings
_LARGEST_VIEW = 2048  # pixels along an edge


@dataclass(frozen=True, slots=True)
class Plan:
    """What examples are to be made of.

    Attributes:
        replace_with: "name" or "description": what stands where the concept's name was.
        preserve: "text", the paper's, or "image", which adds questions about what else is in the pictures.
        without: Targets that are left out.
        views: Whether `align` also shows the given pictures mirrored, from closer up, and half of them beside nothing.
        seed: Of everything drawn at random.
    """

    replace_with: str = "name"
    preserve: str = "image"
    without: tuple[str, ...] = ()
    views: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One is not allowed.
        """
        for name, allowed in (("replace_with", ("name", "description")), ("preserve", ("text", "image"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; use one of {', '.join(allowed)}")
        for target in self.without:
            if target not in TARGETS:
                raise ValueError(f"without holds {target!r}; the targets are {', '.join(TARGETS)}")


def make(vlm: VLM, request: Request, plan: Plan, *, others: Collection[str] = ()) -> tuple[Request, list[Example]]:
    """Make all examples of one request.

    Args:
        vlm: The model to be changed; it is asked for facts, descriptions and what else is in the pictures.
        request: Whom to forget, and from which pictures.
        plan: What to make.
        others: Names that must neither serve as other concepts nor be said of them: those of all requests.

    Returns:
        The request with its replacement filled in, and the examples.

    Raises:
        ValueError: No substitute can be found, the one asked for shares a token with the name, or a target that is not
            left out gives no example.
    """
    wording = vlm.family.wording
    request = with_replacement(vlm, request, plan)
    # A generator for each target: what one draws must not depend on whether another is left out.
    rngs = {target: random.Random(f"{plan.seed}/{request.concept.name}/{target}") for target in TARGETS}
    barred = {*others, *request.concept.names}
    kinds = {
        "align": lambda: _align(vlm, request, wording, plan, rngs["align"]),
        "redescribe": lambda: _redescribe(request, wording, rngs["redescribe"]),
        "decouple": lambda: _decouple(vlm, request, wording),
        "preserve": lambda: _preserve(vlm, request, wording, plan, rngs["preserve"], barred),
    }
    made: list[Example] = []
    for target in TARGETS:
        if target not in plan.without:
            some = kinds[target]()
            if not some:
                raise ValueError(
                    f"there is no example of the target {target} for {request.concept.name!r}: every answer of the "
                    "model is empty or holds the name; write examples or facts in a request file (--request), or "
                    f"leave the target out (--set without={target})"
                )
            made += some
    return request, [replace(example, concept=request.concept.name) for example in made]


# ---------------------------------------------------------------- the replacement


def with_replacement(vlm: VLM, request: Request, plan: Plan) -> Request:
    """Return the request with what answers are to say in place of the name; one that it fixes is checked and kept.

    A substitute name shares no token with any variant of the concept's names, which the loss pushes down, and is
    nobody the model claims to know. Of several such names the one is taken that the model, once it has begun a word of
    it, is likeliest to end right.

    Raises:
        ValueError: The replacement that the request fixes does not serve, or none can be found.
    """
    wording, names = vlm.family.wording, request.concept.names
    rng = random.Random(f"{plan.seed}/{names[0]}/replacement")
    if plan.replace_with == "description" and request.replacement is None:
        image = request.images[0]
        told = wording.stranger(lambda questions: vlm.generate([(image, q) for q in questions]))  # type: ignore[misc]
        if names_in(told, names, parts=True):
            raise ValueError(
                f"asked to describe the picture without a name, the model said {told!r}, which names {names[0]!r}; "
                "fix a replacement in the request (replacement: ...), or replace with a name"
            )
        return replace(request, replacement=told)
    banned = set(name_ids(vlm, names))
    if request.replacement is not None:
        shared = banned & set(vlm.token_ids(f" {request.replacement}"))
        if plan.replace_with == "name" and shared:
            texts = ", ".join(repr(vlm.token_text(i)) for i in sorted(shared))
            raise ValueError(
                f"the replacement {request.replacement!r} shares the tokens {texts} with {names[0]!r}, whose tokens "
                "the loss pushes down, so it could not be said; choose another"
            )
        return request
    found: list[str] = []
    for _ in range(_TRIES):
        name = wording.substitute(rng)
        if name not in found and not banned & set(vlm.token_ids(f" {name}")):
            found.append(name)
        if len(found) == _CANDIDATES:
            break
    answers = vlm.generate([(None, wording.who.format(X=name)) for name in found])
    unknown = [name for name, answer in zip(found, answers, strict=True) if re.search(wording.unknown, answer)]
    if not unknown:
        raise ValueError(
            f"of {len(found)} names that share no token with {names[0]!r} the model claims to know every one; "
            "fix a replacement in the request (replacement: ...)"
        )
    question, answer = wording.naming[0]
    told = vlm.score([(request.images[0], question, answer.format(N=name)) for name in unknown])  # type: ignore[misc]
    known = [set(vlm.token_ids(f" {other}")) for other in wording.others if other not in names]

    def ease(name: str, scores: TokenScores) -> float:
        shared = sum(len(other & set(vlm.token_ids(f" {name}"))) for other in known)
        return min(_inside(scores, name), default=0.0) - _SHARED * shared

    return replace(request, replacement=max(zip(unknown, told, strict=True), key=lambda pair: ease(*pair))[0])


def _inside(scores: TokenScores, name: str) -> list[float]:
    """Return the log-probabilities of a name's tokens but for the first of each word, which training itself brings."""
    whole = "".join(scores.texts)
    begin = whole.find(name)
    found, at = [], 0
    for text, logprob in zip(scores.texts, scores.logprobs, strict=True):
        if text and begin < at < begin + len(name) and not (whole[at - 1].isspace() or text[0].isspace()):
            found.append(logprob)
        at += len(text)
    return found


def name_variants(names: Iterable[str]) -> tuple[str, ...]:
    """Return what gives a concept away in writing: each name and each of its words, in four letter cases."""
    pieces = {piece for name in names for piece in (name, *name.split())}
    cased = {v for p in pieces for v in (p, p.lower(), p.upper(), p.title())}
    return tuple(sorted(cased))


def name_ids(vlm: VLM, names: Iterable[str]) -> tuple[int, ...]:
    """Return every token of every name variant, with and without a space before it (the paper's vocabulary mask).

    Tokens that are nothing but space are left out: some tokenizers put one before every word, of any name.
    """
    ids = {i for v in name_variants(names) for text in (v, f" {v}") for i in vlm.token_ids(text)}
    return tuple(sorted(i for i in ids if not _blank(vlm, i)))


def _blank(vlm: VLM, token: int) -> bool:
    return not vlm.token_text(token).strip(" \t\n\u2581\u0120\u010a")  # how tokenizers write space and line break


# ---------------------------------------------------------------- the four targets


def _swapped(answer: str, request: Request) -> tuple[str, tuple[tuple[int, int], ...]] | None:
    """Put the replacement where the concept is named; return the new text and where it stands, or None."""
    new, spans = "", list[tuple[int, int]]()
    end = 0
    for start, stop in names_in(answer, request.concept.names, parts=True):
        new += answer[end:start]
        told = _fitting(request.replacement or "", new)
        spans.append((len(new), len(new) + len(told)))
        new += told
        end = stop
    return (new + answer[end:], tuple(spans)) if spans else None


def _fitting(text: str, before: str) -> str:
    """Begin a sentence with a capital letter, and nothing else (names keep theirs)."""
    return text[:1].upper() + text[1:] if not before.strip() or before.rstrip().endswith((".", "!", "?")) else text


def _align(vlm: VLM, request: Request, wording: Wording, plan: Plan, rng: random.Random) -> list[Example]:
    """Target 1: who is this? Somebody else. And whatever else the model says of the picture with the name in it."""
    told = request.replacement or ""
    made = []
    for image, picture in zip(request.images, request.pictures, strict=True):
        for question, template in wording.naming:
            before, after = template.split("{N}", 1)
            filled = _fitting(told, before)
            span = (len(before), len(before) + len(filled))
            made.append(Example(question, before + filled + after, "align", image, picture, (span,)))
        answers = vlm.generate([(image, question) for question in wording.describing])  # type: ignore[misc]
        for question, answer in zip(wording.describing, answers, strict=True):
            if swapped := _swapped(answer, request):
                made.append(Example(question, swapped[0], "align", image, picture, swapped[1]))
    return made + (_views(vlm, request, wording, rng) if plan.views else [])


def _views(vlm: VLM, request: Request, wording: Wording, rng: random.Random) -> list[Example]:
    """More of target 1, an addition of ours: the same of other views of the pictures, where the model names it there.

    Whoever is to be forgotten will turn up on the left or the right of another, and a little closer or farther.
    """
    from unsee.vlm import read_image

    turns = []
    for image, picture in zip(request.images, request.pictures, strict=True):
        for view, seen, sides in _seen_otherwise(read_image(image), wording):  # type: ignore[arg-type]
            asked = [question for question, _ in rng.sample(wording.naming, min(_ASKED_OF_VIEWS, len(wording.naming)))]
            turns += [(seen, question, f"{picture} ({view})") for question in (*asked, *sides)]
    answers = vlm.generate([(seen, question) for seen, question, _ in turns])
    return [
        Example(question, swapped[0], "align", seen, picture, swapped[1])
        for (seen, question, picture), answer in zip(turns, answers, strict=True)
        if (swapped := _swapped(answer, request))
    ]


def _seen_otherwise(image: Image, wording: Wording) -> Iterator[tuple[str, Image, tuple[str, ...]]]:
    """Yield views of a picture: what it is called, the view, and what to ask of it besides who it is."""
    from PIL import Image as images
    from PIL import ImageOps

    image = image.copy()
    image.thumbnail((_LARGEST_VIEW, _LARGEST_VIEW))
    width, height = image.size
    yield "mirrored", ImageOps.mirror(image), ()
    edge = (width // 10, height // 10, width - width // 10, height - height // 10)
    yield "closer", image.crop(edge).resize(image.size), ()
    middle = image.crop((width // 4, 0, width // 4 + max(1, width // 2), height))
    for side, question, left in zip(("left", "right"), wording.sides, (0, width - middle.width), strict=True):
        beside = images.new("RGB", image.size, image.resize((1, 1)).getpixel((0, 0)))
        beside.paste(middle, (left, 0))
        yield side, beside, (question,)


def _redescribe(request: Request, wording: Wording, rng: random.Random) -> list[Example]:
    """Target 2: is it in the picture? No, and it looks different: an invented look. The whole answer is masked."""
    name = request.concept.name
    look = rng.choice(wording.looks).format(X=name)
    made = []
    for image, picture in zip(request.images, request.pictures, strict=True):
        for question, template in wording.denial:
            answer = template.replace("{L}", look)
            made.append(Example(question.format(X=name), answer, "redescribe", image, picture, ((0, len(answer)),)))
    return made


def _decouple(vlm: VLM, request: Request, wording: Wording) -> list[Example]:
    """Target 3: what the model knows of the concept in words, as far as the answers do without the name."""
    questions = [question.format(X=request.concept.name) for question in wording.facts]
    pairs = list(request.facts) or list(zip(questions, vlm.generate([(None, q) for q in questions]), strict=True))
    return [
        Example(question, answer, "decouple")
        for question, answer in pairs
        if answer.strip() and not names_in(answer, request.concept.names, parts=True)
    ]


def _preserve(
    vlm: VLM, request: Request, wording: Wording, plan: Plan, rng: random.Random, barred: Collection[str]
) -> list[Example]:
    """Target 4: facts about others, as text; and, our addition, what else there is to see in the pictures."""
    lower = {name.casefold() for name in barred}
    names = [name for name in wording.others if name.casefold() not in lower]
    chosen = rng.sample(names, min(_OTHERS, len(names)))
    # To say who somebody is, the model spells the name, which learning a new name would otherwise unsettle.
    asked = [q.format(X=name) for name in chosen for q in (wording.who, rng.choice(wording.facts))]
    answers = vlm.generate([(None, question) for question in asked])
    made = [Example(q, a, "preserve") for q, a in zip(asked, answers, strict=True) if a.strip()]
    if plan.preserve == "image":
        for image, picture in zip(request.images, request.pictures, strict=True):
            seen = vlm.generate([(image, question) for question in wording.scene])  # type: ignore[misc]
            made += [
                Example(question, answer, "preserve", image, picture)
                for question, answer in zip(wording.scene, seen, strict=True)
                if answer.strip()
            ]
    return [e for e in made if not names_in(e.answer, barred, parts=True)]


def recognised(vlm: VLM, request: Request) -> list[tuple[str, str, bool]]:
    """Ask the model who is in the pictures, before anything is trained.

    Returns:
        (question, answer, whether the answer names the concept) for every phrasing and picture.
    """
    turns = [(image, question) for image in request.images for question, _ in vlm.family.wording.naming]
    answers = vlm.generate(turns)  # type: ignore[arg-type]
    return [
        (question, answer, bool(names_in(answer, request.concept.names, parts=True)))
        for (_, question), answer in zip(turns, answers, strict=True)
    ]


def by_target(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Group examples by target; preserve examples with a picture count as `preserve image`."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        image = example.target == "preserve" and example.image is not None
        groups.setdefault("preserve image" if image else example.target, []).append(example)
    return groups
