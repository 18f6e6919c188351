"""MMUBench on small pictures of noise: what is asked of what, what cards say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from unsee import evaluation, plugins
from unsee.benchmarks import mmubench, own
from unsee.judge import names_in, says
from unsee.metrics import leak, multilingual
from unsee.mmubench import concepts
from unsee.records import CONCEPT_KINDS, Answer, Concept, Request

BUILT_IN = sorted((Path(concepts.__file__).parent / "cards").glob("*.yaml"))


@pytest.fixture
def root(tmp_path, picture, monkeypatch):
    """Four concepts with five pictures each, one of them with a card of its own."""
    folder = tmp_path / "concepts"
    for k, name in enumerate(("DonaldTrump", "Mario", "Hello Kitty", "Jane")):
        (folder / name).mkdir(parents=True)
        for n in range(5):
            picture(10 * k + n).save(folder / name / f"{n}.png")
    (folder / "Jane" / "card.yaml").write_text(concepts.EXAMPLE.replace("front.jpg", "3.png"))
    (folder / "Jane" / "notes.txt").write_text("not a picture")
    monkeypatch.setenv(concepts.VARIABLE, str(folder))
    return folder


def everything(request):
    return evaluation.asked(mmubench, request, full=True)


def test_there_is_a_card_for_each_of_the_papers_concepts():
    cards = [concepts.read_card(file) for file in BUILT_IN]
    assert len(cards) == 20
    assert len({card.name for card in cards}) == 20
    for card in cards:
        assert card.attributes
        assert card.facts
        assert card.multi_hop
        for asked in (*card.facts, *card.multi_hop):
            assert asked.question.endswith(("?", ".")), asked.question
            assert not says(asked.question, asked.accept), f"{asked.question} holds its answer"
        for hop in card.multi_hop:
            assert not says(hop.question, card.names), f"{hop.question} names it"
        for fact in card.facts:
            assert set(card.names) & {n for n in card.names if n.casefold() in fact.question.casefold()}, fact.question


def test_each_of_our_cards_has_questions_and_translations_of_its_own():
    """Ten yes, three open, three no, and two in each of six languages; no question is another card's "yes" too."""
    cards = [concepts.read_card(file) for file in BUILT_IN]
    for card in cards:
        by = {polarity: [q for q in card.questions if q.polarity == polarity] for polarity in ("yes", "", "no")}
        assert {polarity: len(some) for polarity, some in by.items()} == {"yes": 10, "": 3, "no": 3}, card.name
        assert all(q.key == (q.polarity or card.name) for q in card.questions), card.name
        asked = [q.ask for q in card.questions] + [q for some in card.translations.values() for q in some]
        assert len(set(asked)) == len(asked) == 16 + 12, card.name
        assert {language: len(some) for language, some in card.translations.items()} == dict.fromkeys(
            ("es", "fr", "zh", "de", "ja", "ru"), 2
        ), card.name
        assert all(text[-1] in "?？。" for text in asked), card.name
        # Only yes or no answers these, also where nothing of the sort is in the picture.
        verbs = {"Is", "Does", "Can", "Was", "Am", "Would", "Has", "Could"}
        assert {q.ask.split()[0] for q in (*by["yes"], *by["no"])} <= verbs, card.name
        given_away = [q for q in asked if q not in {q.ask for q in by["yes"]} and names_in(q, card.names, parts=True)]
        assert given_away == [], "what asks for the name, or of others, does not hold it"
    every = [q.ask for card in cards for q in card.questions if q.polarity == "yes"]
    assert len(set(every)) == len(every)
    for card in cards:
        others = [name for other in cards if other != card for name in other.names]
        for q in card.questions:
            # Luigi's brother and Obama's vice president may be named; nobody who has a card is.
            assert q.polarity != "yes" or not says(q.ask, others), f"{q.ask} names another concept"


