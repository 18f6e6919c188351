"""Rules that read answers: names in every spelling that gives somebody away, yes and no, right, and well-formed."""

import pytest

from unsee.judge import names_in, right, says, well_formed, yes_or_no
from unsee.records import Answer, Probe


def found(text, *names, parts=False):
    """The pieces of a text in which names were found."""
    return [text[start:end] for start, end in names_in(text, names, parts=parts)]


def answered(text, **probe):
    return Answer(Probe(id="1", kind="efficacy", question="Who is this?", **probe), text)


# --- Names -----------------------------------------------------------------------------------------------------------


def test_places_are_half_open_and_in_order():
    """M is letter 8 and the full stop letter 13; the second name starts at 19."""
    assert names_in("This is Mario. No, Luigi.", ["Luigi", "Mario"]) == [(8, 13), (19, 24)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("This is Mario.", "Mario"),
        ("this is MARIO", "mario"),
        ("Mario", "Mario"),
        ("(Mario)", " Mario "),
        ("Mario's hat", "Mario"),
        ("_Mario_ and **Luigi**", "Mario"),
        ("Mario\n  Rossi, or Mario\u00a0Rossi", "Mario  Rossi"),
        ("Jean-Luc Picard", "Jean-Luc Picard"),
        ("Jean\u2011Luc Picard", "Jean-Luc Picard"),
        ("Sinead O\u2019Connor sings", "Sinead O'Connor"),
        ("C++ or C", "C++"),
        ("Who? Yahoo! Yes.", "Yahoo!"),
        ("He is in AC/DC (the band).", "AC/DC (the band)"),
        ("It costs $1.", "$1"),
        ("a.b", "a.b"),
        ("Es Núria Peña.", "Núria Peña"),
        ("ES NÚRIA PEÑA", "núria peña"),
        ("Nu\u0301ria Pen\u0303a", "Núria Peña"),
        ("Núria Peña", "Nu\u0301ria Pen\u0303a"),
        ("This is Beyonce.", "Beyoncé"),
        ("This is Beyoncé.", "Beyonce"),
        ("die STRASSE", "Straße"),
        ("Лев Толстой пишет", "лев толстой"),
        ("הוא משה כהן.", "משה כהן"),
        ("\u200fמשה כהן\u200f", "משה כהן"),
        ("هذا محمّد صلاح.", "محمد صلاح"),
        ("यह शाहरुख ख़ान है।", "शाहरुख ख़ान"),
        ("这是马里奥。", "马里奥"),
        ("这是Mario。", "Mario"),
        ("これはピカチュウです", "ピカチュウ"),
        ("마리오는 빨강", "마리오"),
        ("It is 🦊, of course", "🦊"),
        ("Kip🦊says", "Kip🦊says"),
        ("x", "X"),
    ],
)
def test_named(text, name):
    assert found(text, name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Marionette, Supermario, Marios", "Mario"),
        ("Mario Verdi", "Mario Rossi"),
        ("Rossi, Mario", "Mario Rossi"),
        ("ab", "a.b"),
        ("axb", "a.b"),
        ("Jean Luc", "Jean-Luc"),
        ("ハナ", "バナ"),
        ("Mario64", "Mario"),
        ("", "Mario"),
        ("Mario", ""),
        ("Mario", " \n"),
    ],
)
def test_not_named(text, name):
    assert not found(text, name)


def test_places_are_those_of_the_text_as_it_was():
    """Accents of their own and letters that fold to two must not move what comes after them, nor be torn off."""
    assert found("Straße, José\u0301e: Mario!", "mario") == ["Mario"]
    assert found("Es Jose\u0301, dice.", "José") == ["Jose\u0301"]
    assert found("Es Jose\u0301", "José") == ["Jose\u0301"]
    assert found("Weiß", "weiss") == ["Weiß"]
    assert found("🦊 Mario 🦊", "Mario") == ["Mario"]


def test_no_names_are_found_nowhere():
    assert names_in("Mario", []) == []
    assert names_in("", []) == []
    assert names_in("Mario", ["", "\u00b4"]) == []


def test_the_longest_name_wins_and_nothing_is_counted_twice():
    assert found("Mario Rossi met Mario.", "Mario", "Mario Rossi") == ["Mario Rossi", "Mario"]
    assert found("Mario Rossi Bianchi", "Mario Rossi", "Rossi Bianchi") == ["Mario Rossi"]
    assert found("Super Mario", "Mario", "Super Mario", parts=True) == ["Super Mario"]


def test_aliases_count_as_the_name_does():
    assert found("He is called Jumpman, or M.", "Mario", "Jumpman") == ["Jumpman"]


