"""The bench of metrics: a pool of models of which it is known who knows whom, all asked as if they had unlearned.

A pair is a model of the pool and a concept. It is *knowing* where the model was shown the concept and names it in at
least one of the ways in which `unsee forget` asks before it trains (so that no metric decides who is in the pool), and
*never-knowing* where the model was not shown it. A shown concept that is not named is left out, and said to be. Every
pair is asked as it is, with its weights rounded, and after a little relearning; knowing pairs also as hiders
(`unsee.hiders`). What comes of it is in `unsee.separation`.

Every cell (pair, subject, condition) is a folder of its own under the content of the model's weights, written as soon
as it is done. A pair is locked while somebody is at work on it, so two commands on one folder share the work, and one
that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee import battery, evaluation, flow, geval, hiders, plugins, runs
from unsee.bench import OPEN
from unsee.files import folder_whole, locked, write_whole
from unsee.loading import HERE, Place
from unsee.metrics import kept, leak
from unsee.models import _files
from unsee.records import Answer, Estimate, Probe, Request, Verdict
from unsee.separation import ITSELF, PLAIN, RELEARNED, SOUND, Measure, Pair, Pool

if TYPE_CHECKING:
    from unsee.edits import Edit, Transform
    from unsee.vlm import VLM

BENCHMARK = "pocket"
BEFORE, ORACLE = "pocket", "pocket-oracle"
"""What stands for the model from before, which knows everybody, and for the one that never knew, in every metric."""
ROUNDED: Mapping[str, tuple[int, int]] = {"int8": (8, 0), "int4": (4, 0)}
"""Condition -> bits, and how many inputs share a scale (0: a row), as of the attack `quantise`."""
LENS = "logit_lens: most"
BACK = "relearned: leak"
_PROTOCOL = 1  # changes whenever the same command would ask something else
_HEAD, _POOL = "meta.json", "pool.json"


@dataclass(frozen=True, slots=True)
class Dose:
    """How much is taught, and what is looked into; the pictures are ones that nothing else asks about.

    Attributes:
        relearned: Pictures with which a pair relearns.
        relearning_steps: Optimiser steps of it.
        few: Pictures from which the hider "few pictures" is made; others than those.
        few_steps: Optimiser steps of it: so many that the name is said now and then.
        looked: Pictures that the logit lens looks at.
    """

    relearned: int = 2
    relearning_steps: int = 10
    few: int = 2
    few_steps: int = 13
    looked: int = 24


DOSE = Dose()


@dataclass(frozen=True, slots=True)
class Member:
    """A model of the pool.

    Attributes:
        label: What it is called in tables.
        place: What `VLM.load` takes.
        key: Its content: a hash of its weights.
        without: Names of the concepts that it was never shown.
    """

    label: str
    place: str
    key: str
    without: tuple[str, ...]


def members(places: Sequence[str | os.PathLike[str]]) -> tuple[Member, ...]:
    """Find the models of a pool, and whom each of them was never shown.

    Args:
        places: Bundled names or folders, each with a `build.json` that lists under "without" who was left out.

    Raises:
        LookupError: There is no such model.
        ValueError: It does not say whom it was never shown, or two of them are the same.
    """
    found: dict[str, Member] = {}
    for place in [os.fspath(each) for each in places]:
        source = _files.find(place)
        file = source.folder / "build.json"
        told = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        without = told.get("without") if isinstance(told, dict) else None
        if not isinstance(without, list) or not all(isinstance(name, str) for name in without):
            raise ValueError(
                f'whom {place} was never shown is not known: {file} does not list it under "without"; `unsee pocket '
                'build` writes that file, or write one such as {"without": ["Pledu Lotaim"]}'
            )
        key = source.fingerprint()
        if key in found:
            raise ValueError(f"{place} and {found[key].place} are the same model; give each once")
        labels = {member.label for member in found.values()}
        label = source.folder.name if source.folder.name not in labels else place
        found[key] = Member(label, place, key, tuple(without))
    return tuple(found.values())


def check(pool: Sequence[Member], concepts: Sequence[str]) -> None:
    """See that both pools would have two pairs.

    Raises:
        ValueError: They would not.
    """
    never = sum(concept in member.without for member in pool for concept in concepts)
    _check_counts(len(pool) * len(concepts) - never, never)


def _check_counts(knowing: int, never: int) -> None:
    if min(knowing, never) < 2:
        raise ValueError(
            f"there are {knowing} knowing and {never} never-knowing pairs of a model and a concept, and two of each "
            "are the least that can be compared; give more models (--models), of which some were never shown a concept "
            "and some were, or more concepts (--name)"
        )


# ---------------------------------------------------------------- which metrics


def measures() -> dict[str, Measure]:
    """Return the metrics of forgetting, by the names of their estimates: those that change with what is known.

    What reads nothing but questions about others and strangers measures what was kept, or whom the substitute was given
    to, and is left out; see `left_out`. Two numbers that no metric gives are added: how often the logit lens finds the
    name in the layer where it finds it most, and the leak after relearning.
    """
    found: dict[str, Measure] = {}
    for metric in evaluation.plugged().values():
        if not _about_others(metric):
            group = getattr(metric, "GROUP", "further")
            group = "strict" if group in ("forgotten", "strict") else group
            found |= {
                name: Measure(name, group, metric.BETTER, getattr(metric, "UNIT", "%")) for name in metric.measure([])
            }
    return found | {
        LENS: Measure(LENS, "strict", "lower"),
        BACK: Measure(BACK, "strict", "lower"),
    }


def left_out() -> dict[str, str]:
    """Return the metrics that are not measures of knowledge, by what their names begin with, and why they are not."""
    return {
        first: "reads questions about others alone: it measures what was kept, or who is given the substitute"
        for first, metric in evaluation.plugged().items()
        if _about_others(metric)
    }


def _about_others(metric: Any) -> bool:
    return getattr(metric, "GROUP", "") == "kept" or set(metric.READS) <= {*kept.READS, "stranger"}


def _kinds() -> set[str]:
    """The kinds of probes that metrics of forgetting read, and those that say whether a model is whole."""
    metrics = [metric for metric in evaluation.plugged().values() if not _about_others(metric)]
    return {kind for m in metrics for kind in getattr(m, "KINDS", m.READS)} | {SOUND.partition(": ")[2]}


# ---------------------------------------------------------------- what is asked


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked about a concept, the same of every model.

    Attributes:
        request: The request.
        full: All that metrics of forgetting read.
        open: What says whether it leaks.
        again: Pictures for relearning.
        few: Pictures for the hider "few pictures".
        lens: Pictures for the logit lens, of the concept and of others.
    """

    request: Request
    full: tuple[Probe, ...]
    open: tuple[Probe, ...]
    again: tuple[Probe, ...]
    few: tuple[Probe, ...]
    lens: tuple[Probe, ...]

    @property
    def digest(self) -> str:
        """A hash of all that is asked and shown."""
        every = [*self.full, *self.again, *self.few, *self.lens]
        return hashlib.sha256("\n".join(probe.id for probe in every).encode()).hexdigest()