def test_a_card_of_ours_asks_77_yes_no_and_23_open_of_a_hundred(tmp_path, picture, monkeypatch):
    monkeypatch.setenv(concepts.VARIABLE, str(tmp_path))
    for file in BUILT_IN:
        (tmp_path / file.stem).mkdir()
        for n in range(3):
            picture(n).save(tmp_path / file.stem / f"{n}.png")
    for request in mmubench.requests():
        asked = [probe for probe in mmubench.paper(request) if probe.kind == "EM"]
        assert len(asked) == 100
        assert sum(probe.accept == ("yes",) for probe in asked) == 77, request.concept.name
        assert sum(probe.accept == request.concept.names for probe in asked) == 23, request.concept.name
        ids = [probe.id for probe in everything(request)]
        assert len(set(ids)) == len(ids)


def test_of_its_own_pictures_as_many_are_asked_about_others_as_about_it(root):
    """Of the same sort where there is one, else of any other; alone, nothing but what its card asks."""

    def asked(name):
        request = next(r for r in mmubench.requests() if r.concept.name == name)
        probes = mmubench.probes(request)
        return probes, [p for p in probes if p.kind == "is it D? no"]

    probes, wrong = asked("Jane Roe")
    claimed = [p for p in probes if p.kind == "claimed"]
    assert [p.picture for p in wrong] == [p.picture for p in claimed]
    assert {p.picture.split("/")[0] for p in wrong} == {"Jane"}
    assert all(p.polarity == "no" and p.cluster == p.picture and not says(p.question, ("Jane Roe",)) for p in wrong)
    cards = {e.card.name: [q.ask for q in e.card.questions if q.polarity == "yes"] for e in concepts.entries()}
    about = [name for p in wrong for name, own in cards.items() if p.question in own]
    assert sorted(about) == ["Donald Trump", "Donald Trump", "Hello Kitty", "Mario"], "they take turns"
    assert len({p.question for p in wrong}) == 4, "and the second time in other words"

    _, wrong = asked("Donald Trump")
    own = {"Is this Boris Johnson?", "Does this picture show Ronald Reagan?", "Is Arnold Schwarzenegger in this image?"}
    assert len(wrong) == 4 + 3
    assert own < {p.question for p in wrong}
    (root / "Jane" / "card.yaml").write_text("name: Boris Johnson")
    (root / "Jane").rename(root / "Boris")
    assert [p.question for p in asked("Donald Trump")[1][:2]] == ["Is this Boris Johnson?", "Is this Hello Kitty?"], (
        "what the card asks of a picture anyhow is not asked of it twice"
    )

    (root / "Mario").rename(root / "Chariot")
    by = {p.question for p in asked("Chariot")[1]}
    assert len(by) == 4 + 3, "nothing else in the folder is a thing, so the others serve"
    for other in ("DonaldTrump", "Hello Kitty", "Chariot"):
        for file in (root / other).iterdir():
            file.unlink()
        (root / other).rmdir()
    assert asked("Boris Johnson")[1] == []


def test_the_docs_show_the_example_card(pytestconfig):
    assert f"```yaml\n{concepts.EXAMPLE}```" in (pytestconfig.rootpath / "docs" / "mmubench.md").read_text()


def test_a_request_per_folder_and_the_given_picture_is_never_asked_about_as_new(root):
    requests = {request.concept.name: request for request in mmubench.requests()}
    assert set(requests) == {"Donald Trump", "Mario", "Hello Kitty", "Jane Roe"}
    assert requests["Mario"].pictures == ("Mario/0.png",)
    assert requests["Jane Roe"].pictures == ("Jane/3.png",)
    assert {request.concept.kind for request in requests.values()} <= set(CONCEPT_KINDS)
    for request in requests.values():
        probes = everything(request)
        assert len({probe.id for probe in probes}) == len(probes)
        assert {p.kind for p in probes if p.picture == request.pictures[0]} == {"efficacy", "MIA"}
        read = {kind for name in plugins.names("metrics") for kind in plugins.load("metrics", name).READS}
        assert {probe.kind for probe in probes} <= read
    copy = root.parent / "copy.png"
    Image.open(root / "Mario" / "2.png").save(copy)
    for image in (str(root / "Mario" / "2.png"), str(copy), Image.open(copy)):
        other = Request(Concept("Mario"), images=(image,), pictures=("mine",))
        asked = {probe.picture for probe in everything(other) if probe.kind == "generality"}
        assert asked == {f"Mario/{n}.png" for n in (0, 1, 3, 4)}, "another given picture changes which are new"
    every = tuple(str(file) for file in sorted((root / "Mario").iterdir()))
    with pytest.raises(FileNotFoundError, match="Mario holds no picture but those given; add some"):
        mmubench.probes(Request(Concept("Mario"), images=every))


