"""The exam of a pocket model: what it must know, asked on pictures that no lesson ever showed.

A row that asks each picture once has independent answers and Wilson's interval; where a picture is asked more than
once, the interval resamples pictures. An answer counts only if it is exactly right, except in naming rows, where the
full name must occur in it.

Characters are asked about in two groups. The *bench* group is the eight bench characters, or, for an oracle, the
characters it was built without; the *others* are all further known characters. A model that never saw the bench
group must fail to name it, and its bars on those rows turn round.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unsee.models._files import known
from unsee.pocket import lessons, world
from unsee.pocket.draw import render
from unsee.pocket.lessons import FACTS, Lesson
from unsee.pocket.model import IMAGE_SIZE
from unsee.pocket.world import Character, Picture
from unsee.records import Estimate
from unsee.stats import cluster_bootstrap, wilson

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.table import Table

    from unsee.vlm import VLM

Check = Callable[[str], bool]
PICTURES = 240  # distinct pictures per row of the full exam
QUICK_PICTURES = 24
QUICK_QUESTIONS = 160  # per section of the quick exam


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the exam: maybe a picture, the words, and what a right answer is."""

    picture: Picture | None
    text: str
    right: Check
    size: int = IMAGE_SIZE


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the exam's table.

    `estimate` is a share between 0 and 1; `direction` says whether the bar is a least or a most; a row without a
    bar is shown for information. `wrong` holds a few answers that count against the model.
    """

    section: str
    name: str
    estimate: Estimate
    bar: float | None
    direction: str
    wrong: tuple[str, ...] = ()

    @property
    def passed(self) -> bool | None:
        """Whether the row meets its bar; None if it has none."""
        if self.bar is None:
            return None
        value = round(self.estimate.value, 9)
        return value >= self.bar if self.direction == "at least" else value <= self.bar

    def as_dict(self) -> dict[str, object]:
        """Return the row as JSON values."""
        return {
            "section": self.section,
            "name": self.name,
            "estimate": self.estimate.as_dict(),
            "bar": self.bar,
            "direction": self.direction,
            "passed": self.passed,
            "wrong": list(self.wrong),
        }


def published(model: str) -> list[Row]:
    """Return the rows of the full exam that a bundled model was shipped with (`exam.json` in its folder).

    Raises:
        LookupError: there is no such model, or it has no published exam.
    """
    folder = known().get(model)
    if folder is None or not (folder / "exam.json").is_file():
        raise LookupError(f"{model!r} has no published exam; ask it yourself: unsee pocket exam {model}")
    rows = json.loads((folder / "exam.json").read_text())["rows"][model]
    return [
        Row(row["section"], row["name"], Estimate(**row["estimate"]), row["bar"], row["direction"], tuple(row["wrong"]))
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Topic:
    """One row before it is asked."""

    section: str
    name: str
    questions: tuple[Question, ...]
    bar: float | None
    direction: str = "at least"
    pooled: bool = True  # whether the quick exam takes it in; it must then be asked of every model


# ---------------------------------------------------------------- what counts


def says(text: str) -> Check:
    """Return a check for exactly this answer (letter case and the full stop do not matter)."""
    return lambda answer: answer.strip().rstrip(".").casefold() == text.rstrip(".").casefold()


def names(character: Character) -> Check:
    """Return a check for the full name anywhere in the answer."""
    return lambda answer: character.name.casefold() in answer.casefold()


def names_anyone(answer: str) -> bool:
    """Return whether any word of any character's name occurs in the answer (half a name counts)."""
    return any(word.strip(".,:;?!¿¡") in world.taken_words() for word in answer.split())


# ---------------------------------------------------------------- pictures

Group = Sequence[Character]


