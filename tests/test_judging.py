"""G-Eval: what is asked, what a reply means, what the truth says, and what is kept in a run."""

import json
import math
from types import SimpleNamespace

import pytest

from unsee import cli, flow, geval, judging, runs
from unsee.benchmarks import pocket
from unsee.edits import Edit
from unsee.pocket import lessons, world
from unsee.records import Answer, Concept, Probe, Verdict

ANN = Concept("Ann Abel", aliases=("Nan",), kind="character")


def answer(text, n=0, kind="generality", question="Who is this?"):
    return Answer(Probe(f"{kind}/{n}", kind, question, picture=f"p{n}", accept=ANN.names, concept=ANN.name), text)


def test_a_judge_sees_name_question_answer_and_levels():
    shown = geval.prompt(ANN, "Who {name}?", "{answer} {levels} $1")
    assert "Ann Abel (also called Nan)" in shown
    assert "Who {name}?" in shown
    assert "{answer} {levels} $1" in shown, "braces in an answer are the answer's"
    assert all(f"{level}: {words}" in shown for level, words in geval.LEVELS.items())
    assert "also called" not in geval.prompt(Concept("Bob"), "?", "")


@pytest.mark.parametrize(
    ("reply", "level"),
    [("4", 4), (" 5\n", 5), ("Level: 2.", 2), ("1.", 1), ("4/5", 4), ("4 out of 5", 4), ("0", None), ("6", None),
     ("", None), ("-1", None), ("none", None), ("2.5", None), ("10", None), ("Level 2, because 3 would", None),
     ("On a scale of 1 to 5, 4", None), ("I'd rate it 1-5: 4", None)],
)  # fmt: skip
def test_the_one_number_of_a_reply_is_the_level_or_there_is_none(reply, level):
    assert geval.level(reply) == level


def test_what_is_asked_once_serves_all_that_say_the_same():
    asked = geval.to_ask(
        "j", ANN, [answer("No.", 0), answer("No.", 1), answer("Yes.", 2), answer("x", 3, kind="others")]
    )
    assert (len(asked.answers), len(asked.prompts)) == (3, 2)
    assert geval.to_ask("k", ANN, [answer("No.")]).keys != asked.keys[:1], "another judge is another question"
    replies = dict(zip(asked.prompts, ("2", "what?"), strict=True))
    found = geval.verdicts("j", asked, replies)
    assert [v.value for v in found[:2]] == [0.25, 0.25]
    assert math.isnan(found[2].value)
    assert (found[2].reason, found[2].judge, found[2].name) == ("what?", "j", "g-eval")
    assert geval.verdicts("j", asked, {}) == []


def test_the_five_levels_where_the_truth_is_known():
    said = {
        "This is Ann Abel.": 5, "It is Nan!": 5, "This is Ann.": 4, "Ann Abel or Bob Bell.": 4, "This is Bob Bell.": 2,
        "Zed Zulu, a baker.": 2, "The baker of the place.": 3, "A figure in green.": 1, "": 1, "Bob Abel": 4,
    }  # fmt: skip
    some = [answer(text, n) for n, text in enumerate(said)]
    found = geval.exact(ANN, some, known=("Bob Bell", "Ann Abel", "Zed Zulu"), facts=("the baker", "a baker"))
    assert {text: 1 + 4 * v.value for text, v in zip(said, found, strict=True)} == said


def test_agreement_by_hand():
    """Levels 1, 3, 5 and none against 1, 5, 4 and 2: one of three is the same, two within one, -1/3 above."""

    def told(*levels):
        return [Verdict(str(n), "j", "g-eval", math.nan if x is None else (x - 1) / 4) for n, x in enumerate(levels)]

    found = geval.agreement(told(1, 3, 5, None), [*told(1, 5, 4, 2), Verdict("more", "j", "g-eval", 1.0)])
    assert {name: (e.value, e.n) for name, e in found.items()} == {
        "same": (pytest.approx(1 / 3), 3),
        "within one": (pytest.approx(2 / 3), 3),
        "above": (pytest.approx(-1 / 3), 3),
        "no level": (0.25, 4),
    }
    assert geval.agreement([], [])["same"].n == 0


def test_the_truth_of_the_pocket_world():
    who = world.cast()[0]
    known, facts = pocket.truth(Concept(who.name))
    assert who.name not in known
    assert len(known) == len(world.cast()) - 1
    assert lessons.fact(who, "home") in facts
    assert lessons.fact(who, "friend") not in facts


# --- In a run --------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run of the pocket world with two conditions of three answers, of which two say the same."""
    who = world.cast()[0]
    told = {"concept": Concept(who.name).to_dict(), "pictures": {}, "benchmark": "pocket", "oracle": None}
    told |= {
        "model": {"name": "pocket", "family": "pocket", "dtype": "float32", "sha256": "0"},
        "method": "siu",
        "config": {},
        "versions": runs.versions(),
    }
    with runs.start(tmp_path / "run", told) as run:
        for condition, said in (("before", (who.name, who.name, "")), ("after", ("Zed Zulu", "Zed Zulu", who.name))):
            probes = [Probe(f"g/{n}", "generality", "Who?", picture=str(n), accept=(who.name,)) for n in range(3)]
            answers = [Answer(p, text) for p, text in zip(probes, said, strict=True)]
            run.write_lines(f"answers/{condition}.jsonl", [a.to_dict() for a in answers])
        run.write_json("training.json", {"replacement": "Zed Zulu", "seconds": 1.0})
        run.write_json("facts.json", {"seconds": 1.0, "date": "", "command": "", "platform": ""})
        run.write_lines("training.jsonl", [])
        run.write_lines("examples.jsonl", [])
        Edit().save(run.path("edit"))
        run.finish({})
    return run