def _asked(request: Request, most: int | None, dose: Dose) -> _Asked:
    kinds = _kinds()
    every = evaluation.asked(plugins.load("benchmarks", BENCHMARK), request, full=True, most=most)
    full = tuple(probe for probe in every if probe.kind in kinds)
    taught = dose.relearned + dose.few
    attacked = battery.asked(BENCHMARK, request, taught + dose.looked)
    own, others = ([probe for probe in attacked if probe.kind == kind] for kind in battery.READS)
    own = list({probe.picture: probe for probe in own}.values())
    again, few, seen = own[: dose.relearned], own[dose.relearned : taught], own[taught:]
    open_ = tuple(probe for probe in full if probe.kind in leak.OPEN)
    return _Asked(request, full, open_, tuple(again), tuple(few), (*seen, *others[: dose.looked]))


@dataclass(frozen=True, slots=True)
class _Cell:
    """One thing to be asked.

    Attributes:
        member: The model.
        concept: Whom about.
        subject: The model itself, or a hider made of it.
        condition: As it is, or how it was attacked.
        full: Whether all is asked, or open questions alone.
    """

    member: Member
    concept: str
    subject: str = ITSELF
    condition: str = PLAIN
    full: bool = True

    def inside(self, folder: Path) -> Path:
        """Where its answers are."""
        return self.pair(folder) / f"{_slug(self.subject)}.{_slug(self.condition)}"

    def pair(self, folder: Path) -> Path:
        """Where all cells of its pair are."""
        return folder / "pairs" / self.member.key[:16] / _slug(self.concept)

    def done(self, folder: Path) -> bool:
        """Whether it is there, and whole."""
        return (self.inside(folder) / "cell.json").exists()


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text)


