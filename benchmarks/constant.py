"""Whoever always says the same: what the SIU paper's EM gives it, and what the strict protocol.

    python benchmarks/constant.py [--most 24]

Asks the pocket model once about each bench character, and scores beside it respondents that know nothing at all. Prints
the table and the reasons in docs/protocol.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from unsee import bench, evaluation
from unsee.benchmarks import pocket
from unsee.records import Answer, Probe
from unsee.vlm import VLM

SAID = {
    'always "No."': "No.",
    'always "Yes."': "Yes.",
    "nothing": "",
    "one sentence": "It is a fine day.",
    "gibberish": "qx zzv kkp",
}
COLUMNS = {
    "em: words": "EM",
    "em: open": "EM, open",
    f"leak: {bench.OPEN}": "leak",
    "ranking": "name AUC",
    "yes_no": "yes/no",
    "kept: others": "others",
    "kept: own pictures": "own pictures",
    "kept: is this D? yes": "is this D? yes",
    "kept: is it D? no": "is it D? no",
    "form: well-formed": "well-formed",
}


def always(text: str, probes: Sequence[Probe]) -> list[Answer]:
    """Return the answers of somebody who says one thing, and finds everything that is offered as likely."""
    found = []
    for probe in probes:
        if probe.way == "generate":
            found.append(Answer(probe, text))
        elif probe.way == "choose":
            found.append(Answer(probe, probe.choices[0], scores=(-1.0,) * len(probe.choices)))
        elif probe.way == "score":
            found.append(Answer(probe, probe.accept[0], logprobs=(-1.0,)))
        else:
            found.append(Answer(probe, text, top=((text, 1.0),), tail=0.0))
    return found


def main() -> None:
    """Ask, score and print."""
    parser = argparse.ArgumentParser(description="Score those who always say the same.")
    parser.add_argument("--most", type=int, help="probes of each kind")
    parser.add_argument("--name", nargs="*", help="characters to ask about instead of the eight")
    given = parser.parse_args()
    most = given.most
    vlm = VLM.load("pocket")
    cells = []
    for request in map(pocket.request, given.name) if given.name else pocket.requests():
        print(request.concept.name, file=sys.stderr)
        probes = evaluation.asked(pocket, request, full=True, most=most)
        before = evaluation.ask(vlm, probes, progress=True)
        told = {"before": before} | {name: always(text, probes) for name, text in SAID.items()}
        verdicts = {name: evaluation.verdicts_on(some, vlm.family.wording, None) for name, some in told.items()}
        for name, scores in evaluation.score(told, verdicts).items():
            measured = {metric: e.as_dict() for metric, e in scores.items() if e.n}
            cells.append({"variant": name, "concept": request.concept.name, "seed": 0, "scores": measured})
    heads, rows = bench.grid(bench.scored(cells), COLUMNS)
    print(bench.written(heads, rows, "md"))
    for name, each in bench.reached(cells).items():
        print(f"{name}: {each}")


if __name__ == "__main__":
    main()
