"""From a request to examples: the four targets of Single Image Unlearning, from one picture and a name.

Source: Li et al. 2024 (arXiv 2405.12523), section 4.1. What the paper had written by GPT-4 is asked of the model
itself (`unsee.interview`), rephrased by another (`unsee.writer`), or fixed by hand in a request file. Image preserve
examples are an addition of ours: the paper keeps other knowledge with text alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from unsee.interview import completed, sifted, whole
from unsee.judge import names_in, says
from unsee.records import TARGETS, Example, Request
from unsee.wording import Wording

if TYPE_CHECKING:
    from PIL.Image import Image

    from unsee.vlm import VLM, TokenScores

Asking = Generator[list[tuple[Any, str]], list[str], list[Example]]
"""A target's examples in the making: it yields (picture, question) once, is sent the answers, and returns examples."""

_CANDIDATES = 192  # substitute names that are looked at before one is taken
_TRIES = 2000  # draws to find them in
_SHARED = 1.0  # nats that a token shared with a known name counts against a substitute
_ASKED_AT_ONCE = 16  # candidates, whether the model knows them
_OTHERS = 40  # other concepts that are asked about
_ASKED_OF_VIEWS = 5  # phrasings of who it is ...
_ASKED_OF_SIDES = 2  # ... and where it is also asked who is on the left or right
_LARGEST_VIEW = 2048  # pixels along an edge
_DETERMINED, _ARTICLE = re.compile(r"(?i)^an?\s+"), re.compile(r"(?i)\b(an?|the)\s+$")


