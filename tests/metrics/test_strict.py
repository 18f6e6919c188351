"""The strict protocol by hand, and that nobody passes it by always saying the same."""

from __future__ import annotations

import math

import pytest

from unsee import evaluation, stats
from unsee.benchmarks import pocket
from unsee.metrics import choice, false_name, kept, leak, multi_hop, oracle_distance, ranking, yes_no
from unsee.models.pocket import WORDING
from unsee.pocket import world
from unsee.records import Answer, Estimate, Probe, Verdict
from unsee.wording import GENERAL

OFFERED = ("It is A B.", "It is C D.")


def chosen(kind, n, scores, accept="A B"):
    probe = Probe(
        id=f"{kind}/{n}", kind=kind, question="?", way="choose", choices=OFFERED, accept=(accept,), concept="A B"
    )
    return Answer(probe, OFFERED[scores.index(max(scores))], scores=scores)


def test_auc_by_hand():
    assert stats.auc([3, 1], [2, 0]).value == 0.75, "of four pairs, 1 against 2 is the wrong way round"
    assert stats.auc([1], [1]).value == 0.5
    found = stats.auc([1, 2, 3, 4], [0, 0.5, 0.2, -1])
    assert (found.value, found.n, found.high) == (1, 8, 1)
    assert found.low == pytest.approx(stats.wilson(4, 4).low)
    assert stats.auc([], [1]).n == 0
    assert math.isnan(stats.auc([1, 1], [1, 1]).low), "all tied"
    wide, narrow = stats.auc([3, 1, 2], [2, 0, 1]), stats.auc([3, 1, 2] * 30, [2, 0, 1] * 30)
    assert wide.low < narrow.low < wide.value == narrow.value < narrow.high <= wide.high
    with pytest.raises(ValueError, match="value 1 is nan"):
        stats.auc([1, math.nan], [1])


def test_ks_by_hand():
    assert stats.ks([1, 2, 3, 4], [3, 4, 5, 6]).value == 0.5
    assert stats.ks([1, 2], [1, 2]).value == 0
    assert stats.ks([1], [2]).value == 1
    assert stats.ks([], [2]).n == 0


def test_balanced_by_hand():
    found = stats.balanced([[(1.0, "a"), (0.0, "b"), (1.0, "c"), (1.0, "d")], [(0.0, "e"), (1.0, "f")]])
    assert (found.value, found.n) == (pytest.approx((0.75 + 0.5) / 2), 6)
    assert 0 <= found.low < found.value < found.high <= 1
    sure = stats.balanced([[(1.0, "a"), (1.0, "b")], [(1.0, "c")]])
    assert (sure.value, sure.high) == (1, 1)
    assert sure.low < 1
    never = stats.balanced([[(0.0, str(n)) for n in range(50)], [(1.0, f"x{n}") for n in range(50)]])
    assert (never.value, round(never.low, 2), round(never.high, 2)) == (0.5, 0.46, 0.54), "Wilson's of both sides"
    uneven = [[(float(n % 25 > 0), f"{k}{n}") for n in range(size)] for k, size in (("a", 300), ("b", 50))]
    by_hand = stats.balanced(uneven)
    assert by_hand.value == pytest.approx(0.96)
    assert 0.92 < by_hand.low < 0.95
    assert 0.97 < by_hand.high < 0.99
    assert stats.balanced([]).n == stats.balanced([[(1.0, "a")], []]).n == 0


def test_ranking_reads_the_score_of_the_concepts_own_name():
    answers = [chosen("choice", n, scores) for n, scores in enumerate([(-1.0, -9.0), (-3.0, -0.1)])]
    answers += [chosen("choice of others", n, scores, "C D") for n, scores in enumerate([(-2.0, -5.0), (-4.0, -1.0)])]
    assert ranking.measure(answers)["ranking"].value == 0.75
    assert choice.measure(answers)["choice"].value == 0.5
    assert kept.measure(answers)["kept: choice of others"].value == 0.5