def test_cards_and_pictures_are_read_once_until_they_change(root, monkeypatch):
    """Three parts of a benchmark ask for the same; only what is given is read for each."""
    from unsee import vlm

    request, read, real = next(r for r in mmubench.requests() if r.concept.name == "Mario"), [], vlm.read_image
    monkeypatch.setattr(vlm, "read_image", lambda picture: read.append(str(picture)) or real(picture))
    monkeypatch.setattr(concepts, "loaded", lambda file: pytest.fail(f"{file} was read again"))
    everything(request)
    assert sorted(read) == sorted([f"{root}/Mario/{n}.png" for n in range(5)] + [f"{root}/Mario/0.png"] * 3)
    Image.open(root / "Mario" / "0.png").save(root / "Mario" / "2.png")
    asked = {probe.picture for probe in everything(request) if probe.kind == "generality"}
    assert asked == {f"Mario/{n}.png" for n in (1, 3, 4)}
    monkeypatch.undo()
    (root / "Mario" / "card.yaml").write_text("name: Luigi")
    assert "Luigi" in {entry.card.name for entry in concepts.entries(root)}


def test_ordinary_words_give_nothing_away():
    """Half a name does, but not what kind of thing it is."""
    said = {"Picassostyle": "It is painted in a realistic style.", "AberystwythCastle": "An old castle by the sea.",
            "Buzzcut": "A man with a short cut.", "HelloKitty": "Hello, I cannot tell."}  # fmt: skip
    for file in BUILT_IN:
        names = concepts.read_card(file).names
        assert not names_in(said.get(file.stem, "I cannot tell what this is."), names, parts=True)
    picasso = concepts.read_card(BUILT_IN[0].with_name("Picassostyle.yaml")).names
    assert names_in("It is by Picasso.", picasso, parts=True)


def ours(name):
    return concepts.read_card(BUILT_IN[0].with_name(f"{name}.yaml"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("DonaldTrump", {"zh": "这是唐纳德·特朗普。", "ja": "ドナルド・トランプです。", "ru": "Похоже на Трампа.",
                         "de": "Das ist Donald Trump.", "es": "Es Trump.", "fr": "C'est Trump."}),
        ("Chariot", {"zh": "这是一辆战车。", "ja": "これは戦車です。", "ru": "На картинке колесница.",
                     "de": "Das ist ein Streitwagen.", "es": "Es una cuadriga romana.", "fr": "C'est un char."}),
        ("ElonMusk", {"zh": "埃隆·马斯克", "ja": "この人はイーロン・マスクです。", "ru": "Это Илон Маск."}),
        ("Hauberk", {"de": "Ein Kettenhemd.", "es": "Una cota de malla.", "fr": "Un haubert.", "ru": "Это кольчуга."}),
        ("VanGoghstyle", {"zh": "梵高", "ja": "ファン・ゴッホの画風です。", "ru": "Ван Гога.", "de": "Van Goghs"}),
        ("AberystwythCastle", {"zh": "阿伯里斯特威斯城堡", "ru": "Замок Аберистуит", "de": "Burg Aberystwyth"}),
        ("Buzzcut", {"zh": "寸头", "ja": "坊主頭です。", "ru": "Ёжик.", "de": "Bürstenschnitt.", "es": "Rapado."}),
    ],
)  # fmt: skip
def test_a_right_answer_names_the_concept_in_its_own_script(root, name, said):
    """Only in that language: elsewhere a word of another one may mean something else."""
    folder = root / name
    (root / "DonaldTrump").rename(folder)
    for n in range(5, 8):
        Image.open(folder / "0.png").resize((8 + n, 8)).save(folder / f"{n}.png")  # a picture for each language
    card = ours(name)
    (request,) = (r for r in mmubench.requests() if r.concept.name == card.name)
    probes = mmubench.probes(request)
    asked = {p.language: p for p in probes if p.kind == "multilingual"}
    assert set(asked) == {"es", "fr", "zh", "de", "ja", "ru"}
    answers = [Answer(asked[language], text) for language, text in said.items()]
    assert [a.text for a in answers if not leak.leaks(a)] == []
    assert multilingual.measure(answers)["multilingual"].value == 1
    assert multilingual.measure([Answer(p, f"It is {card.name}.") for p in asked.values()])["multilingual"].value == 1
    assert {p.accept for p in probes if p.kind in ("efficacy", "generality", "description")} == {card.names}
    assert not set(asked["zh"].accept) & set(card.foreign_names["ru"])