@dataclass(frozen=True, slots=True)
class Plan:
    """What examples are to be made of.

    Attributes:
        replace_with: What stands where the concept's name was: a "name", which for a kind of concept without names of
            their own is a description as well, or a "description".
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
    request = with_replacement(vlm, completed(vlm, request, others)[0], plan)
    return request, _of_targets(vlm, request, plan, others)


def retained(vlm: VLM, request: Request, plan: Plan, *, others: Collection[str] = ()) -> list[Example]:
    """Make the examples of targets 3 and 4 alone, for methods with nothing to say in place of a name.

    The same as `make` gives among others, with the same arguments.

    Raises:
        ValueError: A target that is not left out gives no example.
    """
    request, _ = completed(vlm, request, others)
    return _of_targets(vlm, request, replace(plan, without=(*plan.without, "align", "redescribe")), others)


def known(vlm: VLM, request: Request, plan: Plan) -> list[Example]:
    """Ask what targets 1 and 2 ask, and return the model's own answers: what it knows now, and is to forget.

    Answers to who is in the picture count where they name the concept; to whether it is, always.

    Raises:
        ValueError: The model names the concept in no answer.
    """
    wording = vlm.family.wording.of(request.concept.kind)
    rng = random.Random(f"{plan.seed}/{request.concept.name}/align")
    shown = list(zip(request.images, request.pictures, strict=True))
    naming = [*(question for question, _ in wording.naming), *wording.describing]
    asked = [(image, question, picture) for image, picture in shown for question in naming]
    asked += _of_views(request, wording, rng) if plan.views else []
    said = vlm.generate([(image, question) for image, question, _ in asked])  # type: ignore[misc]
    made = [
        Example(question, answer, "align", image, picture)
        for (image, question, picture), answer in zip(asked, said, strict=True)
        if names_in(answer, request.concept.names, parts=True)
    ]
    if not made:
        raise ValueError(f"the model names {request.concept.name!r} in no answer, so there is nothing to forget")
    denied = [(i, wording.filled(q, request.concept.name), p) for i, p in shown for q, _ in wording.denial]
    said = vlm.generate([(image, question) for image, question, _ in denied])  # type: ignore[misc]
    made += [
        Example(question, answer, "redescribe", image, picture)
        for (image, question, picture), answer in zip(denied, said, strict=True)
        if answer.strip()
    ]
    return [replace(example, concept=request.concept.name) for example in made]


def _of_targets(vlm: VLM, request: Request, plan: Plan, others: Collection[str]) -> list[Example]:
    wording = vlm.family.wording.of(request.concept.kind)
    phrasings = dict(request.phrasings)
    # A generator for each target: what one draws must not depend on whether another is left out.
    rngs = {target: random.Random(f"{plan.seed}/{request.concept.name}/{target}") for target in TARGETS}
    barred = {*others, *request.concept.names}
    targets: dict[str, Asking] = {
        "align": _align(request, wording, plan, rngs["align"]),
        "redescribe": _redescribe(request, wording, rngs["redescribe"]),
        "decouple": _decouple(request, wording),
        "preserve": _preserve(vlm, request, wording, plan, rngs["preserve"], barred),
    }
    wanted = {name: target for name, target in targets.items() if name not in plan.without}
    made: list[Example] = []
    for target, some in zip(wanted, _together(vlm, list(wanted.values())), strict=True):
        if not some:
            raise ValueError(
                f"there is no example of the target {target} for {request.concept.name!r}: every answer of the "
                "model is empty or holds the name; write examples or facts in a request file (--request), or "
                f"leave the target out (--set without={target})"
            )
        made += some
        made += [replace(e, question=q) for e in some if not e.given for q in phrasings.get(e.question, ())]
    return [replace(example, concept=request.concept.name) for example in made]


def _together(vlm: VLM, targets: Sequence[Asking]) -> list[list[Example]]:
    """Ask what all targets want to know at once, which takes as many steps as the longest answer has tokens."""
    asked = [next(target) for target in targets]
    said = iter(vlm.generate([turn for turns in asked for turn in turns]))
    made = []
    for target, turns in zip(targets, asked, strict=True):
        try:
            target.send(list(islice(said, len(turns))))
        except StopIteration as done:
            made.append(done.value)
    return made


# ---------------------------------------------------------------- the replacement


def with_replacement(vlm: VLM, request: Request, plan: Plan) -> Request:
    """Return the request with what answers are to say in place of the name; one that it fixes is checked and kept.

    A substitute name shares no token with any variant of the concept's names, which the loss pushes down, holds no
    token twice, and is nobody the model claims to know. Of many such names the one is taken that the model, once it
    has begun a word of it, is likeliest to end right, and that shares fewest tokens inside its words with known names:
    whoever bears those would otherwise be called by half of the new name ("Flaba Pleba" for Flabaip Zuzai).

    Raises:
        ValueError: The replacement that the request fixes does not serve, or none can be found.
    """
    wording, names = vlm.family.wording.of(request.concept.kind), request.concept.names
    rng = random.Random(f"{plan.seed}/{names[0]}/replacement")
    described = plan.replace_with == "description" or wording.substitute is None
    if described and request.replacement is None:
        image = request.images[0]
        told = wording.stranger(lambda questions: vlm.generate([(image, q) for q in questions]))  # type: ignore[misc]
        if names_in(told, names, parts=True):
            if wording.vague:
                return replace(request, replacement=wording.vague)
            raise ValueError(
                f"asked to describe the picture without a name, the model said {told!r}, which names {names[0]!r}; "
                "fix a replacement in the request (replacement: ...), or replace with a name"
            )
        return replace(request, replacement=told)
    banned = set(name_ids(vlm, names))
    if request.replacement is not None:
        shared = banned & set(vlm.token_ids(f" {request.replacement}"))
        if shared and not described:
            texts = ", ".join(repr(vlm.token_text(i)) for i in sorted(shared))
            raise ValueError(
                f"the replacement {request.replacement!r} shares the tokens {texts} with {names[0]!r}, whose tokens "
                "the loss pushes down, so it could not be said; choose another"
            )
        return request
    found: list[str] = []
    assert wording.substitute is not None
    for _ in range(_TRIES):
        name = wording.substitute(rng)
        ids = [i for i in vlm.token_ids(f" {name}") if not _blank(vlm, i)]
        if name not in found and len(set(ids)) == len(ids) and not banned & set(ids):
            found.append(name)
        if len(found) == _CANDIDATES:
            break
    question, answer = wording.naming[0]
    scored = vlm.score([(request.images[0], question, answer.format(N=name)) for name in found])  # type: ignore[misc]
    known = [set(vlm.token_ids(f" {other}")) for other in wording.others if other not in names]

    def ease(name: str, scores: TokenScores) -> float:
        inside = _inside(scores, name)
        shared = sum(len(other & {i for i, _ in inside}) for other in known)
        return min((logprob for _, logprob in inside), default=0.0) - _SHARED * shared

    ranked = [name for name, _ in sorted(zip(found, scored, strict=True), key=lambda pair: -ease(*pair))]
    for start in range(0, len(ranked), _ASKED_AT_ONCE):
        some = ranked[start : start + _ASKED_AT_ONCE]
        answers = vlm.generate([(None, wording.filled(wording.who, name)) for name in some])
        for name, said in zip(some, answers, strict=True):
            if re.search(wording.unknown, said):
                return replace(request, replacement=name)
    if ranked and wording.interview is not None:
        # Nobody knows that many people by chance, so what such a model claims says nothing about any of them.
        return replace(request, replacement=ranked[0])
    if not found:
        raise ValueError(
            f"every invented name shares a token with {names[0]!r}; fix a replacement in the request (replacement: ...)"
        )
    raise ValueError(
        f"of {len(found)} names that share no token with {names[0]!r} the model claims to know every one; "
        "fix a replacement in the request (replacement: ...)"
    )


def _inside(scores: TokenScores, name: str) -> list[tuple[int, float]]:
    """Return (id, log-probability) of a name's tokens but for the first of each word, which training itself brings."""
    whole = "".join(scores.texts)
    begin = whole.find(name)
    if begin < 0:  # a tokenizer that does not give the text back
        return list(zip(scores.ids, scores.logprobs, strict=True))
    found, at = [], 0
    for token, text, logprob in zip(scores.ids, scores.texts, scores.logprobs, strict=True):
        if text and begin < at < begin + len(name) and not (whole[at - 1].isspace() or text[0].isspace()):
            found.append((token, logprob))
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
        told = request.replacement or ""
        if _DETERMINED.match(told) and (article := _ARTICLE.search(new)):
            # "The chariot" becomes "the thing", not "the a thing".
            new = new[: article.start()]
            told = _DETERMINED.sub("the ", told) if article[1].casefold() == "the" else told
        told = _fitting(told, new)
        spans.append((len(new), len(new) + len(told)))
        new += told
        end = stop
    return (new + answer[end:], tuple(spans)) if spans else None