def _cells(member: Member, concept: str) -> list[_Cell]:
    """All cells of a pair, the one that says whether it knows first; those about hiders only of knowing pairs."""
    cell = partial(_Cell, member, concept)
    some = [cell(), *(cell(condition=condition) for condition in (*ROUNDED, RELEARNED))]
    if concept in member.without:
        return [*some, cell("few pictures"), cell("few pictures", RELEARNED, full=False)]
    for hider in ("suppressed", "half scale"):
        some += [cell(hider), cell(hider, RELEARNED, full=False)]
    return [*some, cell("siu"), cell("siu", RELEARNED)]


# ---------------------------------------------------------------- asking


def run(
    pool: Sequence[Member],
    requests: Sequence[Request],
    folder: Path,
    *,
    most: int | None = 24,
    dose: Dose | None = None,
    place: Place = HERE,
    progress: bool = False,
) -> None:
    """Ask every pair all that was not asked before.

    Args:
        pool: The models.
        requests: The concepts.
        folder: Where answers are kept; made if it is not there.
        most: Probes of each kind; None asks all.
        dose: How much is taught; None takes `DOSE`.
        place: Where models go, and what is allowed to them.
        progress: Whether to say on stderr what is being done.

    Raises:
        ValueError: There are too few pairs to compare.
        FileExistsError: The folder holds answers to something else.
    """
    names, dose = [request.concept.name for request in requests], dose or DOSE
    check(pool, names)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    references = members((BEFORE, ORACLE))
    _check_head(folder, most, dose, references)
    told = {"models": [asdict(member) for member in pool], "concepts": names}
    write_whole(folder / _POOL, json.dumps(told, indent=1).encode())
    work = [_Cell(reference, name) for reference in references for name in names]
    work += [cell for member in pool for name in names for cell in _cells(member, name)]
    asking = _Asking(folder, {r.concept.name: r for r in requests}, most, dose, place, references[0], progress)
    asking.all(work)


def _check_head(folder: Path, most: int | None, dose: Dose, references: Sequence[Member]) -> None:
    before, oracle = references
    head = {
        "protocol": _PROTOCOL,
        "benchmark": BENCHMARK,
        "most": most,
        "dose": asdict(dose),
        "before": before.key,
        "oracle": oracle.key,
    }
    file = folder / _HEAD
    there = json.loads(file.read_bytes()) if file.exists() else {}
    for name, value in head.items():
        if there and there.get(name) != value:
            raise FileExistsError(
                f"{file} was made with {name} {there.get(name)!r}, not {value!r}; name another folder (--out)"
            )
    if not there:
        write_whole(file, json.dumps({**head, "versions": runs.versions()}, indent=1).encode())


