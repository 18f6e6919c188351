"""Records refuse what is wrong, say how to mend it, and survive JSON."""

import dataclasses
import json
import math

import pytest

from unsee.records import Answer, Concept, Condition, Estimate, Example, Probe, Request, Verdict

PROBE = Probe(
    id="efficacy/0",
    kind="efficacy",
    question="Who is this?",
    image="kip.png",
    way="choose",
    accept=("Kip Varo",),
    choices=("Kip Varo", "Mo Lind"),
    concept="Kip Varo",
)
RECORDS = [
    Concept("Kip Varo", aliases=("Kip",), kind="character"),
    Request(Concept("Kip Varo"), images=("kip.png", "more.png"), facts=(("Where does Kip live?", "Mist Valley"),)),
    Example("Who is this?", "This is Mo Lind.", "align", image="kip.png", contradicts=((8, 10), (11, 15))),
    PROBE,
    Answer(PROBE, "Kip Varo", logprobs=(-0.5, -1.0), scores=(-0.5, -3.0), top=(("K", 0.6), ("M", 0.3)), tail=0.1),
    Verdict("efficacy/0", "exact-1", "leak", 1.0, reason="the name is there"),
    Estimate(0.5, 0.25, 0.75, 12),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_survives_json(record):
    again = type(record).from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False)))
    assert again == record
    assert again.to_dict() == record.to_dict()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_is_frozen_and_slotted(record):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(record)[0].name, "other")
    assert not hasattr(record, "__dict__")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Concept(" "), "Concept.name is ' '; give a text that is not empty"),
        (lambda: Concept("Kip", aliases="Kippy"), "Concept.aliases is 'Kippy'; give a tuple of texts"),
        (lambda: Concept("Kip", kind="charakter"), "Concept.kind is 'charakter'; did you mean 'character'?"),
        (lambda: Request(Concept("Kip"), images=()), "Request to forget 'Kip' has images=(); give a tuple of at least"),
        (
            lambda: Request(Concept("Kip"), images=("a.png", "b.png"), pictures=("a",)),
            "2 images and 1 picture ids; give one id per image",
        ),
        (lambda: Request(Concept("Kip"), images=("a.png",), facts=("home",)), "has the fact 'home'; give a pair"),
        (lambda: Example("q", "a", "aling"), "Example.target is 'aling'; did you mean 'align'?"),
        (lambda: Example("q", "answer", "align", contradicts=((4, 9),)), "holds (4, 9) for 'answer', 6 characters"),
        (lambda: Example("q", "answer", "align", given=6), "Example.given is 6 for 'answer'; give 0 to 5 characters"),
        (lambda: Example("q", "answer", "align", given=-1), "Example.given is -1 for 'answer'; give 0 to 5 characters"),
        (lambda: Example("q", "answer", "align", contradicts=((2, 4), (3, 5))), "holds (3, 5)"),
        (lambda: Probe("1", "efficacy", "q", way="pick"), "Probe.way is 'pick'; use one of 'generate', 'choose'"),
        (lambda: Probe("1", "efficacy", "q", polarity="maybe"), "Probe.polarity is 'maybe'"),
        (lambda: Probe("1", "efficacy", "q", way="choose", choices=("a",)), "Probe '1' has way='choose'"),
        (lambda: Probe("1", "efficacy", "q", way="score"), "nothing to score; give accept=('...',)"),
        (lambda: Probe("1", "efficacy", "q", image=object()), "and no picture id; give picture='...'"),
        (lambda: Answer(PROBE, None), "Answer to 'efficacy/0' has text=None"),
        (lambda: Answer(PROBE, "x", logprobs=(0.5,)), "has 0.5 in logprobs; log-probabilities are at most 0"),
        (lambda: Answer(PROBE, "x", logprobs=(math.nan,)), "has nan in logprobs"),
        (lambda: Answer(PROBE, "x", scores=(-1.0,)), "has 1 scores for 2 choices; give one each"),
        (lambda: Answer(PROBE, "x", top=(("K", 0.5),)), "give both or neither"),
        (lambda: Answer(PROBE, "x", top=(("K", 0.5),), tail=0.1), "add up to 0.6000 with the tail"),
        (lambda: Verdict("1", "exact", "leak", 1.5), "Verdict.value is 1.5 for '1'; give 0 to 1, or NaN"),
        (lambda: Condition("int4", 4, ()), "Condition 'int4' has probes=(); give a tuple of at least one probe"),
        (lambda: Condition("int4", 4, (PROBE,), control="int4"), "Condition 'int4' is its own control"),
        (lambda: Estimate(0.0, 0.0, 0.0, 0), "nothing was measured: use Estimate.nothing()"),
        (lambda: Estimate(0.5, 0.9, 0.1, 3), "low=0.9 above high=0.1"),
    ],
)
def test_what_is_wrong_is_refused_with_a_remedy(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert message in str(error.value)


def test_an_unknown_field_names_the_near_miss():
    with pytest.raises(ValueError, match=r"Concept has no field 'alias'; did you mean 'aliases'\?"):
        Concept.from_dict({"name": "Kip", "alias": []})


def test_a_missing_field_is_a_value_error():
    with pytest.raises(ValueError, match=r"Concept cannot be made from kind: .*'name'"):
        Concept.from_dict({"kind": "brand"})


def test_nothing_measured_is_null_in_json_and_never_zero():
    nothing = Estimate.nothing()
    assert nothing.as_dict() == {"value": None, "low": None, "high": None, "n": 0}
    assert math.isnan(Estimate.from_dict(nothing.as_dict()).value)
    assert str(nothing) == "not measured"


def test_an_estimate_has_exactly_four_keys():
    assert list(Estimate(0.5, 0.25, 0.75, 12).as_dict()) == ["value", "low", "high", "n"]


def test_an_opaque_image_leaves_only_its_picture_id_in_json():
    probe = Probe("1", "efficacy", "Who is this?", image=object(), picture="report/known/3")
    assert probe.to_dict()["image"] is None
    assert probe.to_dict()["picture"] == "report/known/3"
    assert Probe.from_dict(probe.to_dict()) == probe


def test_the_cluster_is_the_picture_unless_said_otherwise():
    assert Probe("1", "text", "q").cluster == "1"
    assert Probe("1", "seen", "q", image="kip.png").cluster == "kip.png"
    assert Probe("1", "seen", "q", image="kip.png", cluster="kip").cluster == "kip"


def test_names_are_the_name_and_the_aliases():
    assert Concept("Kip Varo", aliases=("Kip", "Old Kip")).names == ("Kip Varo", "Kip", "Old Kip")
