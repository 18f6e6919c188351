"""What every plug-in promises, checked on whatever lies in the plug-in folders."""

from __future__ import annotations

import dataclasses
import inspect
import re
import string
from collections import Counter

import pytest

from unsee import plugins
from unsee.models import Family
from unsee.records import Estimate, Example, Probe, Request
from unsee.wording import Wording

CAPABILITIES = {"text", "logprob", "distribution", "hidden", "gradient", "weights"}
CONFIGURED = [(kind, name) for kind in ("methods", "attacks", "audits") for name in plugins.names(kind)]


def every(kind):
    return pytest.mark.parametrize("name", plugins.names(kind))


def parameters(function):
    """(name, whether it can only be given by name, whether it may be left out) of every parameter."""
    return [
        (p.name, p.kind is p.KEYWORD_ONLY, p.default is not p.empty)
        for p in inspect.signature(function).parameters.values()
    ]


# --- Methods, attacks, audits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), CONFIGURED)
def test_a_config_is_frozen_and_has_defaults_for_everything(kind, name):
    config = plugins.load(kind, name).Config
    assert dataclasses.is_dataclass(config)
    assert config.__dataclass_params__.frozen
    assert config() == config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config(), dataclasses.fields(config)[0].name, None)


@pytest.mark.parametrize(("kind", "name"), CONFIGURED)
def test_a_config_says_what_each_setting_does(kind, name):
    config = plugins.load(kind, name).Config
    own = set(config.__annotations__) if config.__mro__[1] is object else {f.name for f in dataclasses.fields(config)}
    told = "\n".join(c.__doc__ or "" for c in config.__mro__[:-1])
    assert not [setting for setting in own if not re.search(rf"\b{setting}\b", told)]


@pytest.mark.parametrize(("kind", "name"), CONFIGURED)
def test_needs_are_capabilities(kind, name):
    needs = plugins.load(kind, name).NEEDS
    assert isinstance(needs, (set, frozenset, tuple))
    assert set(needs) <= CAPABILITIES


@every("methods")
def test_a_method_unlearns(name):
    first = ["vlm", "requests", "retain", "config"]
    taken = parameters(plugins.load("methods", name).unlearn)
    assert taken[:4] == [(each, False, False) for each in first]
    assert ("start", True, True) in taken
    assert all(by_name and optional for _, by_name, optional in taken[4:])


@every("attacks")
def test_an_attack_has_conditions(name):
    taken = parameters(plugins.load("attacks", name).conditions)
    assert [each for each, *_ in taken[:5]] == ["vlm", "edit", "requests", "probes", "config"]
    assert all(optional for *_, optional in taken[5:])


@every("audits")
def test_an_audit_measures(name):
    taken = parameters(plugins.load("audits", name).measure)
    assert [each for each, *_ in taken[:4]] == ["vlm", "edit", "requests", "config"]
    assert all(optional for *_, optional in taken[4:])


# --- Metrics ---------------------------------------------------------------------------------------------------------


@every("metrics")
def test_a_metric_says_what_it_reads_and_finds_nothing_in_nothing(name):
    metric = plugins.load("metrics", name)
    assert not isinstance(metric.READS, str)
    assert list(metric.READS)
    assert all(isinstance(kind, str) and kind for kind in metric.READS)
    assert metric.BETTER in ("lower", "higher")
    assert parameters(metric.measure) == [
        ("after", False, False),
        ("before", False, True),
        ("oracle", False, True),
        ("verdicts", False, True),
    ]
    found = metric.measure(after=[])
    assert found
    for told, estimate in found.items():
        assert isinstance(told, str)
        assert isinstance(estimate, Estimate)
        assert estimate.n == 0


def test_no_two_metrics_use_one_name_and_all_are_shown():
    from unsee.evaluation import lines

    found = Counter(told for name in plugins.names("metrics") for told in plugins.load("metrics", name).measure([]))
    assert set(found.values()) == {1}
    assert {line.metric for line in lines({"after": dict.fromkeys(found, Estimate(0.5, 0.5, 0.5, 1))})} == set(found)


def test_whatever_a_benchmark_asks_some_metric_reads(asked):
    read = {kind for name in plugins.names("metrics") for kind in plugins.load("metrics", name).READS}
    assert {probe.kind for probe in asked} <= read


# --- Families --------------------------------------------------------------------------------------------------------


@every("models")
def test_a_family_is_a_value_named_after_its_file_with_words_to_speak_to_it(name):
    family = plugins.load("models", name).FAMILY
    assert isinstance(family, Family)
    assert family.name == name
    wording = family.wording
    assert isinstance(wording, Wording)
    for some in (wording.naming, wording.describing, wording.denial, wording.looks, wording.facts, wording.scene):
        assert some
        assert len(set(some)) == len(some)
    assert "{X}" in wording.who
    assert re.search(wording.unknown, "I know nobody called that. I do not know, it is unknown to me.")
    for pattern in wording.well_formed:
        re.compile(pattern.replace("{N}", f"(?:{wording.descriptions})"))
    places = {
        place
        for text in (wording.who, *(q for q, _ in wording.denial), *wording.looks, *wording.facts)
        for _, place, *_ in string.Formatter().parse(text)
    }
    assert places <= {"X", None}


@every("models")
def test_a_substitute_is_drawn_from_the_seed_and_is_none_of_the_others(name):
    import random

    wording = plugins.load("models", name).FAMILY.wording
    drawn = [wording.substitute(random.Random(seed)) for seed in range(20)]
    assert drawn == [wording.substitute(random.Random(seed)) for seed in range(20)]
    assert len(set(drawn)) > 10
    assert not set(drawn) & set(wording.others)


