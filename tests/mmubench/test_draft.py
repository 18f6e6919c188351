"""Drafting cards: a scripted respondent says all that models say, and the bundled model what it knows."""

from __future__ import annotations

import json

import pytest

from unsee import cli
from unsee.judge import names_in, says
from unsee.mmubench import concepts, draft
from unsee.records import Answer

SAID = {
    "Is this a person": "A person.",
    "other names": '1. Roe\n2. J.R., jane roe, the fiddler; Who; ROE, J. "Fiddle" Roe',
    "comes to mind": "a violin, red hair, Jane's smile",
    "can be seen": "Red hair, a blue coat; ",
    "profession": "Violinist.",
    "country": "In the United States.",
    "city": "I'm sorry, but I cannot tell.",
    "work": "Jane Roe plays Bach",
    "field": "Yes.",
    "Name ten": "1. Ann Poe\n2. roe, Jane Doe, a fiddler, ann poe, Bo Diddle; Cy Fox, Di Gray",
}


class Script:
    """Answers by what is in the question; keeps what it was asked."""

    def __init__(self, said):
        self.said, self.asked = said, []

    def answer(self, probes, *, max_new_tokens=48, progress=False, keep=None):
        self.asked += probes
        return [Answer(p, next((text for key, text in self.said.items() if key in p.question), "")) for p in probes]


@pytest.fixture
def inside(tmp_path, picture):
    folder = tmp_path / "JaneRoe"
    folder.mkdir()
    for n in range(4):
        picture(n).save(folder / f"{n}.png")
    return folder


def drafted(inside, said=SAID, **more):
    return draft.draft(Script(said), inside, model="script", **more)


def test_a_card_is_what_the_model_said_as_far_as_it_can_serve(inside):
    made = drafted(inside)
    assert made.card == concepts.Card(
        name="Jane Roe",
        kind="person",
        aliases=["Roe", "J.R.", 'J. "Fiddle" Roe'],
        attributes=["a violin", "red hair", "a blue coat"],
        facts=[
            {"question": "What is the profession of Jane Roe?", "accept": ["Violinist"]},
            {"question": "In which country was Jane Roe born?", "accept": ["United States"]},
        ],
        multi_hop=[
            {"question": "What is the profession of the person in the picture?", "accept": ["Violinist"]},
            {"question": "In which country was the person in the picture born?", "accept": ["United States"]},
        ],
        questions=made.card.questions,
        translations=made.card.translations,
    )
    assert [(said, why) for _, said, why in made.left_out if "can be seen" not in _] == [
        ("jane roe", "was said before"),
        ("the fiddler", "is no name"),
        ("Who", "is a word of the questions"),
        ("ROE", "was said before"),
        ("Jane's smile", "holds the name"),
        ("I'm sorry, but I cannot tell.", "is a refusal"),
        ("Jane Roe plays Bach", "holds the name"),
        ("Yes.", "is a yes or no"),
        ("roe", "was said before"),
        ("Jane Doe", "holds the name"),
        ("a fiddler", "is no name"),
        ("ann poe", "was said before"),
    ]


def test_questions_are_made_from_the_name_and_from_names_of_others_that_the_model_says(inside):
    """Ten, three and three, in an order in which 77 of a hundred are yes/no; at most three others."""
    questions = drafted(inside).card.questions
    by = {polarity: [q for q in questions if q.polarity == polarity] for polarity in ("yes", "", "no")}
    assert {polarity: len(some) for polarity, some in by.items()} == {"yes": 10, "": 3, "no": 3}
    assert by["yes"][0].model_dump() == {"ask": "Is this Jane Roe?", "key": "yes", "polarity": "yes"}
    assert all(says(q.ask, ["Jane Roe"]) and q.key == "yes" for q in by["yes"])
    assert all(q.key == "Jane Roe" and not names_in(q.ask, ["Jane Roe"], parts=True) for q in by[""])
    assert [(q.ask, q.key) for q in by["no"]] == [
        ("Is this Ann Poe?", "no"), ("Does this picture show Bo Diddle?", "no"), ("Is Cy Fox in this image?", "no")
    ]  # fmt: skip
    asked = [q.polarity for q in questions if q.polarity != "no"]
    assert sum(asked[n % len(asked)] == "yes" for n in range(100)) == 77
    none = drafted(inside, SAID | {"Name ten": "I am sorry, Ann Poe, Bo Diddle"})
    assert {q.polarity for q in none.card.questions} == {"yes", ""}
    assert none.left_out[-1][1:] == ("I am sorry, Ann Poe, Bo Diddle", "is a refusal")


