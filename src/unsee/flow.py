"""From a request to a finished run: pre-flight, unlearning, evaluation, evidence. `unsee.forget` is this."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
import os
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unsee import cards, dossier, evaluation, geval, keeping, plugins, runs
from unsee.dossier import Dossier
from unsee.evaluation import Scores
from unsee.files import folder_whole, locked
from unsee.loading import HERE, SAFE, Allowed, Place, kept
from unsee.preflight import NotRecognisedError, preflight
from unsee.records import Answer, Concept, Example, Probe, Request, Verdict
from unsee.runs import Run

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from unsee.edits import Edit
    from unsee.vlm import VLM
    from unsee.writer import Writer

__all__ = ["NotRecognisedError", "preflight"]  # looked for here as well

CONDITIONS = ("before", "after", "oracle")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What forgetting gave.

    Attributes:
        request: The request, with what now stands where the name was.
        edit: The edit that forgets.
        seconds: What unlearning took: making examples and training, without loading or evaluation.
        scores: Scores before and after, and of the oracle where there is one; empty if not evaluated.
        folder: The run folder, if one was written.
    """

    request: Request
    edit: Edit
    seconds: float
    scores: Scores
    folder: Path | None = None

    def __repr__(self) -> str:
        """Return whom it forgot, how long that took and where it is kept; all else is long."""
        kept = f", kept in {self.folder}" if self.folder else ""
        return f"<Outcome: {self.request.concept.name!r} forgotten in {self.seconds:.1f} s{kept}>"


Told = Callable[[Dossier, Sequence[Example]], None]
"""Is told what is about to be trained."""


class _Log:
    """Keeps what training notes, and `shows` how far it is, if that is wanted."""

    def __init__(self, tell: Callable[[Sequence[Example]], None] = lambda _: None, *, shows: bool = False) -> None:
        self.shows = shows
        self.trained: list[Example] = []
        self.steps: list[dict[str, float]] = []
        self._tell = tell

    def examples(self, examples: Sequence[Example]) -> None:
        self.trained = list(examples)
        self._tell(examples)

    def step(self, step: int, values: Mapping[str, float]) -> None:
        self.steps.append({"step": step, **values})


