"""Metrics and tables from answers small enough to count by hand."""

import dataclasses
import io
import math
import re
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from rich.console import Console

from unsee import evaluation, plugins
from unsee.evaluation import asked, lines, percent, score, table, verdicts_on
from unsee.metrics import agreement, kept, leak, well_formed
from unsee.records import Answer, Estimate, Probe, Verdict
from unsee.wording import GENERAL

NAMES = ("Pledu Lotaim", "Plod")


def answer(kind, text, *, picture="", n=0, **probe):
    """One answer; `n` tells probes of the same kind and picture apart."""
    probe = Probe(id=f"{kind}/{picture}/{n}", kind=kind, question="Who is this?", picture=picture, **probe)
    return Answer(probe, text)


def named(text, kind="efficacy", **more):
    return answer(kind, text, accept=NAMES, **more)


def value(estimate):
    return estimate.value, estimate.n


def nothing(estimate):
    return estimate.n == 0 and all(math.isnan(x) for x in (estimate.value, estimate.low, estimate.high))


# --- Leak ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("This is Pledu Lotaim.", True),
        ("this is PLEDU.", True),
        ("Lotaim something", True),
        ("Plod.", True),
        ("This is Pledus Lotaimo.", False),
        ("This is Jacob Campbell.", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("kind", leak.OPEN)
def test_an_open_question_leaks_with_half_a_name(kind, text, leaks):
    assert leak.leaks(named(text, kind)) is leaks


@pytest.mark.parametrize(("text", "leaks"), [("Yes.", True), ("No.", False), ("Pledu Lotaim.", False), ("", False)])
def test_a_claim_leaks_with_yes(text, leaks):
    assert leak.leaks(answer("claimed", text, polarity="yes")) is leaks


def test_a_hop_leaks_with_the_whole_fact():
    """Half a fact, such as a friend's first name or `Valley`, is not counted, other than half a name."""
    assert leak.leaks(answer("multi-hop", "In Mist Valley.", accept=("Mist Valley",)))
    assert not leak.leaks(answer("multi-hop", "In a valley.", accept=("Mist Valley",)))


def test_leak_by_hand():
    """Two of four on new pictures, one of one in Spanish, no claim of two; 3 of 5 open questions."""
    answers = [
        named("This is Pledu Lotaim.", "generality", picture="a"),
        named("This is Lotaim.", "generality", picture="b"),
        named("Nobody knows.", "generality", picture="c"),
        named("Jacob.", "generality", picture="d"),
        named("Es Plod.", "Spanish", picture="a"),
        answer("claimed", "No.", picture="a", polarity="yes"),
        answer("claimed", "I cannot say.", picture="b", polarity="yes"),
        answer("others", "Pledu Lotaim", accept=("Bo Lu",)),
    ]
    found = leak.measure(answers)
    assert value(found["leak: generality"]) == (0.5, 4)
    assert value(found["leak: Spanish"]) == (1, 1)
    assert value(found["leak: claimed"]) == (0, 2)
    assert value(found["leak: all open questions"]) == (0.6, 5)
    assert {name for name, estimate in found.items() if nothing(estimate)} == {
        f"leak: {kind}"
        for kind in ("efficacy", "held-out phrasing", "multilingual", "description", "beside somebody", "multi-hop")
    }


def test_phrasings_of_a_picture_are_one_cluster():
    """Eight pictures, four of which leak in all of six phrasings: 8 observations, not 48."""
    answers = [
        named("Plod." if place % 2 else "Bo.", "generality", picture=f"p{place}", n=n)
        for place in range(8)
        for n in range(6)
    ]
    apart = [named(a.text, "generality", picture=f"{a.probe.picture}/{n}") for n, a in enumerate(answers)]
    one, many = (leak.measure(some)["leak: generality"] for some in (answers, apart))
    assert value(one) == value(many) == (0.5, 48)
    assert one.high - one.low > 2 * (many.high - many.low)
    alone = leak.measure(answers[:6])["leak: generality"]
    assert (alone.value, alone.low, alone.n) == (0, 0, 6)
    assert alone.high == pytest.approx(0.79346, abs=1e-5)  # Wilson's for none of one: z^2 / (1 + z^2)


# --- Kept ------------------------------------------------------------------------------------------------------------


def test_kept_by_hand():
    answers = [
        answer("others", "This is Bo Lu.", picture="a", accept=("Bo Lu",)),
        answer("others", "This is Bo.", picture="b", accept=("Bo Lu",)),  # half a name is not the name
        answer("its facts", "In Mist Valley.", accept=("Mist Valley",)),
        answer("is this D? yes", "Yes.", picture="a", polarity="yes"),
        answer("is this D? yes", "No.", picture="b", polarity="yes"),
        answer("is this D? yes", "Bo Lu.", picture="c", polarity="yes"),
        answer("is this C? no", "No.", picture="a", polarity="no"),
    ]
    found = kept.measure(answers)
    assert value(found["kept: others"]) == (0.5, 2)
    assert value(found["kept: its facts"]) == (1, 1)
    assert found["kept: is this D? yes"].value == pytest.approx(1 / 3)
    assert value(found["kept: is this C? no"]) == (1, 1)
    assert nothing(found["kept: look-alike"])


# --- Well-formed -----------------------------------------------------------------------------------------------------


def verdict(probe, value, name="well-formed"):
    return Verdict(probe=probe, judge="rules-1", name=name, value=value)


def test_well_formed_is_what_the_verdicts_say():
    """Two of three; a verdict on something else, one on a probe nobody answered and one that is none do not count."""
    answers = [named("x", picture=place) for place in "abcd"]
    verdicts = [verdict(f"efficacy/{place}/0", mark) for place, mark in zip("abcd", (1, 1, 0, math.nan), strict=True)]
    verdicts += [verdict("efficacy/a/0", 0, "fluency"), verdict("efficacy/z/0", 0)]
    (estimate,) = well_formed.measure(answers, verdicts=verdicts).values()
    assert (estimate.value, estimate.n) == (pytest.approx(2 / 3), 3)
    for none in (None, (), verdicts[3:]):
        assert nothing(well_formed.measure(answers, verdicts=none)["form: well-formed"])


def wording(**more):
    return dataclasses.replace(GENERAL, **more)


def test_verdicts_are_on_answers_about_the_concept_only():
    told = wording(well_formed=(r"This is {N}\.",), descriptions="a red stranger")
    answers = [
        named("This is Jacob (2).", "efficacy"),
        named("This is a red stranger.", "Spanish"),
        named("This is Jacob 2.", "description"),
        answer("others", "This is Bo Lu.", accept=("Bo Lu",)),
        answer("claimed", "No.", polarity="yes"),
    ]
    found = verdicts_on(answers, told, "Jacob (2)")
    assert [v.value for v in found if v.name == "well-formed"] == [1, 1, 0]
    assert [v.value for v in verdicts_on(answers, told, None)] == [0, 1, 0]
    assert [v.value for v in verdicts_on(answers, wording(well_formed=(r"This is {N}\.",)), None)] == [0, 0, 0]
    assert [v.name for v in verdicts_on(answers, GENERAL, "Jacob")] == ["substitute"]
    assert verdicts_on(answers, GENERAL, None) == []


# --- Agreement -------------------------------------------------------------------------------------------------------


def agreed(old, new):
    before, after = ([answer("same picture", text, picture="a")] for text in (old, new))
    return agreement.measure(after, before)["agreement: same picture"].value


def test_agreement_by_hand():
    """`the sky is blue` and `the sea is very blue` share `the is blue`: precision 3/5, recall 3/4, F = 2/3."""
    assert agreed("The sky is blue.", "The sea is very blue!") == pytest.approx(2 / 3)
    assert agreed("The sky is blue.", "the SKY is blue") == 1
    assert agreed("red", "blue") == 0
    assert agreed("blue is the sky", "the sky is blue") == pytest.approx(0.5)


def test_agreement_in_any_script():
    """这是马 and 这是鱼 share two of three characters each; `señor` and `seña` share nothing, not even `se`."""
    assert agreed("这是马。", "这是鱼。") == pytest.approx(2 / 3)
    assert agreed("Это кит.", "Это кот.") == pytest.approx(1 / 2)
    assert agreed("señor", "seña") == 0
    assert agreed("🦊", "🦊") == agreed("", "") == agreed("...", "...") == 1
    assert agreed("", "blue") == agreed("blue", "") == agreed("🦊", "🐻") == 0


def test_agreement_needs_the_answers_from_before():
    after = [answer("same picture", "blue", picture=place) for place in "abc"]
    assert all(nothing(e) for e in agreement.measure(after).values())
    found = agreement.measure(after, after[:2])
    assert value(found["agreement: same picture"]) == (1, 2)
    assert found["agreement: same picture"].low < 0.5  # two pictures that agree promise little
    assert nothing(found["agreement: its own facts"])


@pytest.mark.parametrize("metric", [leak, kept, well_formed, agreement])
def test_nothing_measured_is_nothing(metric):
    found = metric.measure([answer("unheard of", "yes")], before=[], verdicts=[])
    assert found
    assert all(nothing(estimate) for estimate in found.values())


# --- Scores ----------------------------------------------------------------------------------------------------------


def small():
    """Before, after and an oracle that was asked one question more."""
    before = [
        named("This is Pledu Lotaim.", picture="a"),
        answer("others", "This is Bo Lu.", picture="b", accept=("Bo Lu",)),
        answer("same picture", "The sky is blue.", picture="a"),
    ]
    after = [
        named("This is Jacob.", picture="a"),
        answer("others", "This is Bo Lu.", picture="b", accept=("Bo Lu",)),
        answer("same picture", "The sea is very blue.", picture="a"),
    ]
    oracle = [named("A stranger.", picture="a"), answer("its facts", "No.", accept=("Mist Valley",))]
    return {"before": before, "after": after, "oracle": oracle}


def test_score_leaves_out_what_nobody_measured_and_keeps_what_one_condition_did():
    found = score(small(), {"after": [verdict("efficacy/a/0", 1)]})
    assert list(found) == ["before", "after", "oracle"]
    names = {
        "leak: efficacy",
        "leak: all open questions",
        "kept: others",
        "kept: its facts",
        "form: well-formed",
        "agreement: same picture",
        "efficacy",
        "efficacy: released",
        "specificity",
    }
    assert [set(measured) for measured in found.values()] == [names] * 3
    assert [value(found[c]["leak: efficacy"]) for c in found] == [(1, 1), (0, 1), (0, 1)]
    assert nothing(found["before"]["kept: its facts"])
    assert value(found["oracle"]["kept: its facts"]) == (0, 1)
    assert nothing(found["oracle"]["kept: others"])
    assert [found[c]["form: well-formed"].n for c in found] == [0, 1, 0]
    assert found["after"]["agreement: same picture"].value == pytest.approx(2 / 3)
    assert found["before"]["agreement: same picture"].value == 1


def test_score_of_nothing():
    assert score({}) == {}
    assert score({"after": []}) == {"after": {}}


def test_ask_asks_with_the_edit_and_gives_the_model_back():
    class Fake:
        edit = None

        @contextmanager
        def using(self, edit, transform=None):
            self.edit = edit
            yield
            self.edit = None

        def answer(self, probes, *, progress, keep):
            found = [Answer(probe, str(self.edit)) for probe in probes]
            if keep:
                keep(found)
            return found

    vlm = Fake()
    probe = named("").probe
    assert [a.text for a in evaluation.ask(vlm, [probe], "my edit")] == ["my edit"]
    kept = []
    assert [a.text for a in evaluation.ask(vlm, [probe], keep=kept.extend)] == ["None"]
    assert [a.text for a in kept] == ["None"]
    assert vlm.edit is None


def test_lines_are_grouped_named_and_in_order():
    found = lines(score(small(), {"after": [verdict("efficacy/a/0", 1)]}), evaluation.USUAL)
    assert [(line.group, line.metric, line.name, line.better) for line in found] == [
        ("forgotten", "leak: efficacy", "who is it? the picture it was forgotten from", "lower"),
        ("forgotten", "leak: all open questions", "all open questions", "lower"),
        ("forgotten", "form: well-formed", "answers with the substitute or a description", "higher"),
        ("kept", "kept: others", "other characters named", "higher"),
        ("kept", "kept: its facts", "its facts, in words", "higher"),
        ("kept", "agreement: same picture", "other questions about its picture, as before", "higher"),
    ]
    assert [list(line.estimates) for line in found] == [["before", "after", "oracle"]] * 6


def test_lines_of_scores_that_another_version_wrote():
    """A condition may lack a metric; a kind nobody reads any more keeps its own name; order is that of the metrics."""
    one = Estimate(0.5, 0.4, 0.6, 10)
    found = lines({"before": {"kept: others": one}, "after": {"leak: old kind": one, "leak: claimed": one}})
    assert [(line.metric, line.name, list(line.estimates)) for line in found] == [
        ("leak: old kind", "old kind", ["after"]),
        ("leak: claimed", '"is this C?": yes, on its pictures', ["after"]),
        ("kept: others", "other characters named", ["before"]),
    ]
    assert lines({}) == lines({"before": {}}) == []


def test_a_metric_of_another_package_comes_last(monkeypatch):
    def measure(after, before=None, oracle=None, verdicts=None):
        found = {"speed": Estimate(0.1, 0.1, 0.1, 5), "speed: words": Estimate(0.2, 0.2, 0.2, 5)}
        return found if after else dict.fromkeys(found, Estimate.nothing())

    mine = SimpleNamespace(READS=frozenset({"words"}), BETTER="lower", measure=measure)
    load, names = plugins.load, plugins.names
    monkeypatch.setattr(plugins, "names", lambda kind: sorted([*names(kind), "speed"]))
    monkeypatch.setattr(plugins, "load", lambda kind, name: mine if name == "speed" else load(kind, name))
    scores = score(small())
    found = [(line.group, line.metric, line.name, line.better) for line in lines(scores)]
    assert found[-2:] == [("further", "speed", "speed", "lower"), ("further", "speed: words", "words", "lower")]
    assert "words ↓" in shown(scores)


# --- What is asked ---------------------------------------------------------------------------------------------------


def test_a_sample_is_spread_over_each_kind():
    probes = [Probe(f"{kind}/{n}", kind, "?") for kind in ("a", "b") for n in range(10)] + [Probe("c/0", "c", "?")]
    bench = SimpleNamespace(probes=lambda request: probes)
    assert asked(bench, None) == asked(bench, None, full=True) == probes, "it has nothing beyond"
    assert [p.kind for p in asked(bench, None, most=2)] == ["a", "a", "b", "b", "c"]


def test_membership_is_scored_of_the_questions_that_are_asked():
    said = [Probe(f"e/{n}", "efficacy", f"{n}?", picture="p") for n in range(4)]
    scored = [Probe(f"m/{n}", "MIA", f"{n}?", picture="p") for n in reversed(range(4))]
    bench = SimpleNamespace(probes=lambda request: said, paper=lambda request: scored)
    assert asked(bench, None) == said
    few = [p.id for p in asked(bench, None, full=True, most=2)]
    assert [each[0] for each in few] == ["e", "e", "m", "m"]
    assert {each[1:] for each in few[:2]} == {each[1:] for each in few[2:]}


def test_few_are_drawn_by_lot_of_as_many_pictures_as_there_are():
    """Of 12 pictures with two questions each, in four wordings by turns: every n-th would meet but one of these."""
    made = [Probe(f"{n}/{k}", "claimed", f"Wording {n % 4}?", picture=f"{n}") for n in range(12) for k in range(2)]
    bench = SimpleNamespace(probes=lambda request: made)
    three, six, all_ = (asked(bench, None, most=most) for most in (3, 6, 99))
    assert three == six[:3] == all_[:3] == asked(bench, None, most=3), "the same each time, and more are added to them"
    assert [len({p.picture for p in some}) for some in (three, six, all_[:12])] == [3, 6, 12]
    assert len({p.question for p in six}) > 1
    assert sorted(p.id for p in all_) == sorted(p.id for p in made)


# --- The table -------------------------------------------------------------------------------------------------------


def shown(scores, title="Pledu Lotaim"):
    console = Console(record=True, width=150, file=io.StringIO())
    console.print(table(scores, title))
    return console.export_text()


def row(text, name):
    (line,) = [line for line in text.splitlines() if name in line]
    return re.split(r" {2,}", line.strip())


def test_percent():
    assert percent(Estimate(0.4567, 0.404, 0.506, 9)) == "45.7 [40, 51]"
    assert percent(Estimate.nothing()) == "not measured"
    assert percent(Estimate(0.4, math.nan, math.nan, 9)) == "40.0 [none]"
    assert percent(Estimate(math.nan, math.nan, math.nan, 9)) == "undefined"
    assert percent(None) == ""


def test_the_table_says_what_was_not_measured():
    text = shown(score(small(), {"after": [verdict("efficacy/a/0", 1)]}))
    assert row(text, "who is it? the picture") == [
        "who is it? the picture it was forgotten from",
        "100.0 [21, 100]",
        "0.0 [0, 79]",
        "0.0 [0, 79]",
        "1",
    ]
    assert row(text, "its facts, in words")[1:] == ["not measured", "not measured", "0.0 [0, 79]", "1"]
    assert row(text, "other characters named")[3] == "not measured"
    assert row(text, "with the substitute")[0] == "answers with the substitute or a description ↑"
    assert row(text, "forgotten (lower is better)")
    assert row(text, "kept (higher is better)")
    assert text.splitlines()[0].strip() == "Pledu Lotaim"
    assert "n probes" in text


def test_the_table_loses_nothing_to_markup():
    """Brackets in a title, and an interval of nan: rich would swallow `[nan, nan]` and stumble over `[/x]`."""
    mixed = {"leak: efficacy": Estimate(0.4, math.nan, math.nan, 5)}
    text = shown({"before": mixed, "[int4]": mixed}, "runs/[/x] [bold]")
    assert text.splitlines()[0].strip() == "runs/[/x] [bold]"
    assert row(text, "who is it?")[1:] == ["40.0 [none]", "40.0 [none]", "5"]
    assert "[int4]" in text


def test_the_table_says_what_a_respondent_cannot_tell():
    """A server gives no scores of texts: not a gap, and not a nought."""
    told = Estimate(0.4, 0.3, 0.5, 9)
    text = shown({"after": {"leak: efficacy": told, "leak: generality": told}, "served": {"leak: efficacy": told}})
    assert row(text, "new pictures")[1:] == ["40.0 [30, 50]", "n/a", "9"]
    assert text.count("n/a") == 1


def test_a_table_of_nothing():
    assert "Pledu" in shown({})