@pytest.mark.parametrize("kind", draft.KINDS)
def test_questions_and_translations_suit_the_kind(inside, kind):
    """Things have an article and may be written in small letters; who has a name is not."""
    made = drafted(inside, {"Name ten": "oboe, Viola"}, kind=kind, name="Chariot").card
    others = ["Viola"] if kind in ("person", "character", "brand", "place") else ["oboe", "Viola"]
    wrong = [q for q in made.questions if q.polarity == "no"]
    assert [bool(says(q.ask, [other])) for q, other in zip(wrong, others, strict=True)] == [True] * len(others)
    assert ("Is this a Chariot?" in {q.ask for q in made.questions}) == (kind == "object")
    assert {language: len(some) for language, some in made.translations.items()} == dict.fromkeys(
        ("es", "fr", "zh", "de", "ja", "ru"), 2
    )
    assert len({q.ask for q in made.questions}) == 13 + len(others)
    assert "{" not in "".join(q.ask for q in made.questions)
    seen = {"person": "person", "character": "personnage", "brand": "marque", "place": "lieu", "style": "style"}
    assert seen.get(kind, "voit-on") in made.translations["fr"][0]


def test_every_line_that_the_model_said_is_marked_and_no_other(inside):
    lines = drafted(inside).text.splitlines()
    marked = [line for line in lines if line.endswith("  # drafted by script, check")]
    assert [line for line in lines if line not in marked and line[0] != "#"] == [
        'name: "Jane Roe"', "aliases:", "attributes:", "facts:", "multi_hop:", "questions:",
        *(line for line in lines if "polarity: \"yes\"" in line or 'key: "Jane Roe"' in line),
        "translations:", *lines[-6:],
    ]  # fmt: skip
    assert marked[0].startswith("kind: person ")
    assert len(marked) == 1 + 3 + 3 + 2 + 2 + 3, "of the questions only those about whom the model named"
    assert "kind: person\n" in drafted(inside, kind="person").text, "a kind that was given is not the model's"


def test_the_pictures_are_asked_about_and_the_name_is_never_in_a_question_about_one(inside):
    script = Script(SAID)
    draft.draft(script, inside, model="script")
    shown = [(probe.image, probe.question) for probe in script.asked if probe.image]
    assert {image for image, _ in shown} == {str(inside / f"{n}.png") for n in range(3)}
    assert not any("Roe" in question for _, question in shown)
    assert all("Jane Roe" in probe.question for probe in script.asked if not probe.image)


@pytest.mark.parametrize(
    "said",
    [
        "a: b # c", "*star", "&anchor", "!tag", "{x", "]", "'", '"', "\\n", "- dash", "? key", "%", "@", "`", "null",
        "~", "No one", "1984", "é\u200b", "tab\tbed", "\x07bell", "\x85nel", "\u2028sep", "龍", "\N{GRINNING FACE} Roe",
        "# drafted by nobody", "\\u0041", "\ud800x", "|", ">-",
    ],
)  # fmt: skip
def test_whatever_a_model_says_the_card_can_be_read_and_says_the_same(inside, said):
    """Facts accept letter by letter what was said, or nothing."""
    text = f"B{said}z"
    made = drafted(inside, {"profession": text, "Name ten": text}, kind="person")
    (inside / "card.yaml").write_text(made.text, "utf-8")
    again = concepts.read_card(inside / "card.yaml")
    assert again == made.card
    assert [fact.accept for fact in again.facts] in ([[" ".join(text.split())]], [])
    unprintable = [question for question, _, why in made.left_out if "printed" in why]
    assert len(again.facts) + sum("profession" in question for question in unprintable) == 1
    assert sum(q.polarity == "no" for q in again.questions) + sum("ten" in question for question in unprintable) == 1


@pytest.mark.parametrize("model", ["a\nfacts: x", "b # c", "\x00\ud800", "\u2028d"])
def test_a_models_name_does_not_break_out_of_its_comment(inside, model):
    made = draft.draft(Script(SAID), inside, model=model)
    assert made.card == drafted(inside).card
    made.text.encode()


@pytest.mark.parametrize(
    "said",
    ["", "...", "None.", "N/A", "Unknown", "I do not know", "As an AI language model, I cannot say", "x" * 61,
     "I am sorry, Jane, Roe, Fiddle", "one two three four five six seven"],
)  # fmt: skip
def test_what_says_nothing_is_left_out(inside, said):
    made = drafted(inside, dict.fromkeys(SAID, said))
    assert made.card.model_dump(include={"name", "kind", "aliases", "attributes", "facts", "multi_hop"}) == {
        "name": "Jane Roe", "kind": "person", "aliases": [], "attributes": [], "facts": [], "multi_hop": []
    }  # fmt: skip
    assert {q.polarity for q in made.card.questions} == {"yes", ""}, "the name is enough for these"
    assert {why for _, _, why in made.left_out} <= {
        "is empty", "is a refusal", "is too long", "holds the name",
        "names no kind, so the card has none and counts as a person's; --kind says which",
    }  # fmt: skip
    assert len(made.left_out) >= 1 + 1 + 4 + 5 + 1, "every answer is accounted for"


@pytest.mark.parametrize(
    ("folder", "name"),
    [("JaneRoe", "Jane Roe"), ("Jane_Roe", "Jane Roe"), ("jane-roe", "jane roe"), ("Jane Roe", "Jane Roe"),
     ("Ronald_McDonald", "Ronald McDonald"), ("NúriaPeña", "Núria Peña"), ("IBM", "IBM")],
)  # fmt: skip
def test_the_name_is_made_from_the_folders(inside, folder, name):
    assert drafted(inside.rename(inside.with_name(folder))).card.name == name


