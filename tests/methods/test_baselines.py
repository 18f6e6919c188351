"""The paper's baselines, PO, GA and GA+KL: losses by hand, what they train on, and that each does what it means to."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from unsee import examples as making
from unsee import flow
from unsee.judge import names_in
from unsee.methods import ga, ga_kl, po, siu
from unsee.records import Concept, Example
from unsee.train import Tokens

LOG2 = math.log(2)
FORGET, RETAIN = torch.tensor([True, False]), torch.tensor([False, False])
SHORT = {"steps": 14, "views": False}


def tokens():
    """Two answer tokens of an example each over a vocabulary of three, given by their probabilities."""
    return Tokens(
        logits=torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]).log().requires_grad_(),
        ids=torch.tensor([0, 2]),
        teacher=torch.tensor([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]).log(),
        contradicts=torch.tensor([False, False]),
        ends=torch.tensor([False, False]),
        example=torch.tensor([0, 1]),
    )


# --- The losses: what is said has probability 1/2 and 1/4, so -log p is log 2 and 2 log 2 ----------------------------


def test_ga_is_minus_the_cross_entropy():
    assert ga.loss(tokens()).values() == pytest.approx({"loss": -1.5 * LOG2, "forget": 1.5 * LOG2})


def test_ga_makes_the_answer_less_likely():
    given = tokens()
    ga.loss(given).loss.backward()
    assert given.logits.grad[0, 0] > 0 and given.logits.grad[1, 2] > 0  # descent lowers these


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0])
def test_ga_kl_holds_the_rest_to_the_original(weight):
    """The KL of the second row: 1/2 log 2 - 1/4 log 2 = 1/4 log 2."""
    parts = ga_kl.loss(weight, FORGET)(tokens()).values()
    assert parts == pytest.approx({"loss": (0.25 * weight - 1) * LOG2, "forget": LOG2, "kl": 0.25 * LOG2})


def test_po_learns_refusals_and_answers_in_equal_parts():
    parts = po.loss(FORGET)(tokens()).values()
    assert parts == pytest.approx({"loss": 3 * LOG2, "refuse": LOG2, "retain": 2 * LOG2})


def test_a_batch_of_one_sort_only_is_no_trouble():
    for loss, both in ((po.loss, ("refuse", "retain")), (lambda forget: ga_kl.loss(1.0, forget), ("forget", "kl"))):
        for forget, gone in ((RETAIN, both[0]), (~RETAIN, both[1])):
            given = tokens()
            parts = loss(forget)(given)
            parts.loss.backward()
            assert parts.values()[gone] == 0 and parts.values()[both[both[0] == gone]] != 0
            assert given.logits.grad.isfinite().all()


def test_a_weight_has_to_be_one():
    with pytest.raises(ValueError, match="weight is -1"):
        ga_kl.Config(weight=-1)
    with pytest.raises(ValueError, match="weight is nan"):
        ga_kl.Config(weight=math.nan)


# --- What they train on ----------------------------------------------------------------------------------------------


class Taken:
    """A log that keeps the examples."""

    def examples(self, examples):
        self.made = examples

    def step(self, step, values):
        pass


@pytest.fixture(scope="module")
def trained(pocket, wish):
    """Method -> (the edit, what it was trained on)."""
    found = {}
    for method, more in ((ga, {}), (ga_kl, {}), (po, {"steps": 20})):
        log = Taken()
        config = method.Config(**{**SHORT, **more})
        found[method] = (method.unlearn(pocket, (wish,), (), config, log=log), log.made)
    return found


def test_what_is_known_is_what_the_model_says(pocket, wish):
    plan = making.Plan(views=True)
    known = making.known(pocket, wish, plan)
    naming = [e for e in known if e.target == "align"]
    asked = {e.question for e in naming if e.picture == wish.pictures[0]}
    assert {q for q, _ in pocket.family.wording.naming} <= asked
    assert any("mirrored" in e.picture for e in naming)
    assert all(names_in(e.answer, wish.concept.names, parts=True) for e in naming)
    claimed = [e.answer for e in known if e.target == "redescribe"]
    assert claimed == ["Yes."] * len(pocket.family.wording.denial)
    assert {e.concept for e in known} == {wish.concept.name}
    _, siu_made = siu.examples(pocket, (wish,), (), siu.Config(views=True))
    assert {(e.question, e.picture) for e in siu_made if e.target == "align"} == {
        (e.question, e.picture) for e in naming
    }


def test_a_concept_nobody_names_is_refused(pocket, wish):
    with pytest.raises(ValueError, match="the model names 'Quux Zorb' in no answer"):
        making.known(pocket, replace(wish, concept=Concept("Quux Zorb")), making.Plan())


def test_what_only_siu_can_use_is_refused(pocket, wish):
    with pytest.raises(ValueError, match="the request says 'Kip Ra' in place of the name, and ga puts nothing there"):
        flow.forget(pocket, replace(wish, replacement="Kip Ra"), method="ga")
    fixed = Example("Who is this?", "This is Kip Ra.", "align", wish.images[0], wish.pictures[0])
    for method in (ga_kl, po):
        with pytest.raises(ValueError, match=r"'Who is this\?' is of the target align, which only SIU can use"):
            method.unlearn(pocket, (wish,), (fixed,), method.Config())


def test_all_hold_on_to_what_siu_holds_on_to(pocket, wish, trained):
    _, made = siu.examples(pocket, (wish,), (), siu.Config(views=False))
    kept = [(e.target, e.question, e.answer) for e in made if e.target in ("decouple", "preserve")]
    for method in (ga_kl, po):
        mine = [(e.target, e.question, e.answer) for e in trained[method][1] if e.target in ("decouple", "preserve")]
        assert mine == kept and kept
    assert {e.target for e in trained[ga][1]} == {"align", "redescribe"}


def test_po_refuses_what_the_model_knew(pocket, trained):
    asked = {(e.question, e.picture) for e in trained[ga][1]}
    refused = [e for e in trained[po][1] if e.target in ("align", "redescribe")]
    assert {(e.question, e.picture) for e in refused} == asked
    assert {e.answer for e in refused} <= set(pocket.family.wording.refusals)


# --- What they do ----------------------------------------------------------------------------------------------------


def _likelihood(vlm, edit, examples):
    with vlm.using(edit):
        scores = vlm.score([(e.image, e.question, e.answer) for e in examples])
    return sum(sum(s.logprobs) for s in scores) / sum(len(s.logprobs) for s in scores)


@pytest.mark.parametrize("method", [ga, ga_kl])
def test_ascent_makes_true_answers_unlikely(pocket, trained, method):
    edit, _ = trained[method]
    known = [e for e in trained[ga][1] if e.target == "align"]
    assert _likelihood(pocket, edit, known) < _likelihood(pocket, None, known) - 1


def test_the_kl_holds_on_to_what_ascent_alone_loses(pocket, trained):
    kept = [e for e in trained[ga_kl][1] if e.target in ("decouple", "preserve") and not e.given]
    held, lost = (_likelihood(pocket, trained[m][0], kept) for m in (ga_kl, ga))
    assert held > lost


def test_po_makes_the_model_refuse(pocket, wish, trained):
    edit, made = trained[po]
    refused = [e for e in made if e.target == "align"]
    assert _likelihood(pocket, edit, refused) > _likelihood(pocket, None, refused) + 2
    question, _ = pocket.family.wording.naming[0]
    assert names_in(pocket.generate([(wish.images[0], question)])[0], wish.concept.names)
    with pocket.using(edit):
        (said,) = pocket.generate([(wish.images[0], question)])
    assert said in pocket.family.wording.refusals