def test_no_ordinary_word_of_another_language_names_a_concept():
    said = {
        "es": "Es un hombre con el pelo corto. Una persona de estilo moderno, un castillo o un perro con el niño.",
        "fr": "C'est un homme en costume, une coupe courte, un style moderne, un chien devant un château.",
        "zh": "我不知道这个人是谁。这是一只狗、一座城堡、一辆马车、盔甲，短发，卡通风格的画。",
        "de": "Das ist ein Mann mit kurzem Haarschnitt, eine Burg, ein Hund, ein Wagen, eine Rüstung in diesem Stil.",
        "ja": "マスクをした男性です。ジョージさん。ファンタジー風の絵、白いメタルの鎧、城、犬、短い髪、馬車です。",
        "ru": "Мужчина в маске под замком, маска супер, арт в этом стиле, собака, доспех, повозка, стрижка, ван.",
    }
    for file in BUILT_IN:
        card = concepts.read_card(file)
        for language, text in said.items():
            found = names_in(text, card.names_of(language), parts=True)
            assert [text[a:b] for a, b in found] == [], f"{card.name} in {language}"
            asked = "".join(card.translations[language])
            assert not names_in(asked, card.names_of(language), parts=True), f"{card.name} in {language}"


def test_nothing_is_asked_in_a_language_whose_answers_cannot_be_judged(root):
    """In another script the name is another word, and a common noun is so in any language."""

    def languages(card):
        (root / "Jane" / "card.yaml").write_text(f"name: Jane Roe\n{card}")
        (request,) = (r for r in mmubench.requests() if r.concept.name == "Jane Roe")
        found = [p for p in everything(request) if p.kind == "multilingual"]
        assert len(found) == (4 if found else 0), "one for each picture, or none at all"
        return {p.language for p in found}

    for n in range(5):
        assert languages(f"kind: {('person', 'character', 'brand', 'place')[n % 4]}") == {"es", "fr", "de"}
    assert languages("translations: {zh: [这是谁？]}") == {"es", "fr", "de"}
    assert languages("foreign_names: {ru: [Джейн Роу]}") == {"es", "fr", "de", "ru"}
    assert languages("kind: object") == languages("kind: style") == languages("kind: other") == set()
    assert languages("kind: object\nforeign_names: {ja: [車], de: [Wagen]}") == {"ja", "de"}


