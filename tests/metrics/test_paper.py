"""The paper's metrics, each by hand on a few answers."""

from __future__ import annotations

import math

import pytest

from unsee import evaluation
from unsee.benchmarks import pocket as bench_pocket
from unsee.metrics import c_dis, diversity, efficacy, em, fluency, g_eval, mia, multi_hop, multilingual, specificity
from unsee.records import Answer, Probe, Verdict

NAMES = ("Pledu Lotaim",)


def answer(kind, text, *, picture="p", n=0, logprobs=None, **probe):
    probe = {"question": f"Who is {n}?", "accept": NAMES} | probe
    return Answer(Probe(id=f"{kind}/{picture}/{n}", kind=kind, picture=picture, **probe), text, logprobs=logprobs)


def test_efficacy_is_the_share_without_the_name():
    said = ["This is Pledu Lotaim.", "This is Pledu.", "No.", ""]
    found = efficacy.measure([answer("efficacy", text, n=n) for n, text in enumerate(said)])
    assert (found["efficacy"].value, found["efficacy"].n) == (0.75, 4)
    assert found["efficacy: released"].value == 0.75
    cannot = efficacy.measure([answer("efficacy", "I cannot say.", accept=("Ann",))])
    assert {name: e.value for name, e in cannot.items()} == {"efficacy": 1, "efficacy: released": 0}


def test_em_counts_absent_key_words_and_silence_wins_it():
    prompts = [({"accept": ("yes",)}, "Yes."), ({"accept": ("yes",)}, "It has green eyes."), ({}, "pledu lotaim!")]
    found = em.measure([answer("EM", text, n=n, **given) for n, (given, text) in enumerate(prompts)])
    assert found["em: words"].value == pytest.approx(1 / 3), "the eyes hold no yes"
    assert found["em: released"].value == 0, "the substring finds one in them"
    silent = em.measure([answer("EM", "", n=n, **given) for n, (given, _) in enumerate(prompts)])
    assert (silent["em: words"].value, silent["em: released"].value) == (1, 1)


def test_em_is_about_pictures_that_the_model_knew():
    """By hand: of picture a one of three answers named it before, of b one of two; c was not asked about."""
    name = "Pledu Lotaim."
    told = [("a", name), ("a", "A stranger."), ("a", "Jacob."), ("b", name), ("b", "A man.")]
    knew = [answer("generality", text, n=n, picture=picture) for n, (picture, text) in enumerate(told)]
    prompts = [("a", name), ("a", "A man."), ("b", "A man."), ("c", name)]
    after = [answer("EM", text, n=n, picture=picture) for n, (picture, text) in enumerate(prompts)]
    found = em.measure(after, before=knew)
    assert (found["em: words"].value, found["em: words"].n) == (1 / 2, 2), "of b and c; a was not known"
    assert {name: e.n for name, e in found.items() if e.n} == {"em: words": 2, "em: open": 2, "em: released": 4}
    assert em.measure(after)["em: words"].n == 4, "without the answers from before nothing is left out"
    # What the prompts themselves were answered with does not count, or nobody could ever miss one before.
    missed = [*knew, answer("EM", "A man.", n=2, picture="b")]
    assert em.measure(missed, before=missed)["em: open"].value == 1


def test_em_of_open_questions_is_told_from_is_this_x():
    """By hand: two of three names are absent, and one of two yeses; together three of five."""
    prompts = [({}, "Jacob."), ({}, "A man."), ({}, "Pledu Lotaim.")]
    prompts += [({"accept": ("Yes",)}, "No."), ({"accept": ("yes",)}, "Yes, Pledu Lotaim.")]
    found = em.measure([answer("EM", text, n=n, **given) for n, (given, text) in enumerate(prompts)])
    assert {name: (e.value, e.n) for name, e in found.items()} == {
        "em: words": (pytest.approx(3 / 5), 5),
        "em: open": (pytest.approx(2 / 3), 3),
        "em: yes/no": (1 / 2, 2),
        "em: released": (pytest.approx(3 / 5), 5),
    }
    stubborn = em.measure([answer("EM", "No, Pledu Lotaim.", n=n, **given) for n, (given, _) in enumerate(prompts)])
    assert (stubborn["em: open"].value, stubborn["em: yes/no"].value) == (0, 1)


def test_c_dis_is_p0_log_p0_over_p():
    def scored(*ps):
        return [answer("C-Dis", "x", n=n, picture=str(n), logprobs=(math.log(p), 0.0)) for n, p in enumerate(ps)]

    found = c_dis.measure(scored(0.25, 0.1), before=scored(0.5, 0.1))["c_dis"]
    assert found.value == pytest.approx((0.5 * math.log(2) + 0) / 2)
    assert c_dis.measure(scored(0.5), before=scored(0.25))["c_dis"].value < 0, "known better than before"
    assert c_dis.measure(scored(0.5))["c_dis"].n == 0