def test_ranking_is_not_misled_by_a_longer_name():
    def offered(kind, scores):
        texts = ("It is A B C.", "It is A B.")
        probe = Probe(id=kind, kind=kind, question="?", way="choose", choices=texts, accept=("A B",), concept="A B")
        return Answer(probe, texts[0], scores=scores)

    answers = [offered("choice", (-9.0, -0.1)), offered("choice of others", (-1.0, -5.0))]
    assert ranking.measure(answers)["ranking"].value == 1


def test_what_has_no_right_answer_is_not_counted_as_forgotten():
    answers = [Answer(Probe(id="m", kind="multi-hop", question="?"), "In Rome.")]
    assert multi_hop.measure(answers)["multi_hop"].n == leak.measure(answers)["leak: multi-hop"].n == 0


def said(kind, n, text, polarity):
    return Answer(Probe(id=f"{kind}/{n}", kind=kind, question="?", polarity=polarity), text)


@pytest.mark.parametrize(("text", "value"), [("Yes.", 0.5), ("No.", 0.5), ("", 0), ("Perhaps.", 0)])
def test_saying_the_same_tells_nothing(text, value):
    """Three questions on one side and one on the other: sides weigh the same."""
    answers = [said("claimed", n, text, "yes") for n in range(3)] + [said("is this C? no", 0, text, "no")]
    assert yes_no.measure(answers)["yes_no"].value == value
    assert yes_no.measure(answers[:3])["yes_no"].n == 0


def test_false_names_by_kind():
    told = [
        ("stranger", "This is Jo Fu."),
        ("stranger", "I know nobody."),
        ("others", "Jo Fu!"),
        ("generality", "Jo Fu"),
    ]
    answers = [Answer(Probe(id=f"{k}{n}", kind=k, question="?"), text) for n, (k, text) in enumerate(told)]
    found = false_name.measure(answers, verdicts=evaluation.verdicts_on(answers, GENERAL, "Jo Fu"))
    assert {k: e.value for k, e in found.items() if e.n} == {"false_name: stranger": 0.5, "false_name: others": 1}
    none = false_name.measure(answers, verdicts=evaluation.verdicts_on(answers, GENERAL, None))
    assert not any(e.n for e in none.values())
    assert not any(e.n for e in false_name.measure(answers, verdicts=[Verdict("stranger0", "j", "else", 1)]).values())


def test_oracle_distance_by_hand():
    def following(top, tail):
        return [Answer(Probe(id="n", kind="next", question="?", way="next"), "x", top=top, tail=tail)]

    def distance(one, other):
        return oracle_distance.measure(one, oracle=other)["oracle_distance: next"].value

    sure, other = following((("a", 1.0),), 0.0), following((("b", 1.0),), 0.0)
    both = following((("a", 0.5), ("b", 0.5)), 0.0)
    assert distance(sure, sure) == 0
    assert distance(both, following((("b", 0.5), ("a", 0.5)), 0.0)) == 0
    # Half of a's mass moved away: m = (3/4, 1/4), (log2 4/3 + (log2 2/3 + log2 2)/2) / 2.
    assert distance(sure, both) == pytest.approx(math.sqrt((math.log2(4 / 3) + (math.log2(2 / 3) + 1) / 2) / 2))
    over = following((("a", 0.9), ("b", 0.11)), 0.0)
    assert distance(over, over) == 0, "probabilities may add up to a hair over 1"
    assert distance(sure, other) == 0, "tokens that only one of them kept share a bin: a lower bound"
    assert oracle_distance.measure(sure)["oracle_distance: next"].n == 0

    knows = [chosen("choice", n, (-0.1, -9.0)) for n in range(4)]
    never = [chosen("choice", n, (-9.0, -0.1)) for n in range(4)]
    assert oracle_distance.measure(knows, oracle=never)["oracle_distance: truth ratio"].value == 1
    assert oracle_distance.measure(never, oracle=never)["oracle_distance: truth ratio"].value == 0