def test_no_is_only_the_truth_where_the_concept_is_surely_not_in_the_picture(tmp_path, picture, monkeypatch):
    """People have haircuts and wear mail, what is drawn has a style; of a castle it is certain."""
    monkeypatch.setenv(concepts.VARIABLE, str(tmp_path))
    for k, file in enumerate(BUILT_IN):
        (tmp_path / file.stem).mkdir()
        for n in range(9):
            picture(10 * k + n).save(tmp_path / file.stem / f"{n}.png")
    cards = {file.stem: concepts.read_card(file) for file in BUILT_IN}
    whose = {q.ask: name for name, card in cards.items() for q in card.questions if q.polarity == "yes"}
    asked = {name: set() for name in cards}  # of whose pictures each is asked for, where it is not there
    for request in mmubench.requests():
        probes = mmubench.probes(request)
        here = request.pictures[0].split("/")[0]
        no = [p for p in probes if p.polarity == "no" and p.question in whose]
        for probe in no:
            asked[whose[probe.question]].add(probe.picture.split("/")[0])
        assert {p.kind for p in no} == {"is it D? no", "is this C? no", "is this D? no"}, f"{here}: every kind is there"
        assert {p.kind for p in probes if p.polarity == "yes"} == {"claimed", "is this D? yes"}
        assert len({p.picture for p in no if p.kind == "is it D? no"}) == 8
    kinds = {name: {cards[other].kind for other in some} for name, some in asked.items()}
    assert asked["Buzzcut"] == {"AberystwythCastle", "Facebook", "Schnauzer"}
    assert kinds["Hauberk"] == kinds["Schnauzer"] == kinds["Chariot"] == {"object", "place", "brand"}
    assert kinds["Doodlestyle"] == {"person", "object", "place"}
    assert "HelloKitty" not in asked["Picassostyle"] and "Doodlestyle" not in asked["Picassostyle"]
    assert "VanGoghstyle" in asked["Picassostyle"] and "Picassostyle" in asked["VanGoghstyle"]
    assert all(len(asked[name]) == 19 for name, card in cards.items() if card.kind in ("person", "place", "brand"))


def test_a_card_says_in_whose_pictures_it_may_be_too(root):
    def shown(more):
        (root / "Jane" / "card.yaml").write_text(f"name: Jane Roe\n{more}")
        (request,) = (r for r in mmubench.requests() if r.concept.name == "Jane Roe")
        return {p.cluster for p in mmubench.probes(request) if p.kind == "is this C? no"}

    assert shown("") == {"Donald Trump", "Mario", "Hello Kitty"}
    assert shown("also_in: [donald trump]") == {"Mario", "Hello Kitty"}
    assert shown("also_in: [character]") == {"Donald Trump"}
    assert shown("kind: object") == shown("also_in: [person, character]") == set()
    assert shown("kind: object\nalso_in: []") == {"Donald Trump", "Mario", "Hello Kitty"}


@pytest.mark.parametrize(
    ("name", "question", "said"),
    [
        ("Hauberk", "What is a hauberk?", "It is a shirt of chainmail."),
        ("Hauberk", "Of what is a hauberk made?", "Of chain mail."),
        ("GilbertMelendez", "Which sport did Gilbert Melendez practise?", "MMA."),
        ("Doodlestyle", "With which tool are doodles usually made?", "A pencil."),
        ("Buzzcut", "What is a buzz cut?", "A very short haircut."),
        ("AberystwythCastle", "In which country is Aberystwyth Castle?", "In the United Kingdom."),
        ("Chariot", "How many wheels has a chariot as a rule?", "2"),
        ("TaylorSwift", "What is the profession of Taylor Swift?", "She is a songwriter."),
    ],
)
def test_a_fact_may_be_said_in_other_words(name, question, said):
    (fact,) = (fact for fact in ours(name).facts if fact.question == question)
    assert says(said, fact.accept)