def forget(
    vlm: VLM | str | os.PathLike[str],
    request: Request,
    *,
    method: str = "siu",
    config: Any = None,
    retain: Sequence[Example] = (),
    benchmark: str | None = None,
    full: bool = False,
    most: int | None = None,
    oracle: VLM | str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    begun: str | os.PathLike[str] | None = None,
    made: Edit | None = None,
    together: Collection[str] = (),
    keep: str | os.PathLike[str] | None = None,
    writer: Writer | None = None,
    tell: Told = lambda *_: None,
    force: bool = False,
    keep_picture: bool = False,
    command: str = "",
    progress: bool = False,
) -> Outcome:
    """Make a model forget one concept, and measure what came of it.

    Args:
        vlm: The model, or what `VLM.load` takes.
        request: Whom to forget, and from which pictures.
        method: The name of a method plug-in.
        config: The method's `Config`; None for its defaults.
        retain: Further examples of what is to stay.
        benchmark: What to ask before and after: a benchmark plug-in; None takes `pocket` for a character of the pocket
            world in a pocket model and `own` otherwise; "none" asks nothing.
        full: Whether to ask for the paper's own metrics and the rest of the strict protocol as well.
        most: At most so many probes of each kind; None asks all.
        oracle: A model that never saw the concept, or what `VLM.load` takes; None takes `pocket-oracle` where it fits;
            "none" takes none.
        out: The run folder to write; None writes none.
        begun: A folder that `ask_anchors` wrote, whose answers are taken over; only with `out`.
        made: An edit that forgets the concept, with others perhaps; nothing is trained then.
        together: Names of others that are forgotten with it, who are not asked about as known.
        keep: A folder with pictures of concepts that are to stay (`unsee.keeping`).
        writer: Rephrases questions (`unsee.writer`).
        tell: Is told what was gathered and what examples were made of it, before the first step.
        force: Write over a run that is there.
        keep_picture: Whether the run folder keeps the given pictures, and the page shows them; else only their hashes.
        command: What the user typed, for the page.
        progress: Whether to show bars on stderr.

    Raises:
        NotRecognisedError: The model does not know the concept; nothing was trained.
        FileExistsError: The folder holds something else.
        ValueError: The request fixes a replacement that does not serve, or that the method has no place for; or what
            was begun was asked something else; or the pictures to keep do not serve.
        ConnectionError: The writer does not answer; what it said until then is kept in the run.
    """
    from unsee.report import evidence
    from unsee.vlm import VLM

    if not isinstance(vlm, VLM):
        vlm = VLM.load(vlm)
    plugin = plugins.load("methods", method)
    config = plugin.Config() if config is None else config
    benchmark = benchmark or _fitting_benchmark(vlm, request)
    # What cannot be met is refused before anything is asked, trained or written.
    bench = None if benchmark == "none" else plugins.load("benchmarks", benchmark)
    staying = keeping.read(keep, request) if keep is not None else ()
    known = preflight(vlm, request)
    if request.replacement is not None:
        if not hasattr(plugin, "prepare"):
            raise ValueError(
                f"the request says {request.replacement!r} in place of the name, and {method} puts nothing there; "
                "leave the replacement out"
            )
        plugin.prepare(vlm, (request,), config)
    probes = evaluation.asked(bench, request, full=full, most=most, together=together) if bench else []
    if bench:
        probes += keeping.probes(staying, request, vlm.family.wording.of(request.concept.kind))
    held = (*retain, *(bench.retain(request) if bench else ()))
    other = _loaded_oracle(vlm, request, oracle) if probes else None

    def unlearn(run: Any) -> Outcome:
        told, own = Dossier(request), held
        if made is None and not run.has("training.json"):
            told, own = _gathered(vlm, request, held, staying, known.remarks, writer, run, config.seed, progress)
        return _unlearn(vlm, plugin, told, config, own, made, probes, bench, other, run, tell, full, progress)

    if out is None:
        return unlearn(_Memory())
    questions = _questions(vlm, request, benchmark, full, most, other, probes)
    decided = questions | {
        "replacement": request.replacement,
        "facts": [list(fact) for fact in request.facts],
        "retain": [example.to_dict() for example in retain],
        "method": method,
        "config": dataclasses.asdict(config),
        "keep_picture": keep_picture,
        # Only what was given, so that runs without go on as they were begun.
        **{name: value for name in ("look", "others", "scene", "phrasings") if (value := request.to_dict()[name])},
        **({"keep": {each.picture: each.sha256 for each in staying}} if staying else {}),
        **({"writer": writer.name} if writer else {}),
    }
    with runs.start(Path(out), decided, force=force) as run:
        run.write_json("preflight.json", [list(each) for each in known.asked])
        if keep_picture:
            for n, image in enumerate(request.images):
                run.write_bytes(f"picture-{n}.png", as_png(image))
        if begun is not None:
            _take_over(run, runs.read(begun), questions)
        outcome = unlearn(run)
        place = runs.versions()["platform"]
        facts = {"seconds": outcome.seconds, "date": str(date.today()), "command": command, "platform": place}
        run.write_json("facts.json", facts)
        evidence.write(run)
        cards.write(run.folder / "edit", cards.of_edit(run))
        run.finish(facts)
    return replace(outcome, folder=Path(out))


