"""A judge for the answers of a run: asked once, kept in the run, compared with the truth where that is known."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsee import flow, geval, plugins, runs
from unsee.evaluation import Scores
from unsee.files import locked
from unsee.records import Answer, Concept, Estimate, Probe, Verdict
from unsee.runs import Run


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge made of a run.

    Attributes:
        scores: All scores of the run, with the judge's.
        asked: How many questions went to the judge.
        kept: How many answers had a verdict already, or say the same as another.
        unusable: How many verdicts hold no level.
        agreement: With the exact judge, where the truth is known; see `unsee.geval.agreement`.
    """

    scores: Scores
    asked: int
    kept: int
    unusable: int
    agreement: Mapping[str, Estimate]


def judge(
    folder: str | os.PathLike[str],
    respondent: Any = None,
    name: str = "",
    *,
    conditions: Sequence[str] = (),
    progress: bool = False,
) -> Judged:
    """Have the answers of a run judged from 1 to 5 (`unsee.geval`), keep the verdicts in the run, and score anew.

    What a judge said is kept as it comes, so one that fails half-way is not asked the same again.

    Args:
        folder: The run folder.
        respondent: Has `answer(probes, ...)`, as `unsee.server.Server` and `VLM`; None judges by the benchmark's truth.
        name: What to call the judge; its verdicts replace those of any other judge in the scores.
        conditions: Whose answers; all there are, if none is given.
        progress: Whether to show a bar on stderr.

    Raises:
        LookupError: The folder is no run, or has no answers of a condition.
        ValueError: The run is not what it was, or the truth of its benchmark is not known.
        ConnectionError: The judge does not answer; what it said until then is kept.
    """
    run = runs.read(Path(folder))
    with locked(run.folder, f"another process is at work on {run.folder}"):
        config = run.read_json("config.json")["config"]
        concept = Concept.from_dict(config["concept"])
        there = run.answered(flow.CONDITIONS)
        if missing := [c for c in conditions if c not in there]:
            raise LookupError(f"{run.folder} holds no answers of {missing[0]!r}; it holds: {', '.join(there)}")
        answers = {
            condition: [Answer.from_dict(record) for record in run.read_lines(f"answers/{condition}.jsonl")]
            for condition in conditions or there
        }
        truth = _truth(config, concept, run)
        if respondent is None and truth is None:
            raise ValueError(
                f"the truth of the benchmark {config['benchmark']} is not known; name a judge with --judge"
            )
        exact = {c: truth(some) for c, some in answers.items()} if truth else {}
        kept = flow.verdicts_in(run, flow.JUDGED)
        asked = 0
        if respondent is None:
            found = exact
            total = sum(map(len, found.values()))
        else:
            found, asked, total = _asked(run, respondent, name, concept, answers, kept, progress)
        named = geval.EXACT if respondent is None else name
        for condition in {**kept, **found}:
            # Levels of two judges do not compare, so those of another go, whatever they are on.
            left = [v for v in kept.get(condition, ()) if v.name != geval.NAME or v.judge == named]
            fresh = found.get(condition)
            kept[condition] = left if fresh is None else [v for v in left if v.name != geval.NAME] + fresh
        flow.write_judged(run, kept)
        run.remove(_REPLIES)
        scores = flow.rescored(run)
    every = [v for some in found.values() for v in some]
    agreement = geval.agreement(every, [v for some in exact.values() for v in some]) if respondent and exact else {}
    return Judged(scores, asked, total - asked, sum(math.isnan(v.value) for v in every), agreement)


_REPLIES = "judged.part"


def _truth(config: Mapping[str, Any], concept: Concept, run: Run) -> Callable[[Sequence[Answer]], list[Verdict]] | None:
    """Return what judges answers by the truth of a run's benchmark; None if that is not known."""
    if config["benchmark"] == "none":
        return None
    bench = plugins.load("benchmarks", config["benchmark"])
    return geval.rules(bench, concept, run.read_json("training.json")["replacement"])


def _asked(
    run: Run,
    respondent: Any,
    name: str,
    concept: Concept,
    answers: Mapping[str, Sequence[Answer]],
    kept: Mapping[str, Sequence[Verdict]],
    progress: bool,
) -> tuple[dict[str, list[Verdict]], int, int]:
    """Return the verdicts by condition, how many questions were asked, and of how many answers."""
    replies = {v.key: v.reason for some in kept.values() for v in some if v.name == geval.NAME and v.judge == name}
    replies |= {record["key"]: record["text"] for record in run.read_whole_lines(_REPLIES)}
    todo = {condition: geval.to_ask(name, concept, some) for condition, some in answers.items()}
    left = {key: text for asked in todo.values() for key, text in asked.prompts.items() if key not in replies}

    def keep(said: Sequence[Answer]) -> None:
        run.append_lines(_REPLIES, [{"key": answer.probe.id, "text": answer.text} for answer in said])

    probes = [Probe(id=key, kind=geval.NAME, question=text) for key, text in left.items()]
    said = respondent.answer(probes, max_new_tokens=8, progress=progress, keep=keep) if probes else []
    replies |= {answer.probe.id: answer.text for answer in said}
    found = {condition: geval.verdicts(name, asked, replies) for condition, asked in todo.items()}
    return found, len(left), sum(len(asked.answers) for asked in todo.values())