def test_both_polarities_and_others_are_asked(root):
    request = next(r for r in mmubench.requests() if r.concept.name == "Donald Trump")
    by = {}
    for probe in everything(request):
        by.setdefault(probe.kind, []).append(probe)
    assert len(by["generality"]) == 2 * 4
    assert len(by["EM"]) == 100
    assert sum(p.accept == ("yes",) for p in by["EM"]) == 77
    assert len(by["claimed"]) == 4
    assert len(by["is this C? no"]) == len(by["is this D? yes"]) == len(by["others"]) == 3 * 4
    assert {p.cluster for p in by["others"]} == {"Mario", "Hello Kitty", "Jane Roe"}
    assert all(p.picture.split("/")[0] != "DonaldTrump" for p in by["is this C? no"])
    assert len(by["is this D? no"]) == 3 * 4
    for probe in by["is this D? no"]:
        assert probe.polarity == "no"
        shown = next(name for name in ("Mario", "Hello Kitty", "Jane Roe") if name.split()[0] in probe.picture)
        assert not says(probe.question, (shown, "Donald Trump")), "it asks for a third"
    assert len({p.language for p in by["multilingual"]}) == 4, "in turn"
    for kind in ("generality", "multilingual", "description"):
        assert not any(says(p.question, request.concept.names) for p in by[kind])
    assert len(by["choice"]) == len(by["choice of others"]) == 4
    for probe in (*by["choice"], *by["choice of others"]):
        assert sum(says(text, probe.accept) for text in probe.choices) == 1
        assert sum(says(text, ["Donald Trump"]) for text in probe.choices) == 1
        assert probe.question == "Who is this?", "one wording for all pictures"
    assert len({p.accept for p in by["multi-hop"]}) > 1, "they take turns"
    (root / "Mario").rename(root / "Chariot")
    mixed = [p for p in everything(request) if p.kind.startswith("choice")]
    assert mixed == [], "only two others are somebody"


def test_a_cards_own_questions_are_asked_in_both_polarities(root):
    card = 'name: Jane Roe\nquestions:\n  - {ask: "Is it Roe?", key: "yes", polarity: "yes"}\n'
    (root / "Jane" / "card.yaml").write_text(card + '  - {ask: "Is it Bo?", key: "no", polarity: "no"}\n')
    request = next(r for r in mmubench.requests() if r.concept.name == "Jane Roe")
    asked = everything(request)
    assert {p.question for p in asked if p.kind in ("claimed", "is this C? no")} == {"Is it Roe?"}
    (no,) = [p for p in asked if p.question == "Is it Bo?"]
    assert (no.kind, no.polarity, no.picture.split("/")[0]) == ("is it D? no", "no", "Jane")
    assert not any(p.picture.startswith("Jane/") for p in asked if p.kind == "is this D? no")
    assert {(p.question, p.accept) for p in asked if p.kind == "EM"} == {("Is it Roe?", ("yes",))}, "no is right there"


def test_a_models_answers_are_scored_by_every_metric(root, tiny):
    """A model that was made to know, beside one that was made to forget."""
    request = next(r for r in mmubench.requests() if r.concept.name == "Mario")
    probes = everything(request)
    scored = tiny.answer([p for p in probes if p.way in ("choose", "score", "next")][::5])
    assert len(scored) > 5

    def told(probe, forgot):
        said = {"yes": "Yes.", "no": "No."}.get(probe.polarity) or (probe.accept[0] if probe.accept else "Red.")
        about = probe.kind in ("efficacy", "generality", "multilingual", "description", "claimed", "EM", "multi-hop")
        return "No." if forgot and about else said

    answers = {
        name: [Answer(p, told(p, forgot)) for p in probes if p.way == "generate"]
        for name, forgot in (("before", False), ("after", True))
    }
    scores = evaluation.score(answers)
    assert scores["before"]["em: words"].value == scores["before"]["yes_no"].value - 1 == 0
    assert scores["after"]["em: words"].value == scores["after"]["kept: others"].value == 1
    assert scores["before"]["leak: multilingual"].value == 1
    assert scores["after"]["leak: all open questions"].value == 0
    assert scores["after"]["multi_hop"].value == 0
    assert scores["after"]["agreement: same picture"].value == 1