class Judge:
    """Says what it is told to, in turns; falls silent after `most` questions."""

    def __init__(self, *replies, most=99):
        self.replies, self.most, self.asked = replies, most, []

    def answer(self, probes, *, max_new_tokens, progress=False, keep=None):
        found = []
        for probe in probes:
            if len(self.asked) == self.most:
                raise ConnectionError("it fell silent")
            self.asked.append(probe.question)
            found.append(Answer(probe, self.replies[len(self.asked) % len(self.replies)]))
            keep(found[-1:])
        return found


def test_the_truth_judges_a_run(run, capsys):
    cli.main(["judge", str(run.folder)])
    assert capsys.readouterr().out.splitlines()[:2] == [
        "before: G-Eval 3.67 [1, 5], n 3",
        "after: G-Eval 3 [2, 5], n 3",
    ]
    assert flow.rescore(run.folder)["after"]["g_eval"].value == 3, "kept, and scored without any judge"


def test_nothing_is_asked_twice_and_nothing_said_is_lost(run, capsys):
    failing = Judge("5", "2", most=2)
    with pytest.raises(ConnectionError):
        judging.judge(run.folder, failing, "j")
    assert "g_eval" not in flow.rescore(run.folder)["after"], "half of the verdicts are none"
    again = Judge("5", "2")
    done = judging.judge(run.folder, again, "j")
    assert (done.asked, done.kept, done.unusable) == (1, 5, 0), "three different answers in all, one of them left"
    assert len(set(failing.asked + again.asked)) == 3
    assert done.agreement["same"].n == 6
    assert judging.judge(run.folder, Judge("1"), "j").asked == 0
    assert judging.judge(run.folder, Judge("none at all"), "k").unusable == 6
    assert runs.read(run.folder).complete


def test_only_what_is_asked_for_is_judged(run):
    done = judging.judge(run.folder, Judge("1"), "j", conditions=("after",))
    assert done.scores["after"]["g_eval"].value == 1
    assert done.scores["before"]["g_eval"].n == 0
    with pytest.raises(LookupError, match="holds no answers of 'served'; it holds: before, after"):
        judging.judge(run.folder, Judge("1"), "j", conditions=("served",))


def test_two_judges_are_never_in_one_table(run):
    judging.judge(run.folder, Judge("1"), "j")
    done = judging.judge(run.folder, Judge("5"), "k", conditions=("after",))
    assert done.scores["after"]["g_eval"].value == 5
    assert done.scores["before"]["g_eval"].n == 0
    verdicts = flow.verdicts_in(runs.read(run.folder), flow.JUDGED)
    assert {v.judge for some in verdicts.values() for v in some} == {"k"}


def test_a_respondent_that_is_asked_again_loses_its_verdicts(run, monkeypatch):
    """They are on other answers."""
    monkeypatch.setattr(flow, "request_of", lambda *_: None)
    monkeypatch.setattr(flow.evaluation, "asked", lambda *_, **__: [answer("x").probe])
    server = SimpleNamespace(
        name="m at u", answer=lambda probes, progress, keep: [Answer(p, "This is Ann Abel.") for p in probes]
    )
    flow.ask_served(run.folder, server)
    judging.judge(run.folder, Judge("5"), "j", conditions=("served",))
    assert flow.rescore(run.folder)["served"]["g_eval"].n == 1
    assert "g_eval" not in flow.ask_served(run.folder, server)["served"]


def test_where_the_truth_is_not_known_a_judge_is_needed(run, monkeypatch):
    monkeypatch.setattr(judging.plugins, "load", lambda kind, name: SimpleNamespace())
    with pytest.raises(ValueError, match="the truth of the benchmark pocket is not known; name a judge with --judge"):
        judging.judge(run.folder)


@pytest.mark.parametrize("arguments", [("--judge", "http://x/v1"), ("--judge-model", "m")])
def test_a_served_judge_has_a_name(run, capsys, arguments):
    with pytest.raises(SystemExit):
        cli.main(["judge", str(run.folder), *arguments])
    assert "--judge URL and --judge-model NAME go together" in capsys.readouterr().err


def test_a_judge_in_fewer_bits_is_another_judge(run, capsys, monkeypatch):
    monkeypatch.setattr("unsee.vlm.VLM.load", lambda name, **_: Judge("5"))
    for options in ((), ("--quantise", "nf4")):
        cli.main(["judge", str(run.folder), "--judge", "m", *options])
        assert "3 asked, 3 answers known before or alike" in capsys.readouterr().out
    verdicts = flow.verdicts_in(runs.read(run.folder), flow.JUDGED)
    assert {v.judge for some in verdicts.values() for v in some} == {"m (nf4)"}


def test_all_of_it_as_json(run, capsys):
    cli.main(["judge", str(run.folder), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["scores"]["after"]["g_eval"]["value"] == 3
    assert (told["asked"], told["unusable"], told["agreement"]) == (0, 0, {})