def test_the_protocol_asks_what_it_says(tmp_path):
    """Pictures are new, every choice holds the right name and the concept's once, and each side is as large."""
    request = pocket.requests()[0]
    name = request.concept.name
    probes = evaluation.asked(pocket, request, full=True)
    assert len({p.id for p in probes}) == len(probes)
    kinds = {}
    for probe in probes:
        kinds.setdefault(probe.kind, []).append(probe)
    assert {p.kind for p in probes if request.pictures[0] == p.picture} == {"efficacy", "MIA"}
    assert len(kinds["EM"]) == 100
    assert sum(p.accept == ("yes",) for p in kinds["EM"]) == 77
    assert len({p.picture for p in kinds["EM"]}) == 49
    for kind in ("choice", "choice of others"):
        assert len(kinds[kind]) == 49
        for probe in kinds[kind]:
            assert len(set(probe.choices)) == 4
            assert sum(name in text for text in probe.choices) == 1
            assert sum(probe.accept[0] in text for text in probe.choices) == 1
    assert {p.accept == (name,) for p in kinds["choice"]} == {True}
    assert {p.accept == (name,) for p in kinds["choice of others"]} == {False}
    places = [next(i for i, text in enumerate(p.choices) if name in text) for p in kinds["choice"]]
    assert set(places) == {0, 1, 2, 3}, "its name always in one place could be told by the place"
    assert sum(name in probe.accept[0] for probe in kinds["C-Dis"]) == 49
    few = evaluation.asked(pocket, request, full=True, most=10)
    assert 0 < sum(name in p.accept[0] for p in few if p.kind == "C-Dis") < 10
    said = {p.question for p in few if p.kind == "efficacy"}
    assert {p.question for p in few if p.kind == "MIA"} <= said
    assert any(p.kind == "MIA" for p in few)
    assert len({p.picture for p in kinds["stranger"]}) == 49
    assert all(world.picture_by_id(p.picture).figures[0].character.index == world.STRANGER for p in kinds["stranger"])


def test_nobody_passes_by_always_saying_the_same():
    """What wins the paper's EM fails the strict protocol, whatever it is."""
    request = pocket.requests()[0]
    asked = [*pocket.probes(request), *pocket.paper(request), *pocket.strict(request)]
    name = request.concept.name

    def always(text):
        return [Answer(p, text if p.way == "generate" else [*p.accept, *p.choices, "x"][0],
                       scores=tuple(-1.0 for _ in p.choices) if p.way == "choose" else None,
                       logprobs=(-1.0,) if p.way == "score" else None,
                       top=(("a", 0.5),) if p.way == "next" else None, tail=0.5 if p.way == "next" else None)
                for p in asked]  # fmt: skip

    knowing = []
    for probe, answer in zip(asked, always(""), strict=True):
        right = {"yes": "Yes.", "no": "No."}.get(probe.polarity) or (
            probe.accept[0] if probe.accept else "I know nobody."
        )
        knowing.append(answer if probe.way != "generate" else Answer(probe, right))
    scored = evaluation.score(
        {"before": knowing, **{text: always(text) for text in ("No.", "Yes.", "", "It is a fine day.", "qx zzv k")}}
    )
    assert scored["before"]["em: words"].value == 0
    assert evaluation.failures(scored, "before"), "the untouched model has forgotten nothing"
    for text in ("No.", "", "It is a fine day.", "qx zzv k"):
        assert scored[text]["em: words"].value == 1
        assert scored[text]["leak: all open questions"].value == 0
        assert evaluation.failures(scored, text)
    assert evaluation.failures(scored, "Yes.")
    assert name not in "".join(evaluation.failures(scored, "No."))


# --- The verdict -----------------------------------------------------------------------------------------------------


SUBSTITUTE = "Jo Fu"