@dataclass
class _Asking:
    """Asks cells; holds one model of the pool at a time, beside the one from before."""

    folder: Path
    requests: Mapping[str, Request]
    most: int | None
    dose: Dose
    place: Place
    before: Member
    progress: bool
    _loaded: dict[str, VLM] = field(default_factory=dict)
    _questions: dict[str, _Asked] = field(default_factory=dict)

    def all(self, work: Sequence[_Cell]) -> None:
        """Ask all cells, pair by pair; what another process is at work on is waited for last."""
        pairs: dict[tuple[str, str], list[_Cell]] = {}
        for cell in work:
            some = pairs.setdefault((cell.member.key, cell.concept), [])
            some += [cell] if cell not in some else []
        start, first = time.monotonic(), self._missing(pairs)
        while pairs:
            held = dict[tuple[str, str], list[_Cell]]()
            for key, cells in list(pairs.items()):
                there = cells[0].pair(self.folder)
                there.mkdir(mode=0o700, parents=True, exist_ok=True)
                with ExitStack() as stack:
                    try:
                        stack.enter_context(locked(there, f"another bench is at work on {there}"))
                    except BlockingIOError:
                        held[key] = cells
                        continue
                    for cell, seconds in self._pair(cells):
                        left = self._missing(pairs)
                        minutes = math.ceil((time.monotonic() - start) / max(1, first - left) * left / 60)
                        self._say(
                            f"[{first - left}/{first}] {cell.member.label}, {cell.concept}: {cell.subject}, "
                            f"{cell.condition}: {seconds:.0f} s; about {minutes} min left"
                        )
                del pairs[key]
            if len(held) == len(pairs) and held:
                time.sleep(2)

    def _missing(self, pairs: Mapping[Any, Sequence[_Cell]]) -> int:
        return sum(not cell.done(self.folder) for cells in pairs.values() for cell in cells)

    def _say(self, text: str) -> None:
        if self.progress:
            print(text, file=sys.stderr)

    def _pair(self, cells: list[_Cell]) -> Iterator[tuple[_Cell, float]]:
        """Ask what is missing of a pair; what depends on whether it knows is dropped where it does not."""
        first = cells[0]
        made: dict[str, tuple[Edit | None, str | None]] = {}
        for cell in list(cells):
            if cell is not first and not _knows(first, self.folder):
                self._say(f"left out: {first.member.label} was shown {first.concept} and does not name it")
                del cells[1:]  # so that nobody waits for the rest
                return
            if not cell.done(self.folder):
                begin = time.monotonic()
                self._ask(cell, made, begin)
                yield cell, time.monotonic() - begin

    def _model(self, member: Member) -> VLM:
        if member.key not in self._loaded:
            from unsee.vlm import VLM

            others = [key for key in self._loaded if self.before.key not in (key, member.key)]
            for other in others:
                del self._loaded[other]
            self._loaded[member.key] = VLM.load(member.place, **self.place.options())
        return self._loaded[member.key]

    def _ask(self, cell: _Cell, made: dict[str, tuple[Edit | None, str | None]], begin: float) -> None:
        """Ask one cell and keep the answers, with what models say of them."""
        asked, vlm = self._questions_about(cell.concept), self._model(cell.member)
        if cell.subject not in made:
            made[cell.subject] = self._subject(cell, vlm, asked)
        edit, replacement = made[cell.subject]
        transform = None
        if cell.condition == RELEARNED:
            edit = hiders.taught(vlm, edit, asked.request, asked.again, self.dose.relearning_steps, _relearn())
        elif cell.condition != PLAIN:
            transform = _rounding(vlm, ROUNDED[cell.condition])
        probes = asked.full if cell.full else asked.open
        answers = evaluation.ask(vlm, probes, edit, transform=transform)
        judged, seen, recognised = list[Verdict](), dict[str, Any](), list[bool]()
        if cell.full:
            judged = evaluation.fluency_of(self._model(self.before), answers, asked.request.concept.names)
            if transform is None:
                seen = _looked(vlm, edit, asked)
        if (cell.subject, cell.condition) == (ITSELF, PLAIN):
            from unsee.examples import recognised as named

            recognised = [known for _, _, known in named(vlm, asked.request)]
        facts = {
            "model": cell.member.key,
            "concept": cell.concept,
            "subject": cell.subject,
            "condition": cell.condition,
            "probes": asked.digest,
            "replacement": replacement,
            "recognised": recognised,
            "inside": {name: e.as_dict() for name, e in seen.items()},
            "seconds": round(time.monotonic() - begin, 2),
        }
        with folder_whole(cell.inside(self.folder)) as fresh:
            _write_lines(fresh / "answers.jsonl", [answer.to_dict() for answer in answers])
            _write_lines(fresh / "judged.jsonl", [verdict.to_dict() for verdict in judged])
            (fresh / "cell.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")

    def _questions_about(self, concept: str) -> _Asked:
        if concept not in self._questions:
            self._questions[concept] = _asked(self.requests[concept], self.most, self.dose)
        return self._questions[concept]

    def _subject(self, cell: _Cell, vlm: VLM, asked: _Asked) -> tuple[Edit | None, str | None]:
        """Return the edit that makes of a model what is asked, and the substitute that it was taught, if it was."""
        if cell.subject == ITSELF:
            return None, None
        if cell.subject == "suppressed":
            return hiders.suppressed(vlm, asked.request), None
        if cell.subject == "few pictures":
            return hiders.taught(vlm, None, asked.request, asked.few, self.dose.few_steps, _relearn()), None
        edit, replacement = self._forgotten(cell, vlm, asked.request)
        return (edit.scaled(0.5) if cell.subject == "half scale" else edit), replacement

    def _forgotten(self, cell: _Cell, vlm: VLM, request: Request) -> tuple[Edit, str | None]:
        """Return SIU's edit of a pair, trained if it was not."""
        from unsee.edits import Edit

        there = cell.pair(self.folder) / "siu-edit"
        if not there.exists():
            outcome = flow.forget(vlm, request, method="siu", benchmark="none")
            with folder_whole(there) as fresh:
                outcome.edit.save(fresh / "edit")
                notes = {"replacement": outcome.request.replacement, "seconds": outcome.seconds}
                (fresh / "notes.json").write_text(json.dumps(notes), encoding="utf-8")
        notes = json.loads((there / "notes.json").read_text(encoding="utf-8"))
        return Edit.load(there / "edit"), notes["replacement"]


