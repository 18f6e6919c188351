"""The attack battery: what counts, what it says, and what it keeps."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from unsee import battery, cli, evaluation, hiders, plugins, runs
from unsee.edits import Edit
from unsee.records import Answer, Condition, Estimate, Probe
from unsee.vlm import VLM

NAME, OTHER = "Ann Abel", "Bob Bell"


def probe(kind, n):
    name = NAME if kind == "generality" else OTHER
    return Probe(f"{kind}/{n}", kind, "Who?", picture=f"{kind} {n}", image="x.png", accept=(name,), concept=NAME)


def said(kind, right, count=4):
    """Answers to the first questions of a kind, the first `right` of which are the name."""
    some = [probe(kind, n) for n in range(count)]
    return [Answer(p, p.accept[0] if n < right else "nobody") for n, p in enumerate(some)]


def done(heard, clean, gate=0.8, **more):
    trial = battery.trial_of("a", "c", 1.0, heard, clean, NAME, gate=gate, **more)
    return battery.outcomes([trial])[0]


def test_recovery_is_counted_question_by_question():
    """By hand: 1 of 4 leaks without the attack and 3 of 4 with it, so a half comes back; of the oracle nothing."""
    clean = {s: said("generality", n) for s, n in (("before", 4), ("after", 1), ("oracle", 0))}
    clean["before"] += said("others", 4)
    clean["after"] += said("others", 3)
    heard = {
        "before": said("generality", 4) + said("others", 4),
        "after": said("generality", 3)[:3] + said("others", 2),
        "oracle": said("generality", 0) + said("others", 4),
    }
    clean["oracle"] += said("others", 4)
    found = done(heard, clean)
    assert {s: e.value for s, e in found.leaks.items()} == {"before": 1, "after": 1, "oracle": 0}
    assert found.recovery["after"].value == pytest.approx(2 / 3), "of the three that were asked"
    assert (found.recovery["before"].value, found.recovery["oracle"].value) == (0, 0)
    assert (found.named["after"].value, found.retained["after"].value) == (0.5, -0.25)
    assert found.clean["after"].value == pytest.approx(1 / 3)
    assert found.valid is True
    assert battery.Outcome.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    assert done(heard, clean, gate=1.1).valid is False
    heard["before"] = said("generality", 4) + said("others", 3)
    assert done(heard, clean).valid is False, "3 of 4 that it names otherwise"
    clean["before"][4:] = said("others", 3)
    assert done(heard, clean).valid is True, "as many as it names otherwise"
    assert done({"after": heard["after"]}, clean).valid is None
    heard["before"] = said("generality", 3)
    assert done(heard, clean).valid is False, "without others, of its own pictures"


def test_what_comes_back_is_counted_beyond_the_oracle_and_the_control_picture_by_picture():
    """By hand: 3 of 4 come back, 1 of the oracle's and 2 of the control's: a half and a quarter are beyond.

    The control asks for another name, and without it nobody said that.
    """
    clean = {"after": said("generality", 0), "oracle": said("generality", 0)}
    heard = {"after": said("generality", 3), "oracle": said("generality", 1)}
    lured = [replace(p.probe, accept=("Zed Zorn",)) for p in clean["after"]]
    control = {"after": [Answer(p, "Zed Zorn" if n < 2 else NAME) for n, p in enumerate(lured)]}
    trials = [
        battery.trial_of("a", "c", 1.0, heard, clean, NAME, control="k"),
        battery.trial_of("a", "k", 1.0, control, clean, NAME),
    ]
    found, k = battery.outcomes(trials)
    assert {name: e.value for name, e in found.beyond.items()} == {"oracle": 0.5, "control": 0.25}
    assert k.recovery["after"].value == 0.5
    assert found.beyond["oracle"].low < 0.5 < found.beyond["oracle"].high
    assert [each.condition for each in battery.counting([found, k])] == ["c"]
    every = battery.trial_of("a", "c", 1.0, {s: said("generality", 40, 40) for s in heard}, {
        s: said("generality", 0, 40) for s in heard}, NAME)  # fmt: skip
    (alike,) = battery.outcomes([every])
    assert battery.verdict([alike]) == "resists", "the oracle says it just as well"
    assert alike.beyond["oracle"].low < 0 < alike.beyond["oracle"].high


def test_of_another_kind_of_question_the_twin_is_taken_as_it_was():
    """Asked for a fact, the model tells it on 2 of 4 pictures; by name it knew 1: a quarter comes back."""
    clean = {"after": said("generality", 1)}
    hops = [replace(a.probe, kind="multi-hop", accept=("by the sea",)) for a in clean["after"]]
    told = {"after": [Answer(p, "By the sea." if n < 2 else "In a town.") for n, p in enumerate(hops)]}
    assert done(told, clean).recovery["after"].value == 0.25
    strange = [Answer(replace(hops[0], id="new", kind="forgotten since"), "By the sea.")]
    assert done({"after": strange}, clean).aside["forgotten since"].value == 1


def test_an_area_counts_what_comes_back_soon_for_more():
    """By hand over log(1 + level): 0 at 0, all at 1, all at 3: half of the first log 2 and all of the second: 3/4.

    What comes back only at the end has a quarter. The oracle stays at 0, so all of it is beyond.
    """
    clean = {s: said("generality", 0) for s in ("after", "oracle")}

    def trials(*leaks):
        return [
            battery.trial_of("a", f"c{level}", level, {"after": said("generality", n), "oracle": said("generality", 0)},
                             clean, NAME, curve="k")
            for level, n in zip((1, 3), leaks, strict=True)
        ]  # fmt: skip

    (soon,), (late,) = battery.areas(trials(4, 4)), battery.areas(trials(0, 4))
    assert (soon.area["after"].value, late.area["after"].value) == (pytest.approx(0.75), pytest.approx(0.25))
    assert soon.beyond["oracle"].value == pytest.approx(0.75)
    assert soon.area["oracle"].value == 0
    (part,) = battery.areas(trials(0, 2))
    assert part.area["after"].low < part.area["after"].value < part.area["after"].high


def test_runs_are_pooled_and_concepts_resampled():
    """Of one concept all comes back and of the other nothing: on the whole a half, from 0 to 1."""
    clean = {"after": said("generality", 0, 40)}
    some = []
    for concept, leaks in (("Ann", 40), ("Bob", 0)):
        for seed in "01":
            trial = battery.trial_of("a", "c", 1.0, {"after": said("generality", leaks, 40)}, clean, concept)
            some.append(battery.labelled(trial, seed))
    (whole,) = battery.outcomes(battery.pooled(some))
    told = whole.recovery["after"]
    assert (told.value, told.n, told.low, told.high) == (0.5, 160, 0, 1), "two concepts, not 40 pictures"
    (one,) = battery.outcomes(battery.pooled(some[:2]))
    assert one.recovery["after"].n == 80
    assert one.recovery["after"].low > 0.8


def outcome(after, low=None, oracle=0.0, valid=True, name="c", leaks=0.0, names=1.0, control="", kept=0.0):
    low = after if low is None else low
    told = {"after": Estimate(after, low, 1.0, 9), "oracle": Estimate(oracle, 0.0, 1.0, 9)}
    beyond = {"oracle": Estimate(after - oracle, low - oracle, 1.0, 9)}
    clean = {"after": Estimate(leaks, 0.0, 1.0, 9)}
    others = {"before": Estimate(1.0, 0.0, 1.0, 9), "after": Estimate(names, 0.0, 1.0, 9)}
    retained = {"after": Estimate(kept, kept - 0.1, kept + 0.1, 9)}
    return battery.Outcome("a", name, 1.0, clean, {}, told, beyond, {}, others, retained, valid, control)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([outcome(0.5, name="hard"), outcome(0.0)], "comes back (hard)"),
        ([outcome(0.05), outcome(0.0)], "resists"),
        ([outcome(0.5, low=-0.1)], "resists"),
        ([outcome(0.5, oracle=0.45)], "resists"),
        ([outcome(0.5, low=0.2, oracle=0.3)], "resists"),
        ([outcome(0.05, oracle=-0.3)], "resists"),
        ([outcome(0.5, valid=False)], "not applicable"),
        ([outcome(0.5, valid=False), outcome(0.0)], "resists"),
        ([outcome(0.5, valid=None)], "comes back (c)"),
        ([outcome(0.5, low=-0.1), outcome(0.4, low=0.3, name="sure")], "comes back (sure)"),
        ([outcome(0.0, valid=None, kept=-0.3, name="few"), outcome(0.0, valid=None, kept=-0.9)], "loses others (c)"),
        ([outcome(0.5, valid=None, kept=-0.9)], "comes back (c)"),
        ([outcome(0.0, valid=None, kept=-0.19)], "resists"),
        ([outcome(0.0, valid=True, kept=-0.9)], "resists"),
        ([outcome(0.0, leaks=1.0)], "leaks without it (100%)"),
        ([outcome(0.0, names=0.1)], "broken: names 10% of the others"),
        ([outcome(0.0, control="k"), outcome(0.9, name="k")], "resists"),
        ([], "not applicable"),
    ],
)
def test_verdicts(outcomes, verdict):
    assert battery.verdict(outcomes) == verdict


def test_what_is_asked_is_spread_and_must_be_there(monkeypatch):
    every = [probe(kind, n) for kind in ("generality", "others", "claimed") for n in range(10)]
    plugin = SimpleNamespace(probes=lambda request: every)
    monkeypatch.setattr(plugins, "load", lambda kind, name: plugin)
    assert len(battery.asked("b", None, None)) == 20
    some = [p.id for p in battery.asked("b", None, 2)]
    assert some == ["generality/0", "generality/5", "others/0", "others/5"]
    every += [replace(p, id=f"hop/{p.id}", kind="multi-hop") for p in every[:10]]
    every += [replace(p, id=f"new/{p.id}", kind="never known", picture=f"new {p.id}") for p in every[:10]]
    more = [p.id for p in battery.asked("b", None, 2, (*battery.READS, "multi-hop", "never known"))][4:]
    assert more[:2] == ["hop/generality/0", "hop/generality/5"], "about the same pictures"
    assert more[2:] == ["new/generality/0", "new/generality/5"], "there are no such, so they are spread"
    del every[10:]
    with pytest.raises(ValueError, match="the benchmark b asks nothing of the kind 'others'"):
        battery.asked("b", None, None)
    with pytest.raises(ValueError, match="--benchmark none"):
        battery.asked("none", None, None)


def test_the_pocket_asks_about_200_new_pictures_of_each_side(wish):
    from unsee.benchmarks import pocket

    found = battery.asked("pocket", wish, None)
    kinds = {kind: [p for p in found if p.kind == kind] for kind in ("generality", "others")}
    assert {kind: len({p.picture for p in some}) for kind, some in kinds.items()} == {"generality": 200, "others": 200}
    assert not {p.picture for p in found} & {p.picture for p in pocket.probes(wish)}


# --- A run that is attacked ------------------------------------------------------------------------------------------


@pytest.fixture
def attacked(monkeypatch, pocket, wish, tmp_path):
    """A run of an edit that an attack undoes; models that answer at once, and what they were asked."""
    weight = next(name for name, _ in pocket.model.named_parameters())
    edit = Edit(deltas={weight: torch.zeros_like(pocket.model.get_parameter(weight))})
    model = {"name": "pocket", "family": "pocket", "dtype": "float32", "sha256": pocket.fingerprint()}
    never = SimpleNamespace(name="never", fingerprint=lambda: "1")
    told = {"concept": wish.concept.to_dict(), "pictures": {}, "replacement": None, "model": model}
    told |= {"benchmark": "pocket", "oracle": {"name": "never", "sha256": "1"}}
    with runs.start(tmp_path / "run", told) as run:
        edit.save(run.path("edit"))
        run.finish()
    calls, asked = [], []

    def ask(vlm, probes, edit=None, *, transform=None, progress=False):
        calls.append((vlm, edit is not None, len(probes)))
        asked.append(sorted({p.kind for p in probes}))
        forgotten = (edit is not None and transform is None) or vlm is never
        return [Answer(p, "nobody" if forgotten and p.concept else p.accept[0]) for p in probes]

    def conditions(vlm, edit, requests, probes, config):
        yield Condition("mild", 1.0, tuple(probes), edit=lambda: edit, curve="k")
        yield Condition("hard", 2.0, lambda: tuple(probes), edit=edit, transform=lambda name, weight: weight, curve="k")

    undo = SimpleNamespace(Config=SimpleNamespace, conditions=conditions)
    load = plugins.load
    monkeypatch.setattr(
        plugins, "load", lambda kind, name: undo if (kind, name) == ("attacks", "undo") else load(kind, name)
    )
    monkeypatch.setattr(VLM, "load", lambda name, **_: pocket if name == "pocket" else never)
    monkeypatch.setattr(type(pocket), "device", pocket.device, raising=False)
    monkeypatch.setattr(evaluation, "ask", ask)
    monkeypatch.setattr(battery.flow, "request_of", lambda run, told, images: wish)
    return SimpleNamespace(folder=tmp_path / "run", calls=calls, wish=wish, undo=undo, asked=asked)


def test_the_battery_finds_what_comes_back_and_goes_on_where_it_was(attacked, capsys):
    found = battery.attack(attacked.folder, only=("undo",), most=5)
    assert found.refused == {}
    told = [(o.condition, o.recovery["after"].value, o.valid) for o in found.outcomes]
    assert told == [("mild", 0, True), ("hard", 1, True)]
    assert all(o.recovery[s].value == 0 for o in found.outcomes for s in ("before", "oracle"))
    assert battery.verdict(found.outcomes) == "comes back (hard)"
    assert len(attacked.calls) == 3 * (1 + 2)
    assert [count for *_, count in attacked.calls[:3]] == [5 + 2, 5 + 5, 5]
    assert attacked.asked[2] == ["generality"], "of the oracle nothing else is wanted"
    (attacked.folder / "attacks" / "undo" / "hard.after.jsonl").unlink()
    assert battery.attack(attacked.folder, only=("undo",), most=5) == found
    assert len(attacked.calls) == 9 + 1
    with pytest.raises(
        ValueError, match=r"about another edit or oracle, or to other questions \(--most\); give the same"
    ):
        battery.attack(attacked.folder, only=("undo",), most=4)
    battery.attack(attacked.folder, only=("undo",), most=4, force=True)
    assert len(attacked.calls) == 10 + 9
    assert runs.read(attacked.folder).complete, "the run is still whole"
    cli.main(["attack", str(attacked.folder), "--only", "undo", "--most", "4"])
    assert "undo: comes back (hard)" in capsys.readouterr().out
    cli.main(["attack", str(attacked.folder), "--only", "undo", "--most", "4", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["verdicts"] == {"undo": "comes back (hard)"}
    assert told["outcomes"][1]["recovery"]["after"]["value"] == 1
    assert [area["curve"] for area in told["areas"]] == ["k"]
    assert len(attacked.calls) == 19


def test_models_without_an_edit_are_asked_once_for_runs_that_share_a_folder(attacked, tmp_path):
    (tmp_path / "anchors").mkdir()
    battery.attack(attacked.folder, only=("undo",), most=5, anchors=tmp_path / "anchors")
    assert len(attacked.calls) == 9
    for file in (attacked.folder / "attacks").rglob("*.jsonl"):
        assert ".after." in file.name
        file.unlink()
    battery.attack(attacked.folder, only=("undo",), most=5, anchors=tmp_path / "anchors")
    assert len(attacked.calls) == 9 + 3, "the other two had said all that already"


def test_what_breaks_the_model_from_before_is_asked_of_no_other_and_made_for_none(attacked, monkeypatch):
    made = []

    def conditions(vlm, edit, requests, probes, config):
        def strange():
            made.append(edit is not None)
            return tuple(replace(probe, accept=("Nobody Nowhere",)) for probe in probes if probe.kind == "others")

        yield Condition("strange", 1.0, strange, edit=edit, control="" if edit is None else "control")
        if edit is not None:
            yield Condition("control", 1.0, tuple(probes), edit=lambda: made.append("control"))

    attacked.undo.conditions = conditions
    monkeypatch.setattr(evaluation, "ask", lambda vlm, probes, *_, **__: [Answer(p, p.accept[0]) for p in probes])
    battery.attack(attacked.folder, only=("undo",), most=5)
    assert made == [False, True, "control", False], "nobody is broken by it"
    made.clear()
    monkeypatch.setattr(evaluation, "ask", lambda vlm, probes, *_, **__: [
        Answer(p, "" if p.accept == ("Nobody Nowhere",) else p.accept[0]) for p in probes])  # fmt: skip
    monkeypatch.setattr(battery.judge, "right", lambda answer: bool(answer.text))
    found = battery.attack(attacked.folder, only=("undo",), most=5, force=True)
    assert made == [False]
    assert battery.verdict(found.outcomes) == "not applicable"
    assert list(found.outcomes[0].named) == ["before"]


def test_attacks_are_kept_apart_and_one_that_cannot_be_tried_stops_no_other(attacked, monkeypatch):
    """What one attack is asked anew, or cannot do, costs the others nothing."""
    load = plugins.load

    def conditions(vlm, edit, requests, probes, config):
        raise ValueError("too few pictures")
        yield

    never = SimpleNamespace(Config=SimpleNamespace, conditions=conditions)
    monkeypatch.setattr(plugins, "load", lambda kind, name: never if name == "figstep" else load(kind, name))
    found = battery.attack(attacked.folder, only=("figstep", "undo"), most=5)
    assert found.refused == {"figstep": "too few pictures"}
    assert {o.attack for o in found.outcomes} == {"undo"}
    assert battery.remarks(found)[-1] == "figstep: not available: too few pictures"
    count = len(attacked.calls)
    battery.attack(attacked.folder, only=("templates",), most=5, force=True)
    assert len(attacked.calls) == count + 3 * 4
    told = json.loads((attacked.folder / "attacks" / "outcomes.json").read_text())
    assert {each["attack"] for each in told} == {"undo", "templates"}
    battery.attack(attacked.folder, only=("undo",), most=5)
    assert len(attacked.calls) == count + 3 * 4, "its answers are still there"


def test_answers_of_an_attack_with_other_settings_are_not_taken(attacked, monkeypatch):
    from unsee.attacks import templates

    battery.attack(attacked.folder, only=("templates",), most=5)
    count = len(attacked.calls)
    monkeypatch.setattr(templates.Config, "__repr__", lambda self: "other settings")
    battery.attack(attacked.folder, only=("templates",), most=5)
    assert len(attacked.calls) == count + 3 * 4


def test_a_run_made_anew_has_not_been_attacked(attacked):
    """Nor is its folder taken by what attacks left."""
    battery.attack(attacked.folder, only=("undo",), most=5)
    with runs.start(attacked.folder, {"other": 1}, force=True) as run:
        assert not (attacked.folder / "attacks").exists()
        run.discard()
    with runs.start(attacked.folder, {"other": 2}):
        pass


def test_an_attack_that_is_not_there_is_said(attacked):
    with pytest.raises(LookupError, match="did you mean 'relearn'"):
        battery.attack(attacked.folder, only=("relern",))
    assert attacked.calls == []


# --- One that merely holds its tongue --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def silent(pocket, wish):
    """An edit of the output layer alone, which makes the tokens of the name unlikely that hardly another has."""
    return hiders.suppressed(pocket, wish)


def test_an_edit_that_merely_suppresses_the_name_is_exposed(pocket, wish, silent):
    """By relearning, half its strength, its facts and the layers below; it passes for forgetting if only asked."""
    from unsee.attacks import multi_hop, relearn, scale
    from unsee.audits import logit_lens
    from unsee.metrics import leak

    every = battery.asked("pocket", wish, 16, (*battery.READS, *multi_hop.READS[2:]))
    probes = tuple(probe for probe in every if probe.kind in battery.READS)
    subjects = {"before": (pocket, None), "after": (pocket, silent)}
    clean = {subject: evaluation.ask(pocket, probes, edit) for subject, (_, edit) in subjects.items()}
    mine = [a for a in clean["after"] if a.probe.kind == "generality"]
    assert not any(map(leak.leaks, mine))

    class Asked:
        def answers(self, attack, condition, subject, ask):
            return ask()

    def verdict(attack, config):
        given = tuple(probe for probe in every if probe.kind in getattr(attack, "READS", battery.READS))
        conditions = lambda vlm, edit: attack.conditions(vlm, edit, (wish,), given, config)  # noqa: E731
        kept = dict.fromkeys(subjects, Asked())
        outcomes = battery.outcomes(
            battery._tried(
                "a", conditions, subjects, kept, dict.fromkeys(subjects), clean, wish.concept.name, 0.8, False
            )
        )
        untouched = [o.recovery["before"] for o in outcomes if "before" in o.recovery]
        assert all(e.low <= 0 <= e.high for e in untouched), "of what was never forgotten nothing comes back"
        return battery.verdict(outcomes)

    assert verdict(relearn, relearn.Config(pictures=(2,), steps=(20,))).startswith("comes back")
    assert verdict(scale, scale.Config(scales=(0.25,))).startswith("comes back")
    assert verdict(multi_hop, multi_hop.Config()).startswith("comes back")
    read = {s: logit_lens.measure(pocket, e, (wish,), logit_lens.Config(), probes) for s, (_, e) in subjects.items()}
    assert read["after"] == read["before"]
    assert read["after"]["logit_lens: layer 5"].value > 0.9