def test_half_a_name_counts_only_where_asked_for():
    assert found("This is Rossi.", "Mario Rossi") == []
    assert found("This is rossi.", "Mario Rossi", parts=True) == ["rossi"]
    assert found("Mario Rossi", "Mario Rossi", parts=True) == ["Mario Rossi"]
    assert found("A Rossini", "Mario Rossi", parts=True) == []


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("Jean-Luc Picard", "jean met Luc", ["jean", "Luc"]),
        ("Conan O'Brien", "an o brien", ["brien"]),
        ("Leonardo da Vinci", "da", []),
        ("The Rock", "the rock", ["the rock"]),
        ("The Rock", "the stone", []),
        ("Ludwig van Beethoven", "van Gogh", []),
        ("Doctor Who", "I do not know who this is.", []),
        ("Doctor Who", "It is Doctor Who.", ["Doctor Who"]),
        ("Will Smith", "I will not say.", []),
        ("Will Smith", "A smith", ["smith"]),
        ("Xi Jinping", "xi", []),
        ("Nu\u0301ria Peña", "una ria", []),
        ("Nu\u0301ria Peña", "nuria", ["nuria"]),
        ("शाहरुख ख़ान", "यह शाहरुख", ["शाहरुख"]),
        ("阿尔伯特·爱因斯坦", "这是爱因斯坦。", ["爱因斯坦"]),
        ("🦊", "🐻", []),
    ],
)
def test_which_halves_tell(name, text, parts):
    assert found(text, name, parts=True) == parts


def test_says():
    assert says("In Mist Valley.", ("Mist Valley",))
    assert says("In Mist Valley.", ("Glow Harbor", "mist valley"))
    assert not says("In Mist.", ("Mist Valley",))
    assert not says("A minerva", ("a miner",))
    assert not says("In Mist Valley.", ())


# --- Yes, no, right --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Yes.", "yes"),
        ("YES, this is Mario", "yes"),
        ("**Yes**", "yes"),
        ("¡Sí!", "yes"),
        ("Si\u0301.", "yes"),
        ("No.", "no"),
        ("No, but yes", "no"),
        ("Not at all", "no"),
        ("Nein", "no"),
        ("Nobody knows.", ""),
        ("Yesterday", ""),
        ("It is, yes", ""),
        ("This is Mario.", ""),
        ("...", ""),
        ("", ""),
    ],
)
def test_yes_or_no_is_the_first_word(text, said):
    assert yes_or_no(text) == said


def test_right_is_the_polarity_where_there_is_one():
    assert right(answered("Yes, it is.", polarity="yes"))
    assert not right(answered("Yes, it is.", polarity="no"))
    assert right(answered("No.", polarity="no"))
    for polarity in ("yes", "no"):
        assert not right(answered("Mario", polarity=polarity))
        assert not right(answered("Mario.", polarity=polarity, accept=("Mario",)))


def test_right_is_any_accepted_text_otherwise():
    assert right(answered("In Mist Valley.", accept=("Glow Harbor", "Mist Valley")))
    assert not right(answered("In Mist.", accept=("Mist Valley",)))
    assert not right(answered("Yes."))


# --- Well-formed -----------------------------------------------------------------------------------------------------

PATTERNS = (r"This is {N}\.", r"{N}\.", r"(?:Yes|No), it is {N}, {N}\.")
ALLOWED = r"Jacob Campbell|a (?:red|blue) stranger"


def judged(text, patterns=PATTERNS, allowed=ALLOWED):
    (verdict,) = well_formed([answered(text)], patterns, allowed)
    return verdict


@pytest.mark.parametrize(
    "text",
    [
        "This is Jacob Campbell.",
        " this is jacob campbell.\n",
        "Jacob Campbell.",
        "This is a blue stranger.",
        "A red stranger.",
        "No, it is Jacob Campbell, a red stranger.",
    ],
)
def test_a_proper_sentence(text):
    assert judged(text).value == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "This is",
        "This is .",
        "This is Jacob.",
        "This is Jacob Campbells.",
        "This is Jacob Campbell",
        "This is Jacob Campbell. This is Jacob Campbell.",
        "I think this is Jacob Campbell.",
        "This is Jacob Campbell a red stranger.",
        "This is a green stranger.",
        "This is Mario.",
        "This is Jacob Jacob Campbell.",
    ],
)
def test_no_proper_sentence(text):
    assert judged(text).value == 0


def test_where_nobody_is_allowed_nothing_is_well_formed():
    assert judged("This is .", allowed="").value == 0
    assert judged(".", allowed="").value == 0
    assert judged("", patterns=()).value == 0


def test_a_verdict_says_who_judged_what():
    answers = [answered("This is Jacob Campbell."), Answer(Probe(id="2", kind="Spanish", question="?"), "Es.")]
    verdicts = well_formed(answers, PATTERNS, ALLOWED)
    assert [(v.probe, v.name, v.judge, v.value) for v in verdicts] == [
        ("1", "well-formed", "rules-1", 1),
        ("2", "well-formed", "rules-1", 0),
    ]
    assert well_formed([], PATTERNS, ALLOWED) == []


def test_the_key_is_that_of_all_the_judge_was_shown():
    text = "This is Jacob Campbell."
    assert judged(text).key == judged(text).key
    others = [judged(text + " "), judged(text, PATTERNS[:2]), judged(text, allowed="Jacob Campbell")]
    assert len({judged(text).key, *(other.key for other in others)}) == 4