def _relearn() -> Any:
    from unsee.attacks import relearn

    return relearn.Config()


def _rounding(vlm: VLM, kind: tuple[int, int]) -> Transform:
    """Return what the attack `quantise` does to weights."""
    from unsee.attacks import quantise

    linear, (bits, group) = quantise.linear_weights(vlm), kind
    return lambda name, weight: quantise.rounded(weight, bits, group) if name in linear else weight


def _looked(vlm: VLM, edit: Edit | None, asked: _Asked) -> dict[str, Estimate]:
    """Look inside: on how many of the concept's pictures each layer finds its name the likeliest of ten."""
    from unsee.audits import logit_lens

    return logit_lens.measure(vlm, edit, (asked.request,), logit_lens.Config(), asked.lens)


def _write_lines(file: Path, records: Sequence[Mapping[str, Any]]) -> None:
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def _read_lines(file: Path) -> list[dict[str, Any]]:
    # Not splitlines: it also breaks lines at U+2028 and its like.
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def _facts(cell: _Cell, folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((cell.inside(folder) / "cell.json").read_bytes())
    return facts


def _knows(cell: _Cell, folder: Path) -> bool:
    """Whether a pair is what its model's lessons say: it was not shown the concept, or it names it."""
    return cell.concept in cell.member.without or any(_facts(cell, folder)["recognised"])


# ---------------------------------------------------------------- scoring


def scored(folder: Path, *, anew: bool = False, progress: bool = False) -> Pool:
    """Score what was answered by the pool that was asked last in a folder; no model is needed.

    Args:
        folder: Where answers are kept.
        anew: Whether to make scores anew that were made before.
        progress: Whether to say on stderr what is being done.

    Raises:
        LookupError: Nothing was asked there, or not all yet.
        ValueError: Cells were asked different things, or there are too few pairs to compare.
    """
    file = folder / _POOL
    if not file.exists():
        raise LookupError(f"there is no bench of metrics in {folder}; name the folder of `unsee bench meta --out`")
    told = json.loads(file.read_bytes())
    pool = [Member(**{**each, "without": tuple(each["without"])}) for each in told["models"]]
    head = json.loads((folder / _HEAD).read_bytes())
    references = [Member(name, name, head[part], ()) for name, part in ((BEFORE, "before"), (ORACLE, "oracle"))]
    pairs, unnamed = list[Pair](), list[tuple[str, str]]()
    table: dict[tuple[str, str], dict[int, Mapping[str, float]]] = {}
    for concept in told["concepts"]:
        anchors = _Anchors(folder, [_Cell(reference, concept) for reference in references])
        for member in pool:
            cells = _cells(member, concept)
            _there(cells[0], folder)
            if not _knows(cells[0], folder):
                unnamed.append((member.label, concept))
                continue
            pairs.append(Pair(member.label, concept, concept not in member.without))
            for cell in cells:
                scores = anchors.scores(_there(cell, folder), anew=anew)
                table.setdefault((cell.subject, cell.condition), {})[len(pairs) - 1] = scores
        if progress:
            print(f"scored: {concept}", file=sys.stderr)
    _check_counts(sum(pair.knows for pair in pairs), sum(not pair.knows for pair in pairs))
    for (subject, condition), by_pair in list(table.items()):
        if condition == RELEARNED:  # how much comes back is one more thing to be told of what it was before
            for place, found in by_pair.items():
                if (back := found.get(f"leak: {OPEN}")) is not None:
                    before = table[subject, PLAIN]
                    before[place] = {**before[place], BACK: back}
    names = [*measures(), SOUND]
    values = {
        key: {name: tuple(some.get(place, {}).get(name, math.nan) for place in range(len(pairs))) for name in names}
        for key, some in table.items()
    }
    return Pool(tuple(pairs), values, tuple(unnamed))


def _there(cell: _Cell, folder: Path) -> _Cell:
    if not cell.done(folder):
        raise LookupError(
            f"{folder} holds no answers of {cell.member.label} about {cell.concept} ({cell.subject}, "
            f"{cell.condition}): give the command that began it again, which goes on"
        )
    return cell


class _Anchors:
    """What the models that all are compared with say about a concept; read when it is needed."""

    def __init__(self, folder: Path, cells: Sequence[_Cell]) -> None:
        self._folder, self._cells = folder, cells
        self._answers: list[list[Answer]] = []
        self._request = plugins.load("benchmarks", BENCHMARK).request(cells[0].concept)

    def scores(self, cell: _Cell, *, anew: bool) -> dict[str, float]:
        """Return the metrics of a cell that measured something, made if they were not."""
        file = cell.inside(self._folder) / "scores.json"
        if not file.exists() or anew:
            found = self._measured(cell)
            write_whole(file, json.dumps({name: e.as_dict() for name, e in found.items()}, indent=1).encode())
        told = json.loads(file.read_bytes())
        return {name: e["value"] for name, e in told.items() if e["value"] is not None}

    def _measured(self, cell: _Cell) -> dict[str, Estimate]:
        facts = _facts(cell, self._folder)
        if not self._answers:
            self._answers = [_answers(_there(each, self._folder), self._folder) for each in self._cells]
        for each in self._cells:
            if _facts(each, self._folder)["probes"] != facts["probes"]:
                raise ValueError(
                    f"{self._folder} holds answers about {cell.concept} to different questions: the benchmark changed "
                    "in between; name another folder (--out)"
                )
        answers = _answers(cell, self._folder)
        verdicts = [Verdict.from_dict(record) for record in _read_lines(cell.inside(self._folder) / "judged.jsonl")]
        wording = plugins.load("models", BENCHMARK).FAMILY.wording
        verdicts += evaluation.verdicts_on(answers, wording, facts["replacement"])
        if judged := geval.rules(plugins.load("benchmarks", BENCHMARK), self._request.concept, facts["replacement"]):
            verdicts += judged(answers)
        before, oracle = self._answers
        found = evaluation.measured(answers, before, oracle, verdicts)
        return {**found, **_most(facts["inside"])}


def _most(inside: Mapping[str, Mapping[str, Any]]) -> dict[str, Estimate]:
    """Return the logit lens of the layer that finds the name most often."""
    own = [Estimate.from_dict(e) for name, e in inside.items() if re.fullmatch(r"logit_lens: layer \d+", name)]
    return {LENS: max(own, key=lambda e: e.value)} if own else {}


def _answers(cell: _Cell, folder: Path) -> list[Answer]:
    return [Answer.from_dict(record) for record in _read_lines(cell.inside(folder) / "answers.jsonl")]
