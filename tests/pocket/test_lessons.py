"""Lessons say the truth, and nothing else."""

import random
from collections import Counter
from pathlib import Path

import pytest

from unsee.pocket import lessons, world

PICTURES = [world.picture("taught", kind, i) for kind in world.KINDS for i in range(60)]


def drawn(per_picture=8):
    rng = random.Random(1)
    return [(p, lessons.picture_lesson(rng, p)) for p in PICTURES for _ in range(per_picture)]


def names_in(text):
    return {c.index for c in world.cast() if c.name in text}


def test_held_out_phrasings_are_never_taught():
    taught = {q for q, _ in lessons.NAMING_EN + lessons.NAMING_ES}
    held_out = lessons.HELD_OUT_EN + lessons.HELD_OUT_ES
    assert not taught & set(held_out)
    assert len(lessons.HELD_OUT_EN) >= 8 and len(lessons.HELD_OUT_ES) >= 4
    assert len(lessons.NAMING_EN) >= 60 and len(lessons.NAMING_ES) >= 30
    assert not {lesson.question for _, lesson in drawn()} & set(held_out)
    page = (Path(__file__).parents[2] / "docs" / "pocket.md").read_text()
    assert f"{len(lessons.NAMING_EN)} English and {len(lessons.NAMING_ES)}\nSpanish phrasings" in page


def test_every_taught_phrasing_is_filled_in():
    for question, answer in lessons.NAMING_EN + lessons.NAMING_ES:
        assert not set("{}") & set(question)
        assert "{N}" in answer
        assert "de el " not in question


def test_naming_answers_name_whoever_is_there():
    """A known character by name and with "Yes", a stranger by its look and with "No"."""
    known = world.cast()[2]
    (figure,) = world.picture("taught", "stranger", 0).figures
    assert lessons.naming_answer("{Y}, this is {N}.", known) == f"Yes, this is {known.name}."
    vague = lessons.vague(figure.character.look)
    assert lessons.naming_answer("{Y}, this is {N}.", figure.character) == f"No, this is {vague}."
    assert (
        lessons.naming_answer("{N} appears here.", figure.character) == f"{vague[0].upper()}{vague[1:]} appears here."
    )
    assert lessons.naming_answer("{Y}, es {N}.", known, "es") == f"Sí, es {known.name}."


def test_a_picture_lesson_names_only_whom_the_picture_shows():
    """Names of others stand in yes/no questions and as somebody's best friend, nowhere else."""
    for picture, lesson in drawn():
        shown = {f.character.index for f in picture.figures}
        if lesson.kind == "multi-hop friend":
            (figure,) = picture.figures
            assert names_in(lesson.answer) == {figure.character.facts.friend}
        else:
            assert names_in(lesson.answer) <= shown, lesson
        if not lesson.kind.endswith("yes/no"):
            assert names_in(lesson.question) <= shown, lesson


def test_yes_and_no_are_true_and_balanced():
    said = Counter()
    for picture, lesson in drawn(40):
        if lesson.kind.endswith("yes/no"):
            (asked,) = names_in(lesson.question)
            truth = asked in {f.character.index for f in picture.figures}
            assert (lesson.answer in ("Yes.", "Sí.")) == truth
            if any(f.character.index in world.KNOWN for f in picture.figures):
                said[truth] += 1
    assert 0.4 < said[True] / sum(said.values()) < 0.6


def test_strangers_are_never_given_a_name_of_the_cast():
    rng = random.Random(2)
    for kind in ("stranger", "near"):
        for i in range(60):
            picture = world.picture("taught", kind, i)
            for _ in range(8):
                assert not names_in(lessons.picture_lesson(rng, picture).answer)


def test_the_never_taught_are_in_no_lesson():
    rng = random.Random(3)
    texts = [lessons.text_lesson(rng) for _ in range(3000)] + [lesson for _, lesson in drawn()]
    for lesson in texts:
        assert not names_in(lesson.question + lesson.answer) & set(world.NEVER_TAUGHT)


def test_a_throw_away_name_comes_once():
    rng = random.Random(4)
    kinds = ("spelling", "unknown name", "made-up name")
    made = [x.answer for x in (lessons.text_lesson(rng) for _ in range(4000)) if x.kind in kinds]
    assert len(made) > 200
    assert len(set(made)) == len(made)


def test_text_facts_are_the_facts():
    c = world.cast()[0]
    assert lessons.fact_lesson(c, "home", 0) == lessons.Lesson(
        f"Where does {c.name} live?", f"{c.name} lives in {c.facts.home}.", "fact home"
    )
    assert lessons.fact(c, "friend") == world.cast()[c.facts.friend].name
    assert lessons.fact_check(c, "home", c.facts.home).answer == "Yes."
    other = next(h for h in world.HOMES if h != c.facts.home)
    assert lessons.fact_check(c, "home", other).answer == "No."
    with pytest.raises(ValueError, match="a stranger has no home"):
        lessons.fact(world.picture("taught", "stranger", 0).figures[0].character, "home")


def test_attributes_are_what_is_drawn():
    picture = world.picture("taught", "known", 0)
    (figure,) = picture.figures
    said = {name: attribute.answer(picture) for name, attribute in lessons.ATTRIBUTES.items()}
    assert said["sky"] == f"The sky is {picture.scene.sky}."
    assert said["side"] == f"On the {picture.scene.side}."
    assert said["stars"].split()[0] == ("No", "One", "Two", "Three")[picture.scene.stars]
    assert said["clothing"].casefold() == f"{figure.pose.clothing}."
    assert said["eyes"] == f"{('', 'One', 'Two', 'Three')[figure.character.look.eyes]}."
    assert set(said) == {"sky", "ground", "object", "side", "stars", "clothing", "expression", "eyes", "head colour",
                         "ears", "hat"}  # fmt: skip


def test_everything_that_shall_be_taught_is_taught():
    """Every kind of lesson comes up, in both languages where both are promised."""
    kinds = {lesson.kind for _, lesson in drawn(40)}
    assert kinds >= {"naming", "naming es", "description", "description es", "yes/no", "left", "right", "left es",
                     "both", "next to", "where", "two yes/no", "two multi-hop", "introduced name",
                     "stranger multi-hop", *(f"multi-hop {kind}" for kind in lessons.FACTS)}  # fmt: skip
    assert kinds >= set(lessons.ATTRIBUTES)
    spanish = {lesson.question for _, lesson in drawn(40)} & {
        a.spanish[0] for a in lessons.ATTRIBUTES.values() if a.spanish
    }
    assert len(spanish) == len(lessons.SPANISH_ATTRIBUTES)


def test_nobody_who_is_left_out_is_asked_about_in_front_of_a_picture():
    rng, absent = random.Random(5), frozenset(world.BENCH)
    pictures = [world.picture("selection", kind, n, without=absent) for kind in ("known", "pair") for n in range(60)]
    asked = [lessons.picture_lesson(rng, p, absent).question for p in pictures for _ in range(20)]
    names = [world.cast()[i].name for i in world.BENCH]
    assert not [q for q in asked if any(name in q for name in names)]
    others = [lessons.picture_lesson(rng, p).question for p in pictures for _ in range(20)]
    assert any(name in q for q in others for name in names)  # where nobody is left out, they are asked about