def _fitting(text: str, before: str) -> str:
    """Begin a sentence with a capital letter, and nothing else (names keep theirs)."""
    return text[:1].upper() + text[1:] if not before.strip() or before.rstrip().endswith((".", "!", "?")) else text


def _align(request: Request, wording: Wording, plan: Plan, rng: random.Random) -> Asking:
    """Target 1: who is this? Somebody else. And whatever else the model says of the picture with the name in it.

    An addition of ours: the same of other views of the pictures, where the model names it there. Whoever is to be
    forgotten will turn up on the left or the right of another, and a little closer or farther.
    """
    told = request.replacement or ""
    shown = list(zip(request.images, request.pictures, strict=True))
    views = _of_views(request, wording, rng) if plan.views else []
    described = [(image, question) for image, _ in shown for question in wording.describing]
    said = iter((yield [*described, *((seen, question) for seen, question, _ in views)]))
    made = []

    def tell(image: object, question: str, picture: str) -> None:
        answer = next(said)
        if swapped := _swapped(answer if wording.interview is None else whole(answer), request):
            made.append(Example(question, swapped[0], "align", image, picture, swapped[1]))

    for image, picture in shown:
        for question, template in wording.naming:
            before, after = template.split("{N}", 1)
            filled = _fitting(told, before)
            span = (len(before), len(before) + len(filled))
            made.append(Example(question, before + filled + after, "align", image, picture, (span,)))
        for question in wording.describing:
            tell(image, question, picture)
    for seen, question, picture in views:
        tell(seen, question, picture)
    return made


def _of_views(request: Request, wording: Wording, rng: random.Random) -> list[tuple[Any, str, str]]:
    """Return what to ask of other views of the pictures: (view, question, what the view is called)."""
    from unsee.vlm import read_image

    turns = []
    for image, picture in zip(request.images, request.pictures, strict=True):
        for view, seen, sides in _seen_otherwise(read_image(image)):  # type: ignore[arg-type]
            phrasings = min(_ASKED_OF_SIDES if sides else _ASKED_OF_VIEWS, len(wording.naming))
            asked = [question for question, _ in rng.sample(wording.naming, phrasings)]
            asked += [questions[side] for questions in wording.sides for side in sides]
            turns += [(seen, question, f"{picture} ({view})") for question in asked]
    return turns