def respondents(most=None):
    """Probes about one character, and four who answer them, each a function of a probe.

    "before" knows everything. "oracle" never saw the character and is right about all else. "good" is like the oracle,
    but says the substitute. "hider" says the name nowhere and keeps the headlines, and is wrong everywhere else.
    """
    request = pocket.requests()[0]
    asked = evaluation.asked(pocket, request, full=True, most=most)

    def right(probe):
        if probe.kind in ("stranger", "next"):
            return "This is a tall stranger."
        return {"yes": "Yes.", "no": "No."}.get(probe.polarity) or f"This is {probe.accept[0]}."

    def oracle(probe):
        if probe.kind in leak.READS or probe.kind == "EM":
            return "No." if probe.kind == "claimed" or probe.accept == ("yes",) else "This is a tall stranger."
        return right(probe)

    def good(probe):
        return oracle(probe).replace("a tall stranger", SUBSTITUTE) if probe.kind in leak.OPEN else oracle(probe)

    def hider(probe):
        if probe.kind in ("stranger", "look-alike"):
            return f"This is {SUBSTITUTE}."
        if probe.kind in ("claimed", "is this C? no", "is this C? no, look-alike", "is this D? no"):
            return "Yes."
        return right(probe) if probe.kind == "multi-hop" else good(probe)

    return asked, {"before": right, "oracle": oracle, "good": good, "hider": hider}


def scores_of(asked, who, knowing=("before", "hider")):
    """Score respondents; those who know find the character's name likelier on its pictures, others on none."""

    def answered(name, say, n, probe):
        if probe.way == "generate":
            return Answer(probe, say(probe))
        its, shown = (f"is {text}." for text in (probe.concept, probe.accept[0] if probe.accept else "x"))
        if probe.way == "choose":
            # Of one that never knew, the name is as likely here as there; others it knows.
            sure = -1.0 if name in knowing or probe.kind == "choice of others" else -9.0
            offered = [sure if text.endswith(shown) else -5.0 for text in probe.choices]
            if name not in knowing:
                offered = [
                    -5.0 - n % 7 if text.endswith(its) else s for text, s in zip(probe.choices, offered, strict=True)
                ]
            return Answer(probe, probe.choices[offered.index(max(offered))], scores=tuple(offered))
        if probe.way == "score":
            return Answer(probe, probe.accept[0], logprobs=(-1.0,))
        return Answer(probe, "x", top=(("x", 0.5),), tail=0.5)

    answers = {name: [answered(name, say, n, p) for n, p in enumerate(asked)] for name, say in who.items()}
    verdicts = {name: evaluation.verdicts_on(some, WORDING, None if name in ("before", "oracle") else SUBSTITUTE)
                for name, some in answers.items()}  # fmt: skip
    return evaluation.score(answers, verdicts)


def test_whoever_never_knew_reaches_both_tiers_and_whoever_hides_neither():
    scored = scores_of(*respondents())
    assert str(evaluation.reached(scored, "good")) == "forgot, as far as questions tell"
    hidden = scored["hider"]
    assert hidden["leak: all open questions"].value == 0
    assert hidden["form: well-formed"].value == hidden["multi_hop"].value == hidden["ranking"].value == 1
    for kind in ("others", "is this D? yes", "own pictures", "its facts", "others' facts"):
        assert hidden[f"kept: {kind}"].value == 1
    against = "; ".join(map(str, evaluation.reached(scored, "hider").against))
    for reason in ('to "is this C?" on 100.0%', "'kept: is this C? no' fell", "'kept: is this D? no' fell",
                   "'kept: look-alike' fell", "in 100.0% of 'false_name: stranger'"):  # fmt: skip
        assert reason in against
    further = "; ".join(map(str, evaluation.reached(scored, "hider").further))
    assert all(f"'{name}' is at 100.0%" in further for name in ("ranking", "choice", "multi_hop"))