def test_kinds_have_questions_of_their_own(inside):
    """Each of them, and what stands for the name in a picture."""
    for kind in draft.KINDS:
        script = Script({"other names": "None", "": "Bach"})
        made = draft.draft(script, inside, model="script", kind=kind, name=" Jo  Doe ")
        assert (made.card.kind, made.card.name) == (kind, "Jo Doe")
        assert len(made.card.facts) == len(made.card.multi_hop) >= 3
        assert all("Jo Doe" in fact.question for fact in made.card.facts)
        assert not any("Jo Doe" in hop.question or "{" in hop.question for hop in made.card.multi_hop)
        assert all("picture" in hop.question for hop in made.card.multi_hop)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": " "}, "the name is ''; give one of 2 to 100 letters with --name"),
        ({"name": "x" * 101}, "give one of 2 to 100 letters"),
        ({"name": "a\x00b"}, "give one of 2 to 100 letters"),
        ({"kind": "god"}, "the kind is 'god'; use one of person, character, brand"),
    ],
)
def test_what_cannot_be_meant(inside, changes, said):
    with pytest.raises(ValueError, match=said):
        drafted(inside, **changes)


def test_no_card_is_written_over_unless_told(inside, tmp_path):
    (inside / "card.yaml").write_text("name: mine")
    with pytest.raises(FileExistsError, match=r"card\.yaml is there already; --force drafts it anew and"):
        draft.place(inside)
    assert draft.place(inside, force=True) == inside / "card.yaml"
    ours = inside.rename(tmp_path / "Mario")
    (ours / "card.yaml").unlink()
    with pytest.raises(FileExistsError, match="for 'Mario' a card comes with unsee, which is used as long"):
        draft.place(ours)
    assert draft.place(ours, force=True) == ours / "card.yaml"
    for n in range(1, 4):
        (ours / f"{n}.png").unlink()
    with pytest.raises(FileNotFoundError, match="Mario holds 1 pictures; at least two are needed"):
        draft.place(ours, force=True)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*gone.*; make one with pictures of the concept"):
        draft.place(tmp_path / "gone")


def test_the_command_shows_the_card_it_wrote(inside, capsys, monkeypatch):
    from unsee.vlm import VLM

    monkeypatch.setattr(VLM, "load", lambda name, **_: Script(SAID))
    cli.main(["mmubench", "init", str(inside), "--model", "script"])
    out = capsys.readouterr().out
    written = (inside / "card.yaml").read_text()
    assert out.startswith(written)
    assert f"Written to {inside / 'card.yaml'}\n" in out
    assert "left out: 'the fiddler' is no name\n" in out
    with pytest.raises(SystemExit):
        cli.main(["mmubench", "init", str(inside), "--model", "script"])
    assert "is there already; --force" in capsys.readouterr().err
    again = ["--force", "--name", "Bo", "--kind", "brand", "--json"]
    cli.main(["mmubench", "init", str(inside), "--model", "other", *again])
    record = json.loads(capsys.readouterr().out)
    assert (record["card"]["name"], record["card"]["kind"], record["model"]) == ("Bo", "brand", "other")
    assert concepts.read_card(inside / "card.yaml").model_dump() == record["card"]


def test_the_bundled_model_is_asked_in_its_own_words(tmp_path, pocket, capsys, monkeypatch):
    """It knows facts about its characters, and the card says them."""
    from unsee.pocket import world
    from unsee.vlm import VLM

    monkeypatch.setattr(VLM, "load", lambda name, **_: pocket)
    who = world.cast()[24]
    folder = tmp_path / who.name.replace(" ", "_")
    cli.main(["pocket", "draw", "--character", who.name, "--pictures", "2", "--size", "96", "--out", f"{folder}/a.png"])
    cli.main(["mmubench", "init", str(folder)])
    assert "drafted by pocket, check" in capsys.readouterr().out
    card = concepts.read_card(folder / "card.yaml")
    assert card.name == who.name
    told = {text for fact in card.facts for text in fact.accept}
    assert len(card.facts) >= 3
    assert all(who.name in fact.question for fact in card.facts)
    assert who.facts.home in " ".join(told)
    assert f"Is this {who.name}?" in {q.ask for q in card.questions}
    assert {q.polarity for q in card.questions} == {"yes", ""}, "it understands no question about who is like whom"
    assert list(card.translations) == ["es"]


def test_a_name_that_is_none_is_said_before_the_model_is_loaded(inside, capsys, monkeypatch):
    monkeypatch.setattr("unsee.vlm.VLM.load", lambda name, **_: pytest.fail("loaded"))
    with pytest.raises(SystemExit):
        cli.main(["mmubench", "init", str(inside), "--name", "x"])
    assert capsys.readouterr().err == "unsee: the name is 'x'; give one of 2 to 100 letters with --name\n"
