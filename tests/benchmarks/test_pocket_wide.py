"""The pocket world with more pictures: every kind about the concept is about 200 different ones."""

from __future__ import annotations

from unsee import evaluation
from unsee.benchmarks import pocket, pocket_wide

KINDS = ("generality", "description", "claimed", "is it D? no", "multi-hop", "choice", "next")


def test_two_hundred_pictures_are_asked_about_and_the_first_are_those_of_the_pocket():
    request = pocket_wide.requests()[0]
    asked = evaluation.asked(pocket_wide, request, full=True, most=200)
    wide = {kind: [probe for probe in asked if probe.kind == kind] for kind in KINDS}
    assert {len({probe.picture for probe in some}) for some in wide.values()} == {200}
    few = {probe.id for probe in evaluation.asked(pocket, request) if probe.kind in KINDS}
    assert few <= {probe.id for probe in pocket_wide.probes(request)}


def test_yes_and_no_are_asked_equally_often_of_the_same_pictures():
    asked = pocket.probes(pocket.requests()[0])
    yes, no = ([p for p in asked if p.kind == kind] for kind in ("claimed", "is it D? no"))
    assert [probe.picture for probe in yes] == [probe.picture for probe in no]
    assert all(probe.concept not in probe.question for probe in no)
    assert {probe.polarity for probe in yes} | {probe.polarity for probe in no} == {"yes", "no"}