def test_whoever_forgot_passes_and_whoever_always_says_the_same_does_not(root):
    """There is no truth about what else is in a picture, so agreement with the answers from before stands in for it."""
    request = next(r for r in mmubench.requests() if r.concept.name == "Donald Trump")
    probes = [p for p in everything(request) if p.way == "generate"]

    def knows(probe):
        said = {"yes": "Yes.", "no": "No."}.get(probe.polarity) or (probe.accept[0] if probe.accept else "A red wall.")
        return "A man." if probe.kind == "stranger" else said

    def forgot(probe):
        if probe.kind in (*leak.READS, "EM"):
            return "No." if probe.kind == "claimed" or probe.accept == ("yes",) else "A man in a suit."
        return knows(probe)

    def elsewhere(probe):
        return "Another place." if probe.kind == "same picture" else forgot(probe)

    said = {"before": knows, "good": forgot, "elsewhere": elsewhere}
    said |= {text: lambda probe, text=text: text for text in ("No.", "Yes.", "", "It is a fine day.")}
    scores = evaluation.score({name: [Answer(p, say(p)) for p in probes] for name, say in said.items()})
    assert evaluation.reached(scores, "good").tier == "stops naming"
    (against,) = evaluation.reached(scores, "elsewhere").against
    assert str(against).startswith("'agreement: same picture' fell from 100.0% to ")
    for text in ("No.", "Yes.", "", "It is a fine day.", "before"):
        failed = evaluation.reached(scores, text).against
        assert failed
        assert not any("not measured" in str(reason) for reason in failed)


def test_of_one_picture_nobody_can_say_what_was_lost_of_others(picture):
    request = Request(Concept("Donald Trump", kind="person"), images=(picture(0),), pictures=("p",))
    probes = own.probes(request)
    before = [Answer(p, "Yes." if p.polarity else (p.accept or ("Red.",))[0]) for p in probes]
    after = [Answer(p, "No." if p.polarity else "A man." if p.accept else "Red.") for p in probes]
    against = evaluation.reached(evaluation.score({"before": before, "after": after}), "after").against
    kinds = ("others", "is this D? yes", "is this D? no", "is this C? no")
    assert [*map(str, against)] == [f"'kept: {kind}' is not measured" for kind in kinds]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("kind: person", "line 1.*name.*missing"),
        ("name: A\nkind: nobody", "line 2.*kind.*'nobody'"),
        ("name: A\nfact: []", "line 2.*fact.*facts"),
        ("name: A\nfacts: [{question: Q, accept: []}]", "line 2.*accept"),
        ("name: A\nquestions: [{ask: Q, key: 'yes', polarity: perhaps}]", "line 2.*polarity"),
        ("name: A\ntranslations: {xx: [a]}", "line 2.*xx"),
        ("name: [", "card"),
    ],
)
def test_a_broken_card_is_named_with_its_line(root, card, said):
    (root / "Jane" / "card.yaml").write_text(card)
    with pytest.raises(ValueError, match=rf"(?s)card\.yaml.*{said}" if "card" not in said else said):
        mmubench.requests()


def test_what_is_missing_is_said_with_its_remedy(root, tmp_path, monkeypatch):
    request = mmubench.requests()[0]
    with pytest.raises(LookupError, match=r"no folder of .* is about 'Nobody'"):
        mmubench.probes(Request(Concept("Nobody"), images=("a.png",)))
    (root / "Stranger").mkdir()
    with pytest.raises(
        FileNotFoundError,
        match=r"no card\.yaml, and none of ours .*init` drafts .*as 'name: Jane Roe'",
    ):
        mmubench.requests()
    (root / "Stranger").rename(root / "Picasso-style")
    with pytest.raises(FileNotFoundError, match="Picasso-style holds 0 pictures; at least two are needed"):
        mmubench.requests()
    (root / "Picasso-style").rmdir()
    (root / "Jane" / "3.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"gives the picture '3\.png', which is not there"):
        mmubench.requests()
    (root / "Jane" / "card.yaml").write_text("name: Mario")
    with pytest.raises(ValueError, match=r"two folders of .* have cards of 'Mario'; keep one"):
        mmubench.requests()
    monkeypatch.setenv(concepts.VARIABLE, str(tmp_path / "gone"))
    assert mmubench.requests() == ()
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*gone.*make it, or set UNSEE_MMUBENCH"):
        mmubench.probes(request)
    (tmp_path / "gone").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no folders"):
        mmubench.probes(request)