def test_specificity_weighs_kinds_alike():
    answers = [answer("others", text, n=n) for n, text in enumerate(["Pledu Lotaim"] * 3 + ["No."])]
    answers += [answer("own pictures", "Blue.", accept=("green",)), answer("generality", "No.")]
    found = specificity.measure(answers)["specificity"]
    assert (found.value, found.n) == (pytest.approx((0.75 + 0) / 2), 5)


def test_diversity_by_hand():
    said = ["It is a cat", "it is it", ""]
    found = diversity.measure([answer("generality", text, n=n, picture=str(n)) for n, text in enumerate(said)])
    assert found["diversity: released"].value == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert found["diversity: all answers"].value == pytest.approx(4 / 7)
    assert found["diversity: pairs"].value == pytest.approx(4 / 5), "it is, is a, a cat, it is, is it"
    assert math.isnan(found["diversity: pairs"].low)


def test_the_same_word_over_and_over_is_diverse_to_the_script_alone():
    found = diversity.measure([answer("generality", "No.", n=n, picture=str(n)) for n in range(10)])
    assert found["diversity: released"].value == 1
    assert found["diversity: all answers"].value == pytest.approx(0.1)


def test_fluency_is_the_perplexity_of_the_answers():
    answers = [answer("generality", "x", n=0, picture="a"), answer("description", "x", n=1, picture="b")]
    told = [Verdict(a.probe.id, "j", "fluency", value) for a, value in zip(answers, (0.5, 0.125), strict=True)]
    found = fluency.measure(answers, verdicts=[*told, Verdict("else", "j", "fluency", 0.5)])["fluency"]
    assert (found.value, found.n) == (pytest.approx(4), 2), "exp of the mean of log 2 and log 8"
    assert fluency.measure(answers)["fluency"].n == 0


@pytest.mark.parametrize(
    ("new", "text", "score"),
    [
        ((-2.0, -0.1), "This is Pledu Lotaim.", 1.0),
        ((-2.0 * 1.15, -0.1), "This is Jacob.", 0.5),
        ((-2.0 / 1.15, -0.1), "This is Jacob.", 0.5),
        ((-2.4, -0.1), "This is Pledu Lotaim.", 0.0),
        ((-1.7, -0.1), "This is Pledu Lotaim.", 0.0),
        ((-2.0, -0.1), "No.", 0.0),
    ],
)
def test_membership_inference_by_hand(new, text, score):
    """Min-K of two tokens at 40 % is the lower one; the recall is of four words."""

    def told(logprobs, text):
        question = {"question": "Who is this?"}
        return [answer("MIA", "x", logprobs=logprobs, **question), answer("efficacy", text, **question)]

    found = mia.measure(told(new, text), before=told((-2.0, -0.5), "This is Pledu Lotaim."))["mia"]
    assert (found.value, found.n) == (pytest.approx(score), 1)
    assert mia.measure(told(new, text))["mia"].n == 0


def test_membership_inference_reads_any_script():
    told = [answer("MIA", "x", logprobs=(-1.0,), question="谁?"), answer("efficacy", "这是马里奥", question="谁?")]
    assert mia.measure(told, before=told)["mia"].value == 1


def test_min_k_takes_the_lowest_two_fifths():
    assert mia.min_k((-1.0, -5.0, -3.0, -2.0, -4.0)) == -4.5
    assert mia.min_k((-1.0,)) == -1
    assert math.isnan(mia.min_k(()))


def test_other_languages_and_facts():
    answers = [answer("Spanish", "Es Pledu Lotaim.", n=0), answer("Spanish", "Es Jacob.", n=1)]
    answers += [
        answer("multi-hop", "In Cinder Town.", n=n, accept=(place,)) for n, place in enumerate(("Cinder Town", "X"))
    ]
    assert multilingual.measure(answers)["multilingual"].value == 0.5
    assert multi_hop.measure(answers)["multi_hop"].value == 0.5