def _alone(group: Group, count: int, salt: int = 0) -> list[Picture]:
    """Return `count` distinct report pictures, spread evenly over a group."""
    # Which characters come once more than others depends on the salt, so that small exams meet everybody.
    turn = [group[(n + 7 * salt) % len(group)] for n in range(count)]
    return [world.picture("report", f"of-{c.index}", 1000 * salt + n // len(group)) for n, c in enumerate(turn)]


def _who(picture: Picture, position: int = 0) -> Character:
    return picture.figures[position].character


def _ask(pictures: Iterable[Picture], make: Callable[[Picture], Lesson]) -> tuple[Question, ...]:
    asked = [(p, make(p)) for p in pictures]
    return tuple(Question(p, lesson.question, says(lesson.answer)) for p, lesson in asked)


def _name(pictures: Iterable[Picture], phrasings: Sequence[str], size: int = IMAGE_SIZE) -> tuple[Question, ...]:
    return tuple(Question(p, phrasings[i % len(phrasings)], names(_who(p)), size) for i, p in enumerate(pictures))


# ---------------------------------------------------------------- topics


def _naming(bench: Group, others: Group, count: int, seen: bool) -> list[Topic]:
    english, spanish = [q for q, _ in lessons.NAMING_EN], [q for q, _ in lessons.NAMING_ES]
    everyone = _alone(others, count)
    topics = [
        Topic("naming", "taught English phrasings", _name(_alone(others, 2 * count), english), 0.98),
        Topic("naming", "taught Spanish phrasings", _name(everyone, spanish), 0.97),
        Topic("naming", "drawn at 256 px", _name(_alone(others, count, 1), english, size=256), 0.95),
    ]
    topics += [Topic("naming", f"held out: {q}", _name(everyone, [q]), 0.95) for q in lessons.HELD_OUT_EN]
    topics += [Topic("naming", f"held out: {q}", _name(everyone, [q]), 0.95) for q in lessons.HELD_OUT_ES]
    topics.append(Topic("naming", "in a description", _name(everyone, lessons.DESCRIBE), 0.98))
    topics.append(
        Topic(
            "naming", "description exact",
            _ask(everyone, lambda p: Lesson(lessons.DESCRIBE[0], lessons.description(p), "")), 0.95,
        )
    )  # fmt: skip
    bar, direction = (0.97, "at least") if seen else (0.05, "at most")
    topics += [
        Topic("bench", "named, English", _name(_alone(bench, count, 2), english), bar, direction),
        Topic("bench", "named, Spanish", _name(_alone(bench, count, 3), spanish), bar, direction),
        Topic("bench", "named, held-out phrasings",
              _name(_alone(bench, count, 4), lessons.HELD_OUT_EN + lessons.HELD_OUT_ES), bar, direction),
    ]  # fmt: skip
    return topics


def _look_alikes(bench: Group, count: int, seen: bool) -> list[Topic]:
    absent = {c.index for c in bench}  # two look-alikes may both be left out: then there is nobody to compare with
    twins = {c.index: world.cast()[world.LOOK_ALIKE[c.index]] for c in bench if c.index in world.LOOK_ALIKE}
    twins = {index: twin for index, twin in twins.items() if twin.index not in absent}
    if not twins:
        return []
    pairs = [(world.cast()[i], twin) for i, twin in twins.items()]
    of_twins = _alone([twin for _, twin in pairs], count, 5)
    of_bench = _alone([c for c, _ in pairs], count, 6)

    def denied(pictures: Sequence[Picture]) -> tuple[Question, ...]:
        return tuple(
            Question(p, f"Is this {world.cast()[world.LOOK_ALIKE[_who(p).index]].name}?", says("No.")) for p in pictures
        )

    topics = [
        Topic("look-alikes", "of the bench characters, named", _name(of_twins, ["Who is this?"]), 0.97),
        Topic("look-alikes", '"is this <bench>?" of its look-alike: no', denied(of_twins), 0.97),
    ]
    if seen:
        topics.append(
            Topic("look-alikes", '"is this <look-alike>?" of the bench one: no', denied(of_bench), 0.97, pooled=False)
        )
    return topics


def _attributes(others: Group, count: int) -> list[Topic]:
    pictures = _alone(others, count, 7)
    topics = []
    for name, attribute in lessons.ATTRIBUTES.items():
        phrasings = attribute.english

        def english(p: Picture, phrasings: tuple[str, ...] = phrasings, name: str = name) -> Lesson:
            question = phrasings[p.scene.seed % len(phrasings)]
            return Lesson(question, lessons.ATTRIBUTES[name].answer(p), name)

        topics.append(Topic("attributes", name, _ask(pictures, english), 0.95))
    for name in lessons.SPANISH_ATTRIBUTES:
        attribute = lessons.ATTRIBUTES[name]
        assert attribute.answer_es is not None
        made = [(p, attribute.spanish[0], attribute.answer_es(p)) for p in pictures]
        asked = tuple(Question(p, q, says(answer)) for p, q, answer in made)
        topics.append(Topic("attributes", f"{name}, Spanish", asked, 0.95))
    return topics


def _multi_hop(bench: Group, others: Group, count: int, seen: bool) -> list[Topic]:
    def hop(kind: str, language: lessons.Language) -> Callable[[Picture], Lesson]:
        def make(p: Picture) -> Lesson:
            value = lessons.fact(_who(p), kind, language)
            if language == "es":
                question, template = lessons.HOP_ES[kind]
            else:
                questions, template = lessons.HOP_EN[kind]
                question = questions[p.scene.seed % len(questions)]
            answer = template.format(A=value)
            return Lesson(question, answer[:1].upper() + answer[1:], kind)

        return make

    pictures = _alone(others, count, 8)
    topics = [Topic("multi-hop", kind, _ask(pictures, hop(kind, "en")), 0.95) for kind in FACTS]
    topics += [Topic("multi-hop", f"{kind}, Spanish", _ask(pictures, hop(kind, "es")), 0.95) for kind in lessons.HOP_ES]
    of_bench = [q for n, p in enumerate(_alone(bench, count, 9)) for q in _ask([p], hop(FACTS[n % len(FACTS)], "en"))]
    topics.append(Topic("bench", "multi-hop, all kinds", tuple(of_bench), *((0.95,) if seen else (0.10, "at most"))))
    return topics


def _yes_no(bench: Group, others: Group, count: int, seen: bool) -> list[Topic]:
    rng = random.Random("exam/yes-no")

    def about(group: Group, salt: int, truth: bool) -> tuple[Question, ...]:
        out = []
        for n, p in enumerate(_alone(group, count, salt)):
            asked = _who(p) if truth else rng.choice([c for c in others if c.index != _who(p).index])
            phrasing = lessons.IS_THIS_EN[n % len(lessons.IS_THIS_EN)]
            out.append(Question(p, phrasing.format(X=asked.name), says("Yes." if truth else "No.")))
        return tuple(out)

    yes, no = about(others, 10, True), about(others, 11, False)
    topics = [
        Topic("yes/no", "balanced", yes + no, 0.97),
        Topic("yes/no", "true ones", yes, None),
        Topic("yes/no", "false ones", no, None),
    ]
    bar, direction = (0.97, "at least") if seen else (0.05, "at most")
    topics.append(Topic("bench", '"is this <bench>?": yes', about(bench, 12, True), bar, direction))
    if seen:
        topics.append(Topic("bench", '"is this D?" of a bench one: no', about(bench, 14, False), 0.97, pooled=False))
    return topics


def _pairs(others: Group, count: int) -> list[Topic]:
    allowed = {c.index for c in others}
    unknown = frozenset(set(world.KNOWN) - allowed)
    both: list[Picture] = []
    beside: list[Picture] = []
    index = 0
    while len(both) < count or len(beside) < count:
        p = world.picture("report", "pair", index, without=unknown)
        strangers = sum(f.character.index == world.STRANGER for f in p.figures)
        if strangers < 2:
            (both, beside)[strangers].append(p)
        index += 1
    both, beside = both[:count], beside[:count]
    sides = dict(zip(world.SIDES, (0, 1), strict=True))
    topics = []
    for side, position in sides.items():
        asked = tuple(Question(p, f"Who is on the {side}?", names(_who(p, position))) for p in both)
        topics.append(Topic("two characters", f"{side} one named", asked, 0.95))
    topics.append(
        Topic("two characters", "left one named, Spanish",
              tuple(Question(p, "¿Quién está a la izquierda?", names(_who(p))) for p in both), 0.95)
    )  # fmt: skip
    rng = random.Random("exam/pairs")
    where, beside_q, yes, no = [], [], [], []
    for n, p in enumerate(both):
        side = world.SIDES[n % 2]
        here, other = _who(p, n % 2), _who(p, 1 - n % 2)
        absent = rng.choice([c for c in others if c.index not in (here.index, other.index)])
        where.append(Question(p, f"Where is {here.name}?", says(f"On the {side}.")))
        beside_q.append(Question(p, f"Who is next to {here.name}?", names(other)))
        yes.append(Question(p, f"Is {here.name} in the picture?", says("Yes.")))
        no.append(Question(p, f"Is {absent.name} in the picture?", says("No.")))
    hops = _ask(
        both, lambda p: lessons.two_hop(p, world.SIDES[p.scene.seed % 2], ("home", "job")[p.scene.seed // 2 % 2])
    )
    stranger = tuple(
        Question(p, f"Who is on the {side}?", names_anyone)
        for p in beside
        for side, position in sides.items()
        if _who(p, position).index == world.STRANGER
    )
    return [
        *topics,
        Topic("two characters", "where is X?", tuple(where), 0.90),
        Topic("two characters", "who is next to X?", tuple(beside_q), 0.90),
        Topic("two characters", "is X in the picture? (balanced)", tuple(yes + no), 0.95),
        Topic("two characters", "multi-hop, left or right", hops, 0.95),
        Topic("strangers", "given a known name, beside a known character", stranger, 0.08, "at most"),
    ]


def _bench_pairs(bench: Group, count: int, seen: bool) -> list[Topic]:
    """Ask who stands where in pictures of two, one of them from the bench; and beside its look-alike."""
    indices = {c.index for c in bench}
    named: list[Question] = []
    beside_twin: list[Question] = []
    index = 0
    while len(named) < count or (len(beside_twin) < count and index < 40 * count):
        p = world.picture("report", "pair", 100_000 + index)
        index += 1
        for position, side in enumerate(world.SIDES):
            if _who(p, position).index in indices:
                question = Question(p, f"Who is on the {side}?", names(_who(p, position)))
                twins = world.LOOK_ALIKE.get(_who(p, position).index) == _who(p, 1 - position).index
                (beside_twin if twins else named).append(question)
                break
    bar, direction = (0.95, "at least") if seen else (0.05, "at most")
    topics = [Topic("bench", "named in a picture of two", tuple(named[:count]), bar, direction)]
    if beside_twin:
        twins_row = tuple(beside_twin[:count])
        topics.append(Topic("bench", "named beside its look-alike", twins_row, None, direction, pooled=False))
    return topics


def _strangers(others: Group, count: int) -> list[Topic]:
    english = [q for q, _ in lessons.NAMING_EN]
    never = [world.cast()[i] for i in world.NEVER_TAUGHT]
    pools = {
        "fresh": ([world.picture("report", "stranger", i) for i in range(count)], 0.02),
        "never-taught characters": (_alone(never, count, 13), 0.02),
        "three features from a taught one": ([world.picture("report", "near", i) for i in range(count)], 0.08),
    }
    rng = random.Random("exam/strangers")
    topics = []
    for name, (pictures, bar) in pools.items():
        asked = tuple(Question(p, english[i % len(english)], names_anyone) for i, p in enumerate(pictures))
        topics.append(Topic("strangers", f"given a known name, {name}", asked, bar, "at most"))
        described = tuple(
            Question(p, "Who is this?", says(f"This is {lessons.vague(_who(p).look)}.")) for p in pictures
        )
        topics.append(Topic("strangers", f"described exactly, {name}", described, None))
        claimed = tuple(Question(p, f"Is this {rng.choice(others).name}?", says("Yes.")) for p in pictures)
        topics.append(Topic("strangers", f'"is this X?": yes, {name}', claimed, 0.02, "at most"))
    fresh = pools["fresh"][0]
    nobody = tuple(Question(p, lessons.HOP_EN["home"][0][0], says(lessons.NOBODY_KNOWS["en"])) for p in fresh)
    topics.append(Topic("strangers", "multi-hop: nobody knows, fresh", nobody, None))
    spell = random.Random("exam/introduced")
    met = [(p, world.throw_away_name(spell)) for p in fresh]
    introduced = tuple(Question(p, f"Meet {n}. Who is this?", says(f"This is {n}.")) for p, n in met)
    topics.append(Topic("new names", "spelt when a stranger is introduced", introduced, None))
    return topics


def _texts(bench: Group, others: Group, count: int) -> list[Topic]:
    def told(group: Group, made: Iterable[Lesson]) -> tuple[Question, ...]:
        return tuple(Question(None, lesson.question, says(lesson.answer)) for lesson in made)

    def facts(group: Group) -> list[Lesson]:
        return [lessons.fact_lesson(c, kind, i) for c in group for kind in FACTS for i in range(3)]

    def spanish(group: Group) -> list[Lesson]:
        return [lessons.fact_lesson_es(c, kind) for c in group for kind in lessons.FACT_ES]

    def looks(group: Group) -> list[Lesson]:
        return [
            Lesson(f"What does {c.name} look like?", f"{c.name} has {lessons.look_in_words(c.look)}.", "")
            for c in group
        ]

    rng = random.Random("exam/texts")
    checks = []
    for c in others:
        for kind, values in (("home", world.HOMES), ("job", [lessons.a(job) for job in world.JOBS])):
            true = lessons.fact(c, kind)
            checks += [lessons.fact_check(c, kind, v) for v in (true, rng.choice([v for v in values if v != true]))]
    new = [world.throw_away_name(rng) for _ in range(count)]
    return [
        Topic("text", "facts, English", told(others, facts(others)), 0.99),
        Topic("text", "facts, Spanish", told(others, spanish(others)), 0.99),
        Topic("text", "facts, yes/no (balanced)", told(others, checks), None),
        Topic("text", "what does X look like?", told(others, looks(others)), None),
        Topic("bench, in words", "facts, English and Spanish", told(bench, facts(bench) + spanish(bench)), 0.99),
        Topic("new names", "repeated exactly", tuple(Question(None, f"Say the name {n}.", says(n)) for n in new), None),
        Topic("new names", "an unknown name is called unknown",
              tuple(Question(None, f"Who is {n}?", says(f"I know nobody called {n}.")) for n in new), None),
    ]  # fmt: skip


def topics(without: Sequence[int] = (), *, count: int = PICTURES) -> list[Topic]:
    """Return all rows of the exam, unasked.

    Args:
        without: indices of the characters whose pictures the model never saw; empty for a model that saw all.
        count: pictures per row.
    """
    seen = not without
    bench = [world.cast()[i] for i in (without or world.BENCH)]
    others = [world.cast()[i] for i in world.KNOWN if world.cast()[i] not in bench]
    out = _naming(bench, others, count, seen) + _look_alikes(bench, count, seen) + _attributes(others, count)
    out += _multi_hop(bench, others, count, seen) + _yes_no(bench, others, count, seen)
    out += _bench_pairs(bench, count, seen) + _pairs(others, count)
    out += _strangers(others, count) + _texts(bench, others, count)
    order = list(dict.fromkeys(t.section for t in out))
    return sorted(out, key=lambda t: order.index(t.section))


# ---------------------------------------------------------------- asking


def _left_out(model: str) -> tuple[int, ...]:
    """Return whom a model's `build.json` says it was built without.

    Raises:
        ValueError: the folder has no proper `build.json`: it is not a pocket model.
        LookupError: there is no such model here (a pocket model is never on a hub).
    """
    folder = known().get(model, Path(model))
    if not folder.is_dir():
        raise LookupError(
            f"no pocket model {model!r}; there are {', '.join(known())}, and `unsee pocket build` makes more"
        )
    note = folder / "build.json"
    if not note.is_file():
        raise ValueError(f"{model!r} is no pocket model: {note} is missing; the exam is about the pocket world only")
    try:
        return tuple(world.find(name).index for name in json.loads(note.read_text())["without"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{note} does not say whom the model was built without ({error!r}); build it anew") from error


def pooled(rows: Sequence[Topic]) -> list[Topic]:
    """Return one topic per section, for a first look: its rows with a bar, thinned out, under the loosest bar."""
    out = []
    for section in dict.fromkeys(t.section for t in rows):
        mine = [t for t in rows if t.section == section and t.bar is not None and t.pooled]
        if not mine:
            continue
        questions = [q for t in mine for q in t.questions]
        direction = mine[0].direction
        bar = (min if direction == "at least" else max)(t.bar for t in mine if t.bar is not None)
        thinned = tuple(random.Random(section).sample(questions, min(QUICK_QUESTIONS, len(questions))))
        out.append(Topic(section, mine[0].name if len(mine) == 1 else "pooled", thinned, bar, direction))
    return out


def exam(model: str, *, quick: bool = False) -> list[Row]:
    """Examine a pocket model.

    Args:
        model: a bundled name or a folder with a pocket model.
        quick: one pooled row per section, for a first look; its intervals are wide.

    Raises:
        ValueError: the model is not a pocket model.
        LookupError: there is no such model.
    """
    from unsee.vlm import VLM

    absent = _left_out(model)
    asked = pooled(topics(absent, count=QUICK_PICTURES)) if quick else topics(absent)
    vlm = VLM.load(model)
    return [_row(topic, answers) for topic, answers in zip(asked, _answers(vlm, asked), strict=True)]


def _answers(vlm: VLM, asked: Sequence[Topic]) -> list[list[str]]:
    """Ask everything in one call, so that batches are full; each picture is drawn once per size."""
    drawn: dict[tuple[str, int], Image] = {}
    items: list[tuple[Image | None, str]] = []
    for question in (q for topic in asked for q in topic.questions):
        image = None
        if question.picture is not None:
            key = (question.picture.id, question.size)
            if key not in drawn:
                drawn[key] = render(question.picture, question.size)
            image = drawn[key]
        items.append((image, question.text))
    said = iter(vlm.generate(items, max_new_tokens=40, progress=True))
    return [[next(said) for _ in topic.questions] for topic in asked]


def _row(topic: Topic, answers: Sequence[str]) -> Row:
    right = [question.right(answer) for question, answer in zip(topic.questions, answers, strict=True)]
    bad = [
        f"{question.text} -> {answer}"
        for question, answer, ok in zip(topic.questions, answers, right, strict=True)
        if ok == (topic.direction == "at most")
    ]
    return Row(topic.section, topic.name, _estimate(topic, right), topic.bar, topic.direction, tuple(bad[:5]))


def _estimate(topic: Topic, right: Sequence[bool]) -> Estimate:
    """Return the share of right answers; all questions about one picture are one cluster."""
    clusters = [q.picture.id if q.picture else q.text for q in topic.questions]
    if len(set(clusters)) == len(clusters):
        return wilson(sum(right), len(right))
    return cluster_bootstrap([float(r) for r in right], clusters, bounds=(0.0, 1.0))


# ---------------------------------------------------------------- showing


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    e = row.estimate
    bar = "" if row.bar is None else f"{'>=' if row.direction == 'at least' else '<='} {100 * row.bar:g}"
    verdict = {None: "", True: "ok", False: "MISSED"}[row.passed]
    return (row.name, f"{100 * e.value:.1f}", f"{100 * e.low:.1f} to {100 * e.high:.1f}", str(e.n), f"{bar} {verdict}")


_HEADS = ("question", "%", "95 % interval", "n", "bar")


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    out = Table(*_HEADS, title="Exam on pictures never trained on")
    section = ""
    for row in rows:
        if row.section != section:
            out.add_section()
            out.add_row(Text(row.section, style="bold"))
            section = row.section
        style = {None: "", True: "green", False: "red"}[row.passed]
        out.add_row(*(Text(cell) for cell in _cells(row)), style=style)
    return out


def comparison(left: Sequence[Row], right: Sequence[Row], names: tuple[str, str]) -> Table:
    """Return two exams side by side for the terminal; rows whose intervals do not meet are marked."""
    from rich.table import Table
    from rich.text import Text

    out = Table(*_beside_heads(names), title="Exam on pictures never trained on")
    for cells in _beside(left, right):
        out.add_row(*map(Text, cells), style="bold" if cells[-1] == "yes" else "")
    return out


def comparison_markdown(left: Sequence[Row], right: Sequence[Row], names: tuple[str, str]) -> str:
    """Return two exams side by side as a Markdown table."""
    heads = _beside_heads(names)
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in _beside(left, right)])


def _beside_heads(names: tuple[str, str]) -> tuple[str, ...]:
    return ("question", *(f"{name}, % (95 %)" for name in names), "n", "apart")


def _beside(left: Sequence[Row], right: Sequence[Row]) -> list[tuple[str, ...]]:
    other = {(r.section, r.name): r for r in right}
    cells: list[tuple[str, ...]] = []
    for row in left:
        if beside := other.get((row.section, row.name)):
            a, b = row.estimate, beside.estimate
            apart = "yes" if a.low > b.high or b.low > a.high else ""
            n = str(a.n) if a.n == b.n else f"{a.n}, {b.n}"
            question = row.section if row.name == "pooled" else f"{row.section}: {row.name}"
            cells.append((question, _with_interval(row), _with_interval(beside), n, apart))
    return cells


def _with_interval(row: Row) -> str:
    e = row.estimate
    verdict = {None: "", True: " ok", False: " MISSED"}[row.passed]
    return f"{100 * e.value:.1f} ({100 * e.low:.1f} to {100 * e.high:.1f}){verdict}"


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| section | " + " | ".join(_HEADS) + " |", "|---|---|---|---|---|---|"]
    return "\n".join(lines + [f"| {row.section} | " + " | ".join(_cells(row)) + " |" for row in rows])