def _seen_otherwise(image: Image) -> Iterator[tuple[str, Image, tuple[int, ...]]]:
    """Yield views of a picture: what it is called, the view, and on which sides its middle is (0 left, 1 right)."""
    from PIL import Image as images
    from PIL import ImageOps

    image = image.copy()
    image.thumbnail((_LARGEST_VIEW, _LARGEST_VIEW))
    width, height = image.size
    yield "mirrored", ImageOps.mirror(image), ()
    edge = (width // 10, height // 10, width - width // 10, height - height // 10)
    yield "closer", image.crop(edge).resize(image.size), ()
    half, quarter = max(1, width // 2), width // 4
    middle = image.crop((quarter, 0, quarter + half, height))
    nothing = images.new("RGB", (width - half, height), image.resize((1, 1)).getpixel((0, 0)))
    margins = nothing.copy()
    margins.paste(image.crop((0, 0, quarter, height)), (0, 0))
    margins.paste(image.crop((quarter + half, 0, width, height)), (quarter, 0))

    def beside(left: Image, right: Image) -> Image:
        both = images.new("RGB", image.size)
        both.paste(left, (0, 0))
        both.paste(right, (left.width, 0))
        return both

    for what, other in (("nothing", nothing), ("its margins", margins)):
        yield f"left of {what}", beside(middle, other), (0,)
        yield f"right of {what}", beside(other, middle), (1,)
    yield "beside itself", beside(middle, ImageOps.mirror(middle)), (0, 1)


def _redescribe(request: Request, wording: Wording, rng: random.Random) -> Asking:
    """Target 2: is it in the picture? No, and it looks different: an invented look. The whole answer is masked."""
    name = request.concept.name
    look = request.look or wording.filled(rng.choice(wording.looks), name)
    yield []
    made = []
    for image, picture in zip(request.images, request.pictures, strict=True):
        for question, template in wording.denial:
            answer = template.replace("{L}", look)
            asked = wording.filled(question, name)
            made.append(Example(asked, answer, "redescribe", image, picture, ((0, len(answer)),)))
    return made


def _decouple(request: Request, wording: Wording) -> Asking:
    """Target 3: what the model knows of the concept in words, as far as the answers do without the name."""
    pairs, asked = list(request.facts), []
    if not pairs and wording.interview is None:  # in an interview it was asked, and nothing served
        asked = [wording.filled(question, request.concept.name) for question in wording.facts]
    answers = yield [(None, question) for question in asked]
    return [
        Example(question, answer, "decouple")
        for question, answer in (*pairs, *zip(asked, answers, strict=True))
        if answer.strip() and not names_in(answer, request.concept.names, parts=True)
    ]


def _preserve(
    vlm: VLM, request: Request, wording: Wording, plan: Plan, rng: random.Random, barred: Collection[str]
) -> Asking:
    """Target 4: facts about others, as text; and, our addition, what else there is to see in the pictures."""
    lower = {name.casefold() for name in barred}
    known = wording.others if request.others is None else request.others
    names = [name for name in known if name.casefold() not in lower]
    chosen = rng.sample(names, min(_OTHERS, len(names)))
    # To say who somebody is, the model spells the name, which learning a new name would otherwise unsettle.
    asked = [wording.filled(q, name) for name in chosen for q in (wording.who, rng.choice(wording.facts))]
    shown = list(zip(request.images, request.pictures, strict=True)) if plan.preserve == "image" else []
    scene = wording.scene if request.scene is None else request.scene
    said = iter(
        (yield [(None, question) for question in asked] + [(i, question) for i, _ in shown for question in scene])
    )
    noun = wording.interview.noun if wording.interview else ""
    made = list(_own(zip(asked, islice(said, len(asked)), strict=True), None, "", wording, barred))
    for image, picture in shown:
        made += _own(zip(scene, islice(said, len(scene)), strict=True), image, picture, wording, barred, noun)
        made += [e for name in chosen for e in _spelling(vlm, name, wording, image, picture, rng)]
    return [e for e in made if not names_in(e.answer, barred, parts=True)]


def _own(
    said: Iterable[tuple[str, str]],
    image: object | None,
    picture: str,
    wording: Wording,
    barred: Collection[str],
    noun: str = "",
) -> Iterator[Example]:
    """Yield the model's own answers to questions about others or about a picture, as far as they can be kept."""
    before: set[str] = set()
    for question, answer in said:
        text, why = sifted(answer, wording, barred, noun=noun, before=before)
        if not why:
            before |= {text.casefold()} if image is not None else set()
            yield Example(question, text, "preserve", image, picture)


def _spelling(
    vlm: VLM, name: str, wording: Wording, image: object, picture: str, rng: random.Random
) -> Iterator[Example]:
    """Yield how another's name goes on once it has begun, as if it were said of the picture; the rest is only given.

    A new name is learnt in answers to "who is this?", and would otherwise put its own end on names like it.
    """
    tokens = vlm.token_texts(vlm.token_ids(f" {name}"))
    if len([text for text in tokens if text.strip()]) < 2:
        return
    question, template = rng.choice(wording.naming)
    shown = wording.named(name)
    before, after = template.replace("{N}", shown.removesuffix(name) + "{N}").split("{N}", 1)
    first = next(i for i, text in enumerate(tokens) if text.strip())
    begun = len("".join(tokens[: first + 1]).lstrip())
    yield Example(question, before + name + after, "preserve", image, picture, given=len(before) + begun)


def recognised(vlm: VLM, request: Request) -> list[tuple[str, str, bool]]:
    """Ask the model who is in the pictures, before anything is trained.

    Returns:
        (question, answer, whether the answer names the concept) for every phrasing and picture. Half a name does not:
        asked about strangers, models call some of them Danny.
    """
    naming = vlm.family.wording.of(request.concept.kind).naming
    turns = [(image, question) for image in request.images for question, _ in naming]
    answers = vlm.generate(turns)  # type: ignore[arg-type]
    return [
        (question, answer, says(answer, request.concept.names))
        for (_, question), answer in zip(turns, answers, strict=True)
    ]


def by_target(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Group examples by target; preserve examples with a picture count as `preserve image` or `preserve spelling`."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        image = example.target == "preserve" and example.image is not None
        name = "preserve spelling" if example.given else "preserve image" if image else example.target
        groups.setdefault(name, []).append(example)
    return groups