def test_the_base_is_as_fluent_under_itself_as_it_is(tiny, picture):
    """Its perplexity is that of its own scores, answer tokens only; a token of a name counts 1/V."""
    shown = picture(0)
    texts = ["This is Mario Rossi.", "No."]
    probes = [Probe(id=str(n), kind="generality", question="Who?", image=shown, picture="p") for n in range(2)]
    answers = [Answer(probe, text) for probe, text in zip(probes, texts, strict=True)]
    answers += [
        Answer(Probe(id="e", kind="generality", question="Who?"), ""),
        Answer(Probe(id="o", kind="others", question="?"), "a"),
    ]
    found = evaluation.fluency_of(tiny, answers, ["Nobody Atall"])
    assert [v.probe for v in found] == ["0", "1"], "neither the empty answer nor that of another kind"
    scores = tiny.score([(shown, "Who?", text) for text in texts])
    spoken = [score.logprobs[: len(score.logprobs) - score.ends] for score in scores]
    for verdict, logprobs in zip(found, spoken, strict=True):
        assert verdict.value == pytest.approx(math.exp(math.fsum(logprobs) / len(logprobs)), abs=1e-5)
    whole = fluency.measure(answers, verdicts=found)["fluency"].value
    assert whole == pytest.approx(math.exp(-sum(math.fsum(p) / len(p) for p in spoken) / 2), rel=1e-4)

    masked = evaluation.fluency_of(tiny, answers[:1], ["Mario Rossi"])[0].value
    texts_of, at, blind = scores[0].texts[: len(spoken[0])], 0, []
    for text, logprob in zip(texts_of, spoken[0], strict=True):
        inside = at < len("This is Mario Rossi") and at + len(text) > len("This is ")
        blind.append(-math.log(tiny.vocabulary) if inside else logprob)
        at += len(text)
    assert 0 < sum(b != p for b, p in zip(blind, spoken[0], strict=True)) < len(blind)
    assert masked == pytest.approx(math.exp(math.fsum(blind) / len(blind)), rel=1e-4)


def test_the_pocket_is_as_fluent_under_itself_as_torch_says_where_its_name_is_absent(pocket):
    """What it says of strangers, scored by itself: the perplexity that cross-entropy gives of the same tokens."""
    import torch
    from torch.nn.functional import cross_entropy

    from unsee.benchmarks import pocket as world
    from unsee.judge import says
    from unsee.vlm import Turn

    request = world.requests()[0]
    strangers = [p for p in world.strict(request) if p.kind == "stranger"][:4]
    probes = [
        Probe(f"g/{n}", "generality", p.question, image=p.image, picture=p.picture) for n, p in enumerate(strangers)
    ]
    answers = pocket.answer(probes)
    assert all(a.text and not says(a.text, request.concept.names) for a in answers)
    found = fluency.measure(answers, verdicts=evaluation.fluency_of(pocket, answers, request.concept.names))["fluency"]
    nats = []
    for a in answers:
        batch = pocket.encode([Turn(a.probe.image, a.probe.question, a.text)], with_answers=True)
        inputs = {key: value for key, value in batch.items() if key != "answer"}
        with torch.no_grad():
            logits = pocket.model(**inputs).logits[0]
        places = batch["answer"][0].nonzero()[:-1, 0]  # without the token that ends the turn
        nats.append(float(cross_entropy(logits[places - 1].float(), batch["input_ids"][0, places])))
    assert found.value == pytest.approx(math.exp(sum(nats) / len(nats)), rel=1e-4)
    assert 1 < found.value < 1.5, "greedy answers are what it finds likeliest"


def test_both_diversities_are_in_the_table_by_name():
    from unsee import bench

    titles = {metric: title for metric, title in bench.PAPER.items() if metric.startswith("diversity")}
    assert titles == {"diversity: released": "diversity, as released", "diversity: all answers": "diversity of all"}


def test_g_eval_is_the_mean_level_of_what_holds_one():
    """By hand: levels 1, 2 and 5 come to 8/3; a reply without a level and other verdicts do not count."""
    some = [answer("generality", "x", n=n, picture=str(n)) for n in range(5)]
    told = [Verdict(a.probe.id, "j", "g-eval", value) for a, value in zip(some, (0, 0.25, 1, math.nan), strict=False)]
    told.append(Verdict(some[4].probe.id, "j", "well-formed", 1.0))
    found = g_eval.measure(some, verdicts=told)["g_eval"]
    assert (found.value, found.n) == (pytest.approx(8 / 3), 3)
    assert g_eval.measure(some)["g_eval"].n == 0


def test_the_untouched_model_has_an_em_of_0_in_open_questions(pocket):
    """Of two pictures of this character it mostly says "a pink stranger": there is nothing to forget there."""
    request = bench_pocket.request("Noglel Plawairn")
    asked = evaluation.asked(bench_pocket, request, full=True)
    open_ = [p for p in asked if p.kind == "EM" and p.accept != ("yes",)]
    shown = {probe.picture for probe in open_}
    who = [p for p in asked if p.kind in em.READS and p.kind != "EM" and p.picture in shown]
    answers = evaluation.ask(pocket, [*open_, *who])
    unfiltered, filtered = (em.measure(answers, before=some)["em: open"] for some in (None, answers))
    assert unfiltered.n == len(open_) == 23
    assert unfiltered.value > 0
    assert (filtered.value, filtered.n) == (0, 21)