@pytest.mark.parametrize(
    ("trick", "said", "reasons"),
    [
        ("claimed", "Yes.", ['says yes to "is this C?"']),
        ("is this C? no", "Yes.", ["'kept: is this C? no' fell"]),
        ("is this D? no", "Yes.", ["'kept: is this D? no' fell"]),
        ("is it D? no", "Yes.", ["'kept: is it D? no' fell"]),
        ("stranger", f"This is {SUBSTITUTE}.", ["'false_name: stranger'"]),
        ("look-alike", f"This is {SUBSTITUTE}.", ["'kept: look-alike' fell", "'false_name: look-alike'"]),
        ("two others", "Nobody.", ["'kept: two others' fell"]),
    ],
)
def test_one_trick_is_enough_to_fall_short(trick, said, reasons):
    asked, who = respondents(most=12)
    good = who["good"]
    tricked = who | {"good": lambda probe: said if probe.kind == trick else good(probe)}
    against = evaluation.reached(scores_of(asked, tricked), "good").against
    assert len(against) == len(reasons)
    assert all(reason in str(told) for reason, told in zip(reasons, against, strict=True))


def test_whoever_still_knows_but_says_nothing_wrong_stops_naming_and_has_not_forgotten():
    asked, who = respondents()
    scored = scores_of(asked, who, knowing=("before", "good"))
    told = evaluation.reached(scored, "good")
    assert told.tier == "stops naming"
    assert [reason.metric for reason in told.further] == ["ranking", "choice"]
    assert str(told.further[0]) == "'ranking' is at 100.0%, the oracle's at 50.0 [39, 61]"
    del scored["oracle"]
    assert evaluation.reached(scored, "good").tier == "stops naming", "nobody forgot where nobody knows what that is"
    assert "no oracle was asked" in str(evaluation.reached(scored, "good"))


def test_what_is_below_the_oracle_is_told_otherwise_too():
    """By hand: the interval of one has to hold the value of the other, on either side; of an exact one, that value."""

    def told(value, low, high):
        never = {"oracle": dict.fromkeys(evaluation.TO_ORACLE, Estimate(0.5, 0.4, 0.6, 9))}
        mine = dict.fromkeys(evaluation.TO_ORACLE, Estimate(value, low, high, 9))
        return len(evaluation.reached({"before": {}, "x": mine} | never, "x").further)

    assert told(0.55, 0.45, 0.65) == told(0.45, 0.35, 0.5) == 0
    assert told(0.65, 0.45, 0.85) == told(0.35, 0.15, 0.55) == 4, "outside the oracle's"
    assert told(0.55, 0.51, 0.59) == told(0.45, 0.44, 0.46) == 4, "the oracle is outside its own"
    assert told(0.5, math.nan, math.nan) == 0
    assert told(0.51, math.nan, math.nan) == 4


def test_a_model_that_says_yes_to_all_is_not_blamed_for_it_twice():
    """Where no oracle was asked, "is this C?" may get as many a yes as it got before on pictures of others."""

    def told(value, never=None):
        before = {"kept: is this C? no": Estimate(0.7, 0.6, 0.8, 9)}
        scores = {"before": before, "x": {"leak: claimed": Estimate(value, 0, 1, 9)}}
        if never is not None:
            scores["oracle"] = {"leak: claimed": Estimate(never, 0, 1, 9)}
        return [each for each in evaluation.failures(scores, "x") if "says yes" in each]

    assert not told(0.3)
    assert told(0.31) == [
        'says yes to "is this C?" on 31.0% of its pictures (at most 30.0%; before, on those of others, 30.0%)'
    ]
    assert not told(0.1, never=0.1)
    assert told(0.11, never=0.1)
    assert not told(0.05, never=0.0)


def test_no_more_sentences_are_asked_for_than_an_oracle_says():
    def told(value, never=None):
        scores = {"before": {}, "x": {"form: well-formed": Estimate(value, 0, 1, 9)}}
        if never is not None:
            scores["oracle"] = {"form: well-formed": Estimate(never, 0, 1, 9)}
        return [each for each in evaluation.failures(scores, "x") if "sentences" in each]

    assert told(0.79) == ["79.0% of the answers about it are sentences"]
    assert told(0.64, never=0.65)
    assert told(0.79, never=0.9)
    assert not (told(0.8) or told(0.65, never=0.65) or told(0.8, never=0.9))