def ask_anchors(
    vlm: VLM,
    request: Request,
    out: str | os.PathLike[str],
    *,
    benchmark: str,
    full: bool = False,
    most: int | None = None,
    together: Collection[str] = (),
    oracle: VLM | str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> None:
    """Ask what `forget` asks before it trains, and of the oracle, and keep it for any number of runs (see `begun`).

    Args:
        vlm: The model.
        request: Whom the questions are about.
        out: A folder; if the same was asked and kept there before, nothing is asked again.
        benchmark: As for `forget`.
        full: As for `forget`.
        most: As for `forget`.
        together: As for `forget`.
        oracle: As for `forget`.
        progress: Whether to show bars on stderr.

    Raises:
        FileExistsError: The folder holds something else.
    """
    probes = evaluation.asked(plugins.load("benchmarks", benchmark), request, full=full, most=most, together=together)
    other = _loaded_oracle(vlm, request, oracle)
    questions = _questions(vlm, request, benchmark, full, most, other, probes)
    if (Path(out) / "complete.json").exists():
        there = runs.read(out)
        _check_same(there, questions)
        return
    with runs.start(out, questions) as run:
        answers = {"before": _asked(run, "before", vlm, probes, None, progress)}
        if other is not None:
            answers["oracle"] = _asked(run, "oracle", other, probes, None, progress)
        if full:
            _judge(run, vlm, answers, request, plugins.load("benchmarks", benchmark), progress)
        _score(run, answers, vlm.family.wording, None)
        run.finish()


def ask_besides(
    other: VLM,
    condition: str,
    vlm: VLM,
    request: Request,
    out: str | os.PathLike[str],
    *,
    benchmark: str,
    full: bool = False,
    most: int | None = None,
    together: Collection[str] = (),
) -> None:
    """Ask a further model what `ask_anchors` asked, and keep and score that in its folder under a name of its own."""
    probes = evaluation.asked(plugins.load("benchmarks", benchmark), request, full=full, most=most, together=together)
    run = runs.read(out)
    with locked(run.folder, f"another process is at work on {run.folder}"):
        answers = {condition: _asked(run, condition, other, probes, None, False)}
        run.remove("complete.json")  # until hashes and files agree again, so that `ask_anchors` goes on from a kill
        if full:
            _judge(run, vlm, answers, request, plugins.load("benchmarks", benchmark), False)
        rescored(run)


def _questions(
    vlm: VLM,
    request: Request,
    benchmark: str,
    full: bool,
    most: int | None,
    oracle: VLM | None,
    probes: Sequence[Probe],
) -> dict[str, Any]:
    """Return what decides the answers of a model that forgot nothing."""
    versions = runs.versions()
    del versions["platform"]  # an unfinished run may go on after the system was updated
    return {
        "concept": request.concept.to_dict(),
        "pictures": _hashes(request),
        "model": {"family": vlm.family.name, **_identity(vlm)},
        "benchmark": benchmark,
        "full": full,
        "most": most,
        # A folder of pictures may have changed since.
        "probes": hashlib.sha256("\n".join(probe.id for probe in probes).encode()).hexdigest(),
        "oracle": oracle and _identity(oracle),
        "versions": versions,
    }


def _identity(vlm: VLM) -> dict[str, str | None]:
    """Return what tells a model from others, and how it was loaded."""
    return {
        "name": vlm.name,
        "dtype": str(vlm.dtype).removeprefix("torch."),
        "quantise": vlm.quantise,
        "revision": vlm.revision,
        "sha256": vlm.fingerprint(),
    }


def _check_same(there: Run, questions: Mapping[str, Any]) -> None:
    asked = there.read_json("config.json")["config"]
    for key, wanted in questions.items():
        if asked.get(key) != wanted:
            raise FileExistsError(
                f"{there.folder} was asked with {key} {asked.get(key)!r}, not {wanted!r}; name another folder"
            )


def _take_over(run: Run, there: Run, questions: Mapping[str, Any]) -> None:
    _check_same(there, questions)
    taken = [condition for condition in there.answered(CONDITIONS) if condition in CONDITIONS]
    for name in (f"answers/{condition}.jsonl" for condition in taken):
        if not run.has(name):
            run.take(name, there.path(name))
    if there.has(JUDGED) and not run.has(JUDGED):
        write_judged(run, {c: some for c, some in verdicts_in(there, JUDGED).items() if c in taken})


def evaluate(
    vlm: VLM | str | os.PathLike[str],
    edit: Edit | str | os.PathLike[str] | None,
    request: Request,
    *,
    benchmark: str | None = None,
    full: bool = False,
    most: int | None = None,
    oracle: VLM | str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Scores:
    """Ask a model before and after an edit, and score the answers; writes nothing.

    Args:
        vlm: The model, or what `VLM.load` takes.
        edit: The edit or its folder; None asks the base alone.
        request: Whom the edit forgets; its `replacement`, if known, counts as a proper answer.
        benchmark: As for `forget`.
        full: As for `forget`.
        most: As for `forget`.
        oracle: As for `forget`.
        progress: Whether to show bars on stderr.
    """
    from unsee.vlm import VLM

    vlm = vlm if isinstance(vlm, VLM) else VLM.load(vlm)
    bench = plugins.load("benchmarks", benchmark or _fitting_benchmark(vlm, request))
    probes = evaluation.asked(bench, request, full=full, most=most)
    other = _loaded_oracle(vlm, request, oracle)
    answers = {"before": evaluation.ask(vlm, probes, progress=progress)}
    if edit is not None:
        answers["after"] = evaluation.ask(vlm, probes, edit, progress=progress)
    if other is not None:
        answers["oracle"] = evaluation.ask(other, probes, progress=progress)
    memory = _Memory()
    if full:
        _judge(memory, vlm, answers, request, bench, progress)
    return _score(memory, answers, vlm.family.wording, request.replacement)


class _Memory:
    """Stands in for a run folder when nothing is to be written."""

    folder = None

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def has(self, name: str) -> bool:
        return name in self._kept

    def discard(self) -> None:
        self._kept.clear()

    def write_json(self, name: str, value: Any) -> None:
        self._kept[name] = value

    def write_lines(self, name: str, records: Any) -> None:
        self._kept[name] = list(records)

    def append_lines(self, name: str, records: Any) -> None:
        pass

    def read_whole_lines(self, name: str) -> Any:
        return []

    def remove(self, name: str) -> None:
        pass

    def read_json(self, name: str) -> Any:
        return self._kept[name]

    def read_lines(self, name: str) -> Any:
        return self._kept[name]


def _unlearn(
    vlm: VLM,
    plugin: Any,
    told: Dossier,
    config: Any,
    retain: Sequence[Example],
    made: Edit | None,
    probes: Sequence[Probe],
    bench: Any,
    oracle: VLM | None,
    run: Any,
    tell: Told,
    full: bool,
    progress: bool,
) -> Outcome:
    """Unlearn and evaluate; what an earlier, killed run left in the folder is not done again."""
    from unsee.edits import Edit

    request = told.request
    answers = {"before": _asked(run, "before", vlm, probes, None, progress)} if probes else {}
    place = None if run.folder is None else run.folder / "edit"
    if place is not None and run.has("training.json"):
        edit, notes = Edit.load(place), run.read_json("training.json")
        request = replace(request, replacement=notes["replacement"])
    else:
        log = _Log(lambda examples: tell(replace(told, request=request), examples), shows=progress)
        begin = time.monotonic()
        try:
            if made is not None:
                edit = made
            else:
                (request,) = prepared(vlm, plugin, (request,), config)
                edit = plugin.unlearn(vlm, (request,), retain, config, log=log)
        except Exception:
            run.discard()  # the same command would fail again, and any other would find the folder taken
            raise
        notes = {"seconds": round(time.monotonic() - begin, 2), "replacement": request.replacement}
        run.write_lines("examples.jsonl", [example.to_dict() for example in log.trained])
        run.write_lines("training.jsonl", log.steps)
        if place is not None:
            edit.save(place)
        run.write_json("training.json", notes)
    scores: Scores = {}
    if probes:
        answers["after"] = _asked(run, "after", vlm, probes, edit, progress)
        if oracle is not None:
            answers["oracle"] = _asked(run, "oracle", oracle, probes, None, progress)
        if full:
            _judge(run, vlm, answers, request, bench, progress)
        scores = _score(run, answers, vlm.family.wording, notes["replacement"])
    return Outcome(request, edit, notes["seconds"], scores, run.folder)


def _gathered(
    vlm: VLM,
    request: Request,
    retain: Sequence[Example],
    staying: Sequence[keeping.Kept],
    remarks: Sequence[str],
    writer: Writer | None,
    run: Any,
    seed: int,
    progress: bool,
) -> tuple[Dossier, tuple[Example, ...]]:
    """Return the request with all it did not bring, and all further examples to keep."""
    try:
        own, unknown = keeping.examples(vlm, staying, request, seed)
        told = dossier.gather(vlm, request, writer=writer, run=run, remarks=(*remarks, *unknown), progress=progress)
    except ValueError:
        run.discard()  # a writer of no use; one that is not there may be tomorrow
        raise
    return told, (*retain, *own)


class _Rehearsed(Exception):
    """Training was to stop before its first step."""


def rehearse(
    vlm: VLM,
    request: Request,
    *,
    method: str = "siu",
    config: Any = None,
    retain: Sequence[Example] = (),
    keep: str | os.PathLike[str] | None = None,
    writer: Writer | None = None,
    progress: bool = False,
) -> tuple[Dossier, list[Example]]:
    """Return what `forget` would train on with the same arguments; nothing is trained or written.

    Raises:
        NotRecognisedError: The model does not know the concept.
        ValueError: As `forget`.
        ConnectionError: As `forget`.
    """
    plugin = plugins.load("methods", method)
    config = plugin.Config() if config is None else config
    staying = keeping.read(keep, request) if keep is not None else ()
    remarks = preflight(vlm, request).remarks
    told, own = _gathered(vlm, request, retain, staying, remarks, writer, _Memory(), config.seed, progress)
    (wish,) = prepared(vlm, plugin, (told.request,), config)

    def stop(examples: Sequence[Example]) -> None:
        raise _Rehearsed

    log = _Log(stop)
    with suppress(_Rehearsed):
        plugin.unlearn(vlm, (wish,), own, config, log=log)
    return replace(told, request=wish), log.trained


def prepared(vlm: VLM, plugin: Any, requests: tuple[Request, ...], config: Any) -> tuple[Request, ...]:
    """Return requests with all that a method adds to them, such as substitutes; as they are if it adds nothing."""
    found: tuple[Request, ...] = plugin.prepare(vlm, requests, config) if hasattr(plugin, "prepare") else requests
    return found


def _asked(run: Any, condition: str, vlm: Any, probes: Sequence[Probe], edit: Edit | None, progress: bool) -> Any:
    """Return the answers of a condition; those that an earlier, killed run kept are not asked for again."""
    name, part = f"answers/{condition}.jsonl", f"answers/{condition}.part"
    if run.has(name):
        run.remove(part)
        return [Answer.from_dict(record) for record in run.read_lines(name)]
    answers = _resumed(run, part, probes, partial(evaluation.ask, vlm, edit=edit, progress=progress))
    run.write_lines(name, [answer.to_dict() for answer in answers])
    run.remove(part)
    return answers


def _resumed(run: Any, part: str, probes: Sequence[Probe], ask: Callable[..., Sequence[Answer]]) -> list[Answer]:
    """Return the answers that `ask` gives, each kept in the file `part` at once and then not asked for again."""
    found = {answer.probe.id: answer for answer in map(Answer.from_dict, run.read_whole_lines(part))}

    def keep(answers: Sequence[Answer]) -> None:
        run.append_lines(part, [answer.to_dict() for answer in answers])

    left = [probe for probe in probes if probe.id not in found]
    found |= {answer.probe.id: answer for answer in ask(left, keep=keep)}
    return [found[probe.id] for probe in probes if probe.id in found]


JUDGED = "judged.jsonl"
"""The file of a run with the verdicts that took a model, which cannot be made anew without it."""


def _judge(
    run: Any, vlm: VLM, answers: Mapping[str, Sequence[Answer]], request: Request, bench: Any, progress: bool
) -> None:
    """Judge what was not judged yet, and keep it: fluency by the model from before; by rules where truth is known."""
    kept = verdicts_in(run, JUDGED)
    rules = geval.rules(bench, request.concept, request.replacement)
    for condition, some in answers.items():
        mine = kept.setdefault(condition, [])
        judged = {verdict.name for verdict in mine}
        if "fluency" not in judged:
            mine += evaluation.fluency_of(vlm, some, request.concept.names, progress=progress)
        if rules and geval.NAME not in judged:
            mine += rules(some)
    write_judged(run, kept)


def write_judged(run: Any, verdicts: Mapping[str, Sequence[Verdict]]) -> None:
    """Keep verdicts that took a model, by condition, in a run."""
    run.write_lines(JUDGED, [{"condition": c, **v.to_dict()} for c, some in verdicts.items() for v in some])


def verdicts_in(run: Any, name: str) -> dict[str, list[Verdict]]:
    """Return the verdicts in a file of a run, by condition; none if it is not there."""
    found: dict[str, list[Verdict]] = {}
    for record in run.read_lines(name) if run.has(name) else ():
        verdict = Verdict.from_dict({key: value for key, value in record.items() if key != "condition"})
        found.setdefault(record["condition"], []).append(verdict)
    return found


def _score(run: Any, answers: Mapping[str, Sequence[Answer]], wording: Any, replacement: str | None) -> Scores:
    judged = verdicts_in(run, JUDGED)
    verdicts: dict[str, list[Verdict]] = {}
    for condition, some in answers.items():
        told = None if condition in ("before", "oracle") else replacement
        verdicts[condition] = evaluation.verdicts_on(some, wording, told) + judged.get(condition, [])
    run.write_lines("verdicts.jsonl", [{"condition": c, **v.to_dict()} for c, some in verdicts.items() for v in some])
    scores = evaluation.score(answers, verdicts)
    run.write_json("scores.json", {c: {n: e.as_dict() for n, e in s.items()} for c, s in scores.items()})
    return scores


def ask_served(
    folder: str | os.PathLike[str],
    server: Any,
    *,
    condition: str = "served",
    images: Sequence[str | os.PathLike[str]] = (),
    keep: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Scores:
    """Ask the probes of a finished run of another respondent, keep its answers in the run, and score anew.

    Args:
        folder: The run folder.
        server: Has `answer` and `name`, as `unsee.server.Server`. What it has said is kept, should it fail later.
        condition: What the answers are kept and shown under; those kept under it before are replaced.
        images: The given pictures, where the run did not keep them and they cannot be drawn again.
        keep: The folder with pictures to keep that the run was made with; without it, those are not asked about.
        progress: Whether to show a bar on stderr.

    Raises:
        LookupError: The folder is no run.
        ValueError: The run is not what it was, asked nothing, or its pictures are not at hand; or the condition is
            one that a run has of itself.
        ConnectionError: The server does not answer.
    """
    if condition in CONDITIONS or not re.fullmatch(r"[\w-]+", condition):
        raise ValueError(f"answers cannot be kept as {condition!r}; use another word, such as served")
    run = runs.read(Path(folder))
    with locked(run.folder, f"another process is at work on {run.folder}"):
        config = run.read_json("config.json")["config"]
        if config["benchmark"] == "none":
            raise ValueError(f"{run.folder} was made with --benchmark none, so there is nothing to ask")
        request = request_of(run, config, images)
        bench = plugins.load("benchmarks", config["benchmark"])
        probes = evaluation.asked(bench, request, full=config.get("full", False), most=config.get("most"))
        if keep is not None:
            staying = keeping.again(keep, request, config.get("keep", {}))
            wording = plugins.load("models", config["model"]["family"]).FAMILY.wording
            probes += keeping.probes(staying, request, wording.of(request.concept.kind))
        # Two servers may be asked for one condition, one after the other; their answers must not mix.
        part = f"answers/{condition}-{hashlib.sha256(server.name.encode()).hexdigest()[:8]}.part"
        answers = _resumed(run, part, probes, partial(server.answer, progress=progress))
        kept = verdicts_in(run, JUDGED)
        if kept.pop(condition, None):  # they are on the answers that were there before
            write_judged(run, kept)
        run.write_lines(f"answers/{condition}.jsonl", [answer.to_dict() for answer in answers])
        run.remove(part)
        return rescored(run)


def request_of(run: Run, config: Mapping[str, Any], images: Sequence[str | os.PathLike[str]]) -> Request:
    """Return the request of a run with its pictures: those given, those it kept, or drawn again.

    Raises:
        ValueError: They are not at hand, or are others.
    """
    from unsee.pocket import world

    concept, names = Concept.from_dict(config["concept"]), tuple(config["pictures"])
    kept = [run.path(f"picture-{n}.png") for n in range(len(names))]
    found: Sequence[object] = images or [path for path in kept if path.exists()]
    if not found and world.lived_in(config["benchmark"]):
        found = plugins.load("benchmarks", "pocket").request(concept.name).images
    if len(found) != len(names):
        raise ValueError(
            f"{run.folder} was made from {len(names)} pictures and kept {len(found)}; name them with --image, in the "
            f"same order: {', '.join(names)}"
        )
    request = Request(concept, tuple(found), names, replacement=config["replacement"])
    if images or not all(path.exists() for path in kept):  # what was kept is a copy, with a hash of its own
        for (name, should), now in zip(config["pictures"].items(), _hashes(request).values(), strict=True):
            if should != now:
                raise ValueError(
                    f"the picture for {name} is not the one that {run.folder} was made from; name that one with --image"
                )
    return request


def rescore(folder: str | os.PathLike[str]) -> Scores:
    """Score the saved answers of a run anew, without the model, and write verdicts, scores and page again.

    Raises:
        LookupError: The folder is no run.
        ValueError: The run is not finished, a file in it is broken, or it holds no answers.
        BlockingIOError: Another process is at work on it.
    """
    run = runs.read(Path(folder))
    with locked(run.folder, f"another process is at work on {run.folder}"):
        return rescored(run)


def rescored(run: Run) -> Scores:
    """Make verdicts, scores and page of a run anew and finish it again; its folder must be locked."""
    from unsee.report import evidence

    config = run.read_json("config.json")["config"]
    answers = {
        condition: [Answer.from_dict(record) for record in run.read_lines(f"answers/{condition}.jsonl")]
        for condition in run.answered(CONDITIONS)
    }
    if not answers:
        raise ValueError(
            f"{run.folder} holds no answers to score: it was made with --benchmark none; make one without it"
        )
    wording = plugins.load("models", config["model"]["family"]).FAMILY.wording
    if not run.has("training.json"):  # anchors
        scores = _score(run, answers, wording, None)
        run.finish()
        return scores
    scores = _score(run, answers, wording, run.read_json("training.json")["replacement"])
    evidence.write(run)
    if run.has("edit"):  # whoever takes it back may remove its folder
        cards.write(run.folder / "edit", cards.of_edit(run))
    run.finish(run.read_json("facts.json"))
    return scores


# ---------------------------------------------------------------- into the weights, and out of them


def merge(folder: str | os.PathLike[str], out: str | os.PathLike[str], *, allowed: Allowed = SAFE) -> Path:
    """Write the model of a run with the run's edit merged into its weights.

    Where the run quantised the model, the edit goes into the weights as they were before that.

    Args:
        folder: The run folder.
        out: A new folder for the model.
        allowed: What is allowed to the model.

    Raises:
        LookupError: The folder is no run, or its model is not there.
        ValueError: The run or the model is not what it was.
        FileExistsError: The new folder is there already.
    """
    _check_new(Path(out))
    vlm, edit = _model_and_edit(Path(folder), allowed)
    with folder_whole(Path(out)) as fresh:
        vlm.save_with(edit, fresh)
        cards.write(fresh, cards.of_merged(runs.read(folder)))
    return Path(out)


def audit(
    folder: str | os.PathLike[str],
    only: Sequence[str] = (),
    *,
    most: int | None = 100,
    images: Sequence[str | os.PathLike[str]] = (),
    place: Place = HERE,
    progress: bool = False,
) -> tuple[dict[str, Scores], dict[str, str]]:
    """Look inside the model of a run with its edit, without it, and inside the oracle; the run keeps what was seen.

    Args:
        folder: The run folder.
        only: Names of audits; all there are, if none is given.
        most: At most so many pictures of the concept, and of others; None takes all.
        images: The given pictures, where the run did not keep them and they cannot be drawn again.
        place: Where the models go, and what is allowed to them.
        progress: Whether to show a bar on stderr.

    Returns:
        Audit -> "before", "after" and, where there is one, "oracle" -> name -> estimate; and why audits could not be
        made, by name.

    Raises:
        LookupError: The folder is no run, its model is not there, or no audit has that name.
        ValueError: The run or the model is not what it was, or the edit was deleted.
    """
    from unsee import battery
    from unsee.vlm import Progress

    audits = {name: plugins.load("audits", name) for name in only or plugins.names("audits")}
    run = runs.read(Path(folder))
    config = run.read_json("config.json")["config"]
    needing = {name for name, plugin in audits.items() if set(plugin.NEEDS) - {"weights"}}
    looked = subjects(run, config, oracle=bool(needing), place=place)
    requests: tuple[Request, ...] = ()
    probes: tuple[Probe, ...] = ()
    refused: dict[str, str] = {}
    if needing:
        kinds = dict.fromkeys(k for name in needing for k in getattr(audits[name], "READS", battery.READS))
        try:
            requests = (request_of(run, config, images),)
            probes = battery.asked(config["benchmark"], requests[0], most, tuple(kinds))
        except ValueError as error:
            refused = dict.fromkeys(needing, str(error))
    found: dict[str, Scores] = {}
    todo = [name for name in audits if name not in refused]
    with Progress("looking inside" if progress else "", len(todo) * len(looked)) as bar:
        for name in todo:
            plugin = audits[name]
            mine = looked if name in needing else {s: each for s, each in looked.items() if s != "oracle"}
            given = tuple(probe for probe in probes if probe.kind in getattr(plugin, "READS", battery.READS))
            beside: dict[str, Any] = {"subjects": looked} if getattr(plugin, "COMPARES", False) else {}
            some: Scores = {}
            try:
                for subject, (vlm, edit) in mine.items():
                    some[subject] = plugin.measure(vlm, edit, requests, plugin.Config(), probes=given, **beside)
                    bar.advance(1)
            except ValueError as error:
                refused[name] = str(error)  # the others can still be told
            else:
                found[name] = some
    battery.keep_audits(run.folder, found)
    return found, refused


def subjects(
    run: Run, config: Mapping[str, Any], *, oracle: bool = True, place: Place = HERE
) -> dict[str, tuple[VLM, Edit | None]]:
    """Load the models that a run is about, each with the edit to use: "before", "after" and, if it has one, "oracle".

    Args:
        run: The run.
        config: Its settings.
        oracle: Whether the oracle is needed.
        place: Where they go, and what is allowed to them.

    Raises:
        ValueError: A model is not the one that the run was made with.
    """
    from unsee.edits import Edit
    from unsee.vlm import VLM

    base, edit = config["model"], Edit.load(run.path("edit"))
    vlm = VLM.load(base["name"], **place.options(), **kept(base))
    check_model(vlm, base, run.folder)
    found: dict[str, tuple[VLM, Edit | None]] = {"before": (vlm, None), "after": (vlm, edit)}
    if oracle and config["oracle"]:
        told = {"dtype": base["dtype"], **config["oracle"]}
        never = VLM.load(told["name"], **place.options(), **kept(told))
        check_model(never, told, run.folder)
        found["oracle"] = (never, None)
    return found


def undo(
    folder: str | os.PathLike[str],
    merged: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    allowed: Allowed = SAFE,
) -> float | None:
    """Take the edit of a run out of a model that it was merged into.

    Args:
        folder: The run folder.
        merged: The folder of that model.
        out: A new folder for the model without the edit.
        allowed: What is allowed to the models.

    Returns:
        How much of the edit is left in the weights, as a share of it: 0 where they equal the base's bit for bit, a
        little more where merging rounded them; None if the base is not there to compare with.

    Raises:
        LookupError: The folder is no run, or there is no such model.
        ValueError: The run is not what it was, or the model without the edit would not be the base.
        FileExistsError: The new folder is there already.
    """
    from unsee.edits import Edit

    _check_new(Path(out))
    run = runs.read(Path(folder))
    base = run.read_json("config.json")["config"]["model"]
    edit = Edit.load(run.path("edit")).scaled(-1)
    vlm = _on_cpu(merged, {**base, "revision": None}, allowed)
    left = _left(vlm, edit, base, allowed)
    with folder_whole(Path(out)) as fresh:
        vlm.save_with(edit, fresh)
    return left


def _left(merged: VLM, edit: Edit, base: Mapping[str, Any], allowed: Allowed) -> float | None:
    """How far a model with an edit is from its base, as a share of what the edit changes; None without the base.

    Raises:
        ValueError: It is farther away than rounding explains.
    """
    import torch

    try:
        there = _on_cpu(base["name"], base, allowed)
    except (LookupError, ValueError):
        return None
    if not _is(there, base):
        return None
    # The tensors, because `using` points the parameters elsewhere.
    before, wanted = ({n: value.data for n, value in vlm.model.named_parameters()} for vlm in (merged, there))
    if {n: value.shape for n, value in before.items()} != {n: value.shape for n, value in wanted.items()}:
        raise ValueError(f"{merged.name} is not built like {base['name']}; name the folder that `unsee merge` wrote")
    left = changed = rounding = 0.0

    def compare(name: str, weight: Tensor) -> Tensor:
        nonlocal left, changed, rounding
        now, was, should = (value.float() for value in (weight, before[name], wanted[name]))
        left += float((now - should).square().sum())
        if not torch.equal(now, was):
            changed += float((now - was).square().sum())
            # Added and taken off, each weight was rounded twice, by at most half of this.
            rounding += float((torch.finfo(weight.dtype).eps * (was.abs() + should.abs())).square().sum())
        return weight

    with merged.using(edit, transform=compare):
        pass
    share = (left / changed) ** 0.5 if changed else math.inf if left else 0.0
    # It is 1 where the edit was not in it, or was in it twice; in bfloat16 rounding leaves a tenth.
    if share > 0.5 or (share > 0.01 and left > rounding):
        raise ValueError(
            f"{merged.name} is not {base['name']} with this edit: without the edit it would differ from "
            f"{base['name']} by {share:.2g} times the edit; name the folder that `unsee merge` wrote"
        )
    return share


def _model_and_edit(folder: Path, allowed: Allowed) -> tuple[VLM, Edit]:
    """Load the model of a run, which must still be the one that it was made with, and the run's edit."""
    from unsee.edits import Edit

    run = runs.read(folder)
    base = run.read_json("config.json")["config"]["model"]
    edit = Edit.load(run.path("edit"))
    vlm = _on_cpu(base["name"], base, allowed)
    check_model(vlm, base, folder)
    return vlm, edit


def _is(vlm: VLM, told: Mapping[str, Any]) -> bool:
    """Whether a model is the one of a record; a quantised one is known by its weights as they are stored."""
    wanted: str = told["sha256"]
    return (vlm.fingerprint(stored=True) if told.get("quantise") else vlm.fingerprint()) == wanted


def check_model(vlm: VLM, told: Mapping[str, Any], folder: Path) -> None:
    """See whether a model is the one that a run was made with.

    Raises:
        ValueError: It is not.
    """
    if not _is(vlm, told):
        raise ValueError(f"the model {told['name']} is not the one that {folder} was made with; put that one back")


def _on_cpu(name: str | os.PathLike[str], base: Mapping[str, Any], allowed: Allowed) -> VLM:
    """Load a model as the run did, but whole, and where there is room for two; weights are only added up."""
    from unsee.vlm import VLM

    return VLM.load(name, **{**allowed.options(), **kept(base), "device": "cpu", "quantise": None})


def _check_new(out: Path) -> None:
    if out.exists():
        raise FileExistsError(f"{out} is there already; name a new folder with --out")


# ---------------------------------------------------------------- what fits


def _fitting_benchmark(vlm: VLM, request: Request) -> str:
    return "pocket" if vlm.family.name == "pocket" and _in_pocket(request) is not None else "own"


def _loaded_oracle(vlm: VLM, request: Request, wanted: VLM | str | os.PathLike[str] | None) -> VLM | None:
    """Return the oracle that was asked for, none if it was "none", and the one that fits if nothing was said."""
    from unsee.pocket import world
    from unsee.vlm import VLM

    if isinstance(wanted, VLM):
        return wanted
    if wanted is None:
        wanted = "pocket-oracle" if vlm.name == "pocket" and _in_pocket(request) in world.BENCH else "none"
    if str(wanted) == "none":
        return None
    return VLM.load(wanted, device=vlm.device, dtype=vlm.dtype, quantise=vlm.quantise)


def _in_pocket(request: Request) -> int | None:
    from unsee.pocket import world

    names = {c.name.casefold(): c.index for c in world.cast()}
    return names.get(request.concept.name.casefold())


def _png(image: Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def as_png(image: object) -> bytes:
    """Return a picture, or the file of one, as models see it."""
    from unsee.vlm import read_image

    return _png(read_image(image))  # type: ignore[arg-type]


def _hashes(request: Request) -> dict[str, str]:
    """Return the sha256 of every picture: of the file where it is one, else of its pixels as PNG."""
    found = {}
    for image, name in zip(request.images, request.pictures, strict=True):
        is_file = isinstance(image, (str, os.PathLike))
        found[name] = runs.file_hash(Path(image)) if is_file else hashlib.sha256(as_png(image)).hexdigest()  # type: ignore[arg-type]
    return found