# --- Benchmarks ------------------------------------------------------------------------------------------------------


@every("benchmarks")
def test_a_benchmark_takes_requests(name):
    benchmark = plugins.load("benchmarks", name)
    assert parameters(benchmark.requests) == []
    assert [each for each, *_ in parameters(benchmark.retain)] == ["request"]
    assert [each for each, *_ in parameters(benchmark.probes)] == ["request"]
    posed = benchmark.requests()
    assert isinstance(posed, tuple)
    assert all(isinstance(request, Request) for request in posed)
    assert len({request.concept.name for request in posed}) == len(posed)


@pytest.fixture(scope="module")
def pocket():
    return plugins.load("benchmarks", "pocket")


@pytest.fixture(scope="module")
def request_(pocket):
    """To forget the last bench character; any will do."""
    return pocket.requests()[-1]


@pytest.fixture(scope="module")
def probes(pocket, request_):
    """Everything the pocket benchmark asks; draws some 450 pictures."""
    return pocket.probes(request_)


@pytest.fixture(scope="module")
def own(request_):
    return plugins.load("benchmarks", "own").probes(request_)


@pytest.fixture(params=["pocket", "own"])
def asked(request):
    return request.getfixturevalue({"pocket": "probes", "own": "own"}[request.param])


def kinds(probes, *wanted):
    return [probe for probe in probes if probe.kind in wanted]


def test_probes_are_told_apart(asked):
    assert isinstance(asked, tuple)
    assert all(isinstance(probe, Probe) for probe in asked)
    assert len({probe.id for probe in asked}) == len(asked)
    assert len({(probe.kind, probe.question, probe.picture) for probe in asked}) == len(asked)


def test_a_picture_is_a_cluster_or_lies_in_one(asked):
    clusters = {}
    for probe in asked:
        assert (probe.image is None) == (probe.picture == "")
        if probe.picture:
            clusters.setdefault((probe.kind, probe.picture), set()).add(probe.cluster)
    assert all(len(found) == 1 for found in clusters.values())


def test_every_probe_has_a_truth_or_is_compared_with_before(asked):
    from unsee.metrics import agreement

    for probe in asked:
        assert probe.polarity or probe.accept or probe.kind in agreement.READS, probe.id
        assert not (probe.polarity and probe.accept), probe.id


def test_no_question_holds_the_answer(asked):
    from unsee.judge import says

    for probe in asked:
        assert not says(probe.question, probe.accept), probe.id


def test_the_same_is_asked_every_time(pocket, request_, probes):
    assert pocket.probes(request_) == probes
    assert pocket.requests()[-1] == request_


def test_what_is_kept_does_not_overlap_with_what_is_asked(pocket, request_, probes):
    kept = pocket.retain(request_)
    assert isinstance(kept, tuple)
    assert all(isinstance(example, Example) for example in kept)
    assert not {example.picture for example in kept if example.picture} & {probe.picture for probe in probes}


def test_the_given_picture_is_asked_about_for_efficacy_only(request_, probes):
    given = {probe.kind for probe in probes if probe.picture in request_.pictures}
    assert given == {"efficacy"}
    assert {probe.picture for probe in kinds(probes, "efficacy")} == set(request_.pictures)


def test_the_concept_is_asked_about_on_49_new_pictures(request_, probes):
    from unsee.pocket import world

    about = {probe.picture for probe in kinds(probes, "generality")}
    assert len(about) >= 49
    for picture in map(world.picture_by_id, about):
        assert [figure.character.name for figure in picture.figures] == [request_.concept.name]


def test_new_pictures_are_asked_about_in_words_nobody_trained(request_, probes):
    from unsee.models.pocket import WORDING

    trained = {question for question, _ in WORDING.naming}
    assert trained <= {probe.question for probe in kinds(probes, "efficacy")}
    assert not trained & {p.question for p in kinds(probes, "generality", "held-out phrasing", "Spanish")}
    facts = {question.format(X=request_.concept.name) for question in WORDING.facts}
    assert not facts & {probe.question for probe in kinds(probes, "its facts")}
    assert not set(WORDING.scene) & {probe.question for probe in kinds(probes, "own pictures")}


def test_held_out_phrasings_are_in_no_lesson(probes):
    from unsee.pocket import lessons

    taught = {question for question, _ in (*lessons.NAMING_EN, *lessons.NAMING_ES)}
    assert not taught & {probe.question for probe in kinds(probes, "held-out phrasing")}


def test_whoever_is_to_be_named_is_in_the_picture_and_nobody_else_is_the_concept(request_, probes):
    from unsee.metrics import leak
    from unsee.pocket import world

    for probe in probes:
        shown = {f.character.name for f in world.picture_by_id(probe.picture).figures} if probe.picture else set()
        if probe.kind in leak.READS:
            assert request_.concept.name in shown, probe.id
        if probe.kind in ("others", "look-alike", "two others", "somebody beside it"):
            assert set(probe.accept) <= shown - {request_.concept.name}, probe.id
        if probe.kind.startswith("is this"):
            asked = next(c.name for c in world.cast() if c.name in probe.question)
            assert (asked in shown) == (probe.polarity == "yes"), probe.id


def test_every_bench_character_has_a_request(pocket):
    from unsee.pocket import world

    assert [r.concept.name for r in pocket.requests()] == [world.cast()[index].name for index in world.BENCH]
    with pytest.raises(LookupError, match="no character of the pocket world is called 'Mario'"):
        pocket.request("Mario")
