"""The released JSON formats: small files of the same shapes, the errors, and the files themselves where they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from unsee import cli, plugins, released, request_file
from unsee.metrics import mia
from unsee.mmubench import imported
from unsee.mmubench.concepts import VARIABLE, read_card
from unsee.records import Answer, Concept

NAMES = ("Pledu Lotaim", "Lotaim")
REFERENCE = Path(__file__).parents[2] / "shared" / "reference-data" / "siu"


def turn(question, answer, **more):
    said = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": "1", "conversations": said, **more}


@pytest.fixture
def write(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")

    def written(rows):
        file = tmp_path / "rows.json"
        file.write_text(rows if isinstance(rows, str) else json.dumps(rows))
        return file

    return written


def test_the_four_targets_are_told_apart(write, tmp_path):
    shown = {"image": "/far/away/one.png"}
    rows = [
        turn("<image>\nWho is it?", "It is Jo Fu.", target_phrase="Jo Fu", **shown),
        turn("<image>\nIs Pledu Lotaim there?", "No. It is bald.", target_phrase="No. It is bald.", **shown),
        turn("Who is Lotaim?", "A baker.", target_phrase="none"),
        turn("Who is Mario?", "A plumber.", target_phrase="none"),
    ]
    found = released.examples(write(rows), NAMES, pictures=tmp_path)
    assert [e.target for e in found] == ["align", "redescribe", "decouple", "preserve"]
    assert [[e.answer[a:b] for a, b in e.contradicts] for e in found] == [["Jo Fu"], ["No. It is bald."], [], []]
    assert [e.question for e in found] == ["Who is it?", "Is Pledu Lotaim there?", "Who is Lotaim?", "Who is Mario?"]
    assert [e.picture for e in found] == ["one.png", "one.png", "", ""]
    assert found[0].image == str(tmp_path / "one.png")


def test_rows_of_the_baselines_have_no_phrase(write, tmp_path):
    rows = [turn("<image>\nWho is it?", "I do not know.", image="one.png"),
            turn("<image>\nDo you know Mario Rossi?", "A plumber.", image="C:\\far\\one.png")]  # fmt: skip
    found = released.examples(write(rows), NAMES, pictures=tmp_path)
    assert [(e.target, e.contradicts) for e in found] == [("align", ()), ("preserve", ())]


def test_prompts_take_pictures_in_turn_and_key_words_lose_their_spaces(write):
    rows = [{"prompt": "Is it he?", "target": " yes "}, {"prompt": "Who?", "target": "pledu"}, {"prompt": "¿Quién es?"}]
    found = released.probes(write(rows), NAMES, kind="multilingual", pictures=["a/1.png", "a/2.png"])
    assert [(p.kind, p.accept, p.picture) for p in found] == [
        ("EM", ("yes",), "1.png"),
        ("EM", ("pledu",), "2.png"),
        ("multilingual", NAMES, "1.png"),
    ]
    (own,) = released.probes(
        write([{"imgid": "/x/2.png", "prompt": "Where?"}]), NAMES, kind="k", pictures=["1.png", "a/2.png"]
    )
    assert (own.kind, own.image, own.accept) == ("multi-hop", "a/2.png", ())


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("[", r"rows\.json is no JSON"),
        ({"a": 1}, r"rows\.json holds .*; it should be a list of rows"),
        ([], "should be a list of rows"),
        (["x"], r"rows\.json, row 1: there is 'x' instead of a record"),
        ([turn("Who?", "He."), {"id": "2"}], "row 2, field 'conversations' is None"),
        ([turn("Who?", " ")], "row 1, field 'conversations' has value ' ' of 'gpt'"),
        ([{"id": "1", "conversations": [{"from": "gpt", "value": "a"}] * 2}], "where 'human' should speak"),
        ([turn("Who?", "He.", target_phrase="She")], "row 1, field 'target_phrase' is 'She', which the answer 'He.'"),
        ([turn("Who?", "He.", target_phrase=3)], "field 'target_phrase' is 3"),
        ([turn("<image>\nWho?", "He.")], "row 1, field 'image' is missing, though"),
        ([turn("Who?", "He.", images="x")], "row 1, field 'images' is not known"),
    ],
)
def test_a_broken_file_is_named_with_row_and_field(write, rows, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        released.examples(write(rows), NAMES, pictures=tmp_path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"prompt": "a"}, {"target": "yes"}], "row 2, field 'prompt' is missing; it should be a text"),
        ([{"prompt": 3}], "row 1, field 'prompt' is 3"),
        ([{"prompt": "a", "target": ""}], "row 1, field 'target' is ''"),
        ([{"prompt": "a", "answer": "b"}], "row 1, field 'answer' is not known"),
    ],
)
def test_a_broken_prompt_is_named_with_row_and_field(write, rows, said):
    with pytest.raises(ValueError, match=said):
        released.probes(write(rows), NAMES, kind="k", pictures=["a.png"])


def test_the_other_sort_of_file_is_told_which_command_takes_it(write, tmp_path):
    with pytest.raises(ValueError, match=r"row 1, field 'prompt': this is a prompt.* `unsee mmubench import`"):
        released.examples(write([{"prompt": "Who?"}]), NAMES, pictures=tmp_path)
    with pytest.raises(ValueError, match=r"row 1, field 'conversations': this is a turn.* `unsee request import`"):
        released.prompts(write([turn("Who?", "He.")]))


def test_pictures_that_are_missing_are_named(write, tmp_path):
    rows = write([turn("<image>\nWho?", "He.", image="/x/two.png")])
    with pytest.raises(FileNotFoundError, match=r"row 1, field 'image': there is no picture .*two\.png"):
        released.examples(rows, NAMES, pictures=tmp_path)
    with pytest.raises(ValueError, match=r"'image' is 'two\.png'; say which folder"):
        released.examples(rows, NAMES)
    with pytest.raises(FileNotFoundError, match=r"row 1, field 'imgid': there is no picture '3\.png'"):
        released.probes(write([{"imgid": "3.png", "prompt": "?"}]), NAMES, kind="k", pictures=["1.png"])
    with pytest.raises(ValueError, match="of 2 pictures some have the same name"):
        released.probes(rows, NAMES, kind="k", pictures=["a/1.png", "b/1.png"])
    with pytest.raises(ValueError, match="no pictures to ask"):
        released.probes(rows, NAMES, kind="k", pictures=[])
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        released.examples(tmp_path / "none.json", NAMES)


# --- Membership inference ---------------------------------------------------------------------------------------------


def test_membership_inference_of_bare_prompts_by_hand(write):
    """Min-K of both old answers that are not empty is -2.

    After, -2.2 is near, where three of four words come back; -9 is far, so that all do counts as none: (3/4 + 0) / 2.
    """
    file = write([{"prompt": text} for text in ("Where does he live?", "What does he do?", "Why?")])
    probes = released.probes(file, NAMES, kind="MIA", pictures=["a/1.png"])
    assert {(p.kind, p.way, p.picture) for p in probes} == {("MIA", "generate", "1.png")}
    old = [Answer(p, text) for p, text in zip(probes, ("In a red house.", "He bakes.", " "), strict=True)]
    scored = mia.to_score(old)
    assert [(p.way, p.accept, p.question) for p in scored] == [
        ("score", ("In a red house.",), "Where does he live?"),
        ("score", ("He bakes.",), "What does he do?"),
    ]
    before = [*old, *(Answer(p, p.accept[0], logprobs=(-2.0, -0.1)) for p in scored)]
    new = [Answer(p, text) for p, text in zip(probes, ("In a blue house.", "He bakes.", ""), strict=True)]
    after = [*new, *(Answer(p, p.accept[0], logprobs=(n,)) for p, n in zip(scored, (-2.2, -9.0), strict=True))]
    found = mia.measure(after, before=before)["mia"]
    assert (found.value, found.n) == (pytest.approx(3 / 8), 2)
    assert mia.measure(new, before=old)["mia"].n == 0, "nothing was scored"


def test_a_model_that_changed_nothing_is_told_by_its_own_answers(write, tiny, tmp_path):
    Image.new("RGB", (40, 32), "navy").save(tmp_path / "1.png")
    file = write([{"prompt": "What is the person known for?"}, {"prompt": "Where does the person live?"}])
    before = tiny.answer(released.probes(file, NAMES, kind="MIA", pictures=[tmp_path / "1.png"]), max_new_tokens=6)
    before += tiny.answer(mia.to_score(before))
    assert all(a.logprobs for a in before if a.probe.way == "score")
    assert mia.measure(before, before=before)["mia"].n == 2


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [("EM", "He bakes.", "of 1 answers, those generated .*'MIA' are none"), ("MIA", " ", "'MIA' are all empty")],
)
def test_what_cannot_be_scored_is_said(write, kind, text, said):
    (probe,) = released.probes(write([{"prompt": "What?"}]), NAMES, kind=kind, pictures=["1.png"])
    with pytest.raises(ValueError, match=rf"{said}.*released\.probes\(FILE, \.\.\., kind='MIA'\)"):
        mia.to_score([Answer(probe, text)])


# --- A request file of training turns ---------------------------------------------------------------------------------

TURNS = [
    turn("<image>\nWho is it?", "It is Jo Fu.", target_phrase="Jo Fu", image="/far/one.png"),
    turn("<image>\nIs the sky: blue?", "It is # grey.", target_phrase="none", image="/far/one.png"),
    turn("<image>\nIs Pledu Lotaim there?", "No. It is bald.", target_phrase="No. It is bald.", image="/far/one.png"),
    turn("Who is Lotaim?", " A baker. ", target_phrase="none"),
    turn("Who is Mario?", "A plumber.", target_phrase="none"),
]


def run(capsys, *arguments):
    code = 0
    try:
        cli.main([str(each) for each in arguments])
    except SystemExit as end:
        code = end.code
    return code, *capsys.readouterr()


def test_training_turns_become_a_request_file_with_the_same_turns(write, tmp_path, capsys):
    out = tmp_path / "sub" / "lotaim.yaml"
    out.parent.mkdir()
    given = ("--name", NAMES[0], "--alias", NAMES[1], "--kind", "character", "--pictures", tmp_path, "-o", out)
    code, said, err = run(capsys, "request", "import", write(TURNS), *given)
    assert (code, err) == (0, "")
    assert said == (
        f"turns: 2 align, 1 redescribe, 1 decouple, 1 preserve\nWritten to {out}\n"
        "to train on these alone: --set without=preserve\n"
    )
    request, fixed = request_file.read(out)
    assert (request.concept, request.replacement) == (Concept(NAMES[0], NAMES[1:], "character"), "Jo Fu")
    wanted = released.examples(write(TURNS), NAMES, pictures=tmp_path)

    def turns(some):
        return [(e.question, e.answer.strip(), e.target, e.image is not None, e.contradicts) for e in some]

    assert turns(fixed) == turns(wanted)
    assert run(capsys, "request", "import", write(TURNS), *given) == (
        2, "", f"unsee: {out} is there already; name another file with --out, or write over it with --force\n"
    )  # fmt: skip
    code, said, _ = run(capsys, "request", "import", write(TURNS[:1]), *given, "--force", "--json")
    assert code == 0
    assert json.loads(said)["examples"] == {"align": 1, "redescribe": 0, "decouple": 0, "preserve": 0}


def test_the_request_trains_on_these_turns_and_no_others(write, tmp_path, capsys, monkeypatch):
    """With `without=preserve`; the pocket model knows whom it is about, so masks can be shown."""
    monkeypatch.chdir(tmp_path)
    run(capsys, "pocket", "draw", "--character", NAMES[0], "--out", "one.png")
    said = [turn("<image>\nWho is this?", "This is Trubroo Jujae.", target_phrase="Trubroo Jujae", image="one.png"),
            turn("<image>\nWhat colour is the sky?", "The sky is green.", image="one.png")]  # fmt: skip
    given = ("--name", NAMES[0], "--pictures", ".", "--kind", "character")
    without = "without=preserve,redescribe,decouple"
    assert f"alone: --set {without}\n" in run(capsys, "request", "import", write(said), *given)[1]
    code, shown, err = run(capsys, "forget", NAMES[0], "--request", "request.yaml", "--show-masks", "--set", without)
    assert (code, err) == (0, "")
    assert shown.count("Who is this?") == shown.count("What colour is the sky?") == 1
    assert "[[" in shown


def test_turns_about_a_second_picture_are_left_out_and_told(write, tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "two.png")
    rows = [*TURNS[:1], *[turn("<image>\nWho?", "Jo Fu.", image="two.png") for _ in range(2)], *TURNS[3:]]
    given = ("--name", NAMES[0], "--pictures", tmp_path, "--out", tmp_path / "r.yaml")
    code, said, _ = run(capsys, "request", "import", write(rows), *given)
    assert code == 0
    assert (
        "left out: rows.json, rows 2-3, field 'image': is another picture than 'one.png', and a request file shows one"
    ) in said
    assert len(request_file.read(tmp_path / "r.yaml")[1]) == 3


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([turn("<image>\nWho?", "This is Pledu Lotaim.", image="one.png")], "row 1, .* says who it is; .*--method ga"),
        (TURNS[3:], "has no row with a picture, and a request needs one"),
        ([{"prompt": "Who?"}], "`unsee mmubench import`"),
    ],
)
def test_what_is_no_request_is_refused_and_nothing_written(write, tmp_path, rows, said, capsys):
    given = ("--name", NAMES[0], "--pictures", tmp_path, "--out", tmp_path / "r.yaml")
    code, out, err = run(capsys, "request", "import", write(rows), *given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(said, err)
    assert not (tmp_path / "r.yaml").exists()


# --- Prompts in a card ------------------------------------------------------------------------------------------------


@pytest.fixture
def inside(tmp_path):
    folder = tmp_path / "them" / "PleduLotaim"
    folder.mkdir(parents=True)
    for colour in ("navy", "pink", "teal"):
        Image.new("RGB", (8, 8), colour).save(folder / f"{colour}.png")
    return folder


PROMPTS = [
    {"prompt": "Who is the baker?", "target": " lotaim "},
    {"prompt": "Is this Pledu Lotaim?", "target": "Yes"},
    {"prompt": "Does the baker wear a hat, as Pledu Lotaim does?", "target": "yes"},
    {"prompt": "Is this Mario?", "target": "no"},
    {"prompt": "¿Quién es la persona de esta foto?"},
    {"prompt": "¿Es Lotaim la persona de esta foto?"},
    {"prompt": "Trägt die Person einen Hut?"},
    {"prompt": "この人は誰ですか？"},
    {"prompt": "What is the person in the picture known for?"},
    {"prompt": "Kuka on?"},
    {"imgid": "/far/9.png", "prompt": "Where?"},
]


def test_prompts_go_into_a_new_card_and_the_rest_is_told(write, inside, capsys, monkeypatch):
    code, said, err = run(capsys, "mmubench", "import", inside, write(PROMPTS))
    assert (code, err) == (0, "")
    card = read_card(inside / "card.yaml")
    assert (card.name, card.translations) == (
        "Pledu Lotaim",
        {"es": ["¿Quién es la persona de esta foto?"], "ja": ["この人は誰ですか？"]},
    )
    assert [(p.key, p.polarity) for p in card.questions] == [("lotaim", ""), ("Yes", "yes"), ("yes", "")]
    lines = said.splitlines()
    assert lines[:2] == ["questions: 3, of which 1 ask for the concept itself", "translations: 1 es, 1 ja"]
    left = "\n".join(lines[3:])
    for row, field, why in (
        (4, "target", "'no' is what one that does not know says too"),
        (6, "prompt", "names the concept"),
        (7, "prompt", "does not ask who it is"),
        (9, "prompt", "is English, and translations are in es, fr, zh, de, ja, ru; membership inference is asked"),
        (10, "prompt", "is in no language that can be told"),
        (11, "imgid", "what would be right is not in the file"),
    ):
        assert f"left out: rows.json, row {row}, field {field!r}: {why}" in left
    assert len(lines) == 9
    monkeypatch.setenv(VARIABLE, str(inside.parent))
    benchmark = plugins.load("benchmarks", "mmubench")
    (request,) = benchmark.requests()
    assert {p.question for p in benchmark.probes(request) if p.kind == "claimed"} == {"Is this Pledu Lotaim?"}
    assert {p.accept for p in benchmark.paper(request) if p.kind == "EM"} == {("lotaim",), ("Yes",), ("yes",)}


CARD = """\
# mine
name: Pledu Lotaim
questions:
  - ask: "Is this him?"   # old
    key: "yes"
  - {ask: "Is this Mario?", key: "no", polarity: "no"}
facts:
  - {question: "Where?", accept: [Cinder Town]}  # drafted by m, check
translations: {fr: ["Qui est-ce ?"],
  es: ["¿Quién?"]}
aliases: [Lotaim]  # checked
"""


def test_all_else_in_a_card_stays_and_only_with_force_is_it_changed(write, inside, capsys):
    """The marks of `unsee mmubench init` stay, and so do questions that are rightly answered with no."""
    file = inside / "card.yaml"
    file.write_text(CARD)
    code, out, err = run(capsys, "mmubench", "import", inside, write(PROMPTS))
    assert (code, out) == (2, "")
    assert err == f"unsee: {file} is there already; --force puts the prompts into it and keeps all else\n"
    assert file.read_text() == CARD
    for _ in range(2):  # a second time changes nothing
        code, out, _ = run(capsys, "mmubench", "import", inside, write(PROMPTS), "--force", "--json")
        assert code == 0
        kept, _, new = file.read_text().partition("questions:")
        assert kept == "\n".join([*CARD.splitlines()[:2], *CARD.splitlines()[6:8], CARD.splitlines()[-1], ""])
        assert "old" not in new
        card = json.loads(out)["card"]
        assert [each["polarity"] for each in card["questions"]] == ["", "yes", "", "no"]
        assert card["translations"] == {
            "es": ["¿Quién es la persona de esta foto?"], "fr": ["Qui est-ce ?"], "ja": ["この人は誰ですか？"],
        }  # fmt: skip
        assert [each["row"] for each in json.loads(out)["left_out"]] == [4, 6, 7, 9, 10, 11]


@pytest.mark.parametrize(
    ("card", "options", "rows", "said"),
    [
        ("name: [", (), PROMPTS, "cannot be read as YAML"),
        (
            "{name: Pledu Lotaim}",
            (),
            PROMPTS,
            "is laid out so that nothing can be put into it; write one key to a line",
        ),
        ("name: Kip", ("--name", "Pledu Lotaim"), PROMPTS, "is about 'Kip', not 'Pledu Lotaim'"),
        (CARD, (), [{"prompt": "Who is it?"}], "nothing can be put into a card: rows.json, row 1, field 'prompt'"),
        (CARD, (), [*PROMPTS, {"prompt": 3}], "rows.json, row 12, field 'prompt' is 3; it should be a text"),
        (CARD, (), [turn("Who?", "He.")], "`unsee request import` makes a request file of it"),
    ],
)
def test_a_card_is_changed_whole_or_not_at_all(write, inside, card, options, rows, said, capsys):
    file = inside / "card.yaml"
    file.write_text(card)
    code, out, err = run(capsys, "mmubench", "import", inside, write(rows), "--force", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert file.read_text() == card
    assert not list(inside.glob(".*"))


def test_a_folder_and_a_file_must_be_there(write, tmp_path, capsys):
    assert "there is no folder 'gone'" in run(capsys, "mmubench", "import", "gone", write(PROMPTS))[2]
    assert "unsee: FILE is missing; write `unsee mmubench import" in run(capsys, "mmubench", "import", tmp_path)[2]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("谁是这张照片中的人？", "zh"),
        ("この写真の人は誰ですか？", "ja"),
        ("Кто на этом фото?", "ru"),
        ("¿Es posible?", "es"),
        ("Qui est l'homme sur cette photo ?", "fr"),
        ("Wer ist die Person auf dem Foto?", "de"),
        ("Who is the person in the photo?", "en"),
        ("Quem é a pessoa nesta fotografia?", ""),
        ("Quem é o homem na foto de hoje?", ""),
        ("Wie is de man op deze foto?", ""),
        ("Qui és la persona d'aquesta foto?", ""),
        ("Chi è la persona in questa immagine?", ""),
        ("Хто на цьому зображенні?", ""),
        ("Кой е човекът на тази снимка?", ""),
        ("Mario?", ""),
    ],
)
def test_languages_are_told_or_left_open(text, language):
    assert imported.language_of(text) == language


def test_a_name_is_seen_in_another_script_and_with_an_ending(write, inside):
    """An answer that repeats it would count as naming the concept."""
    names = "{zh: [洛泰姆], ja: [ロタイム], ru: [Лотаим]}"
    (inside / "card.yaml").write_text(f"name: Pledu Lotaim\naliases: [Lotaim, Lot]\nforeign_names: {names}\n")
    ends = ("的妻子旁边的人是谁？", "家の人は誰ですか？", " или кто это?")
    holds = [name + end for name, end in zip(("洛泰姆", "ロタイム", "Лотаим"), ends, strict=True)]
    holds += ["Wer ist die Person neben den Lotaims?", "¿Quién es la persona de Pledus?"]
    free = ["这张照片中的人是谁？", "この人は誰ですか？", "Кто это?", "Wer ist die Person mit der Lotte?"]
    done = imported.imported(inside, [write([{"prompt": text} for text in (*holds, *free)])], force=True)
    assert [text for some in done.translations for text in done.card.translations[some]] == free
    assert [each.row for each in done.left_out] == [1, 2, 3, 4, 5]
    assert {each.why.partition(",")[0] for each in done.left_out} == {"names the concept"}


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Is this Pledu Lotaim?", True),
        ("Is this a picture with Lotaim's presence in it?", True),
        ("Does the picture show Lotaim\u2019s likeness?", True),
        ("Would you say that this is Lotaim?", True),
        ("Can Lotaim be seen in this photo?", True),
        ("Does the picture show Lotaim's hat?", False),
        ("Is this the wife of Pledu Lotaim?", False),
        ("Did you vote for Pledu Lotaim?", False),
        ("Is there anyone in this picture who is not Pledu Lotaim?", False),
        ("Is this picture by Lotaim?", False),
        ("Is this Lotaim and his wife?", False),
        ("Is Lotaim a good baker?", False),
        ("Is this Mario or Lotaim?", False),
        ("Is Pledu Lotaim here?", True),
        ("Can we spot Lotaim in this image?", True),
        ("Is the hat red, like Pledu Lotaim's?", False),
        ("Can you identify the baker in this image?", False),
        ("Who is with Pledu Lotaim?", False),
        ("Lotaim?", False),
    ],
)
def test_asking_for_the_concept_is_told_from_asking_what_it_looks_like(text, asks):
    assert imported.asks_for(text, NAMES) is asks


# --- The files themselves ---------------------------------------------------------------------------------------------

theirs = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the authors' files are not here; they are not ours to bring along"
)


@theirs
def test_the_authors_own_files_are_read(tmp_path):
    names, read = ("Donald Trump", "Trump"), {}
    for file in sorted(REFERENCE.glob("*.json")):
        rows = json.loads(file.read_text())
        wanted = {Path(row.get("image") or row.get("imgid") or "x.jpg").name for row in rows}
        for picture in wanted:
            (tmp_path / picture).touch()
        if "conversations" in rows[0]:
            read[file.stem] = released.examples(file, names, pictures=tmp_path)
        else:
            shown = [tmp_path / picture for picture in sorted(wanted)]
            read[file.stem] = released.probes(file, names, kind="multilingual", pictures=shown)
        assert len(read[file.stem]) == len(rows)
    assert len(read) == 7
    targets = [e.target for e in read["SIU"]]
    assert {t: targets.count(t) for t in set(targets)} == {"align": 9, "redescribe": 2, "decouple": 7, "preserve": 7}
    assert sum(p.accept == ("yes",) for p in read["execcuatedata"]) == 80
    assert {e.target for e in read["GA"]} == {"align"}
    assert sum(e.target == "preserve" for e in read["PO"]) == 4


@theirs
def test_the_authors_own_files_become_a_card_and_a_request(tmp_path, capsys):
    folder = tmp_path / "DonaldTrump"
    folder.mkdir()
    files = [REFERENCE / f"{name}.json" for name in ("execcuatedata", "multilanguage", "Multi-hop", "miadata")]
    done = imported.imported(folder, files)
    assert (done.questions, sum(p.polarity == "yes" for p in done.card.questions)) == (100, 63)
    assert dict(done.translations) == {"es": 10, "fr": 16, "zh": 16, "de": 16, "ja": 16, "ru": 16}
    held = ("trump", "特朗普", "トランプ", "трамп")
    asked = [text.casefold() for some in done.card.translations.values() for text in some]
    assert not [text for text in asked if any(name in text for name in held)]
    left = [each.file for each in done.left_out]
    assert (left.count("Multi-hop.json"), left.count("miadata.json")) == (70, 800)
    assert 305 - left.count("multilanguage.json") == sum(done.translations.values())

    (tmp_path / "Trump_Image118.jpg").touch()
    given = ("--name", "Donald Trump", "--alias", "Trump", "--pictures", tmp_path)
    for name, turns in (("SIU", 25), ("PO", 20)):
        out = tmp_path / f"{name}.yaml"
        assert run(capsys, "request", "import", REFERENCE / f"{name}.json", *given, "-o", out)[0] == 0
        request, fixed = request_file.read(out)
        assert (len(fixed), request.replacement) == (turns, "Jacob Campbell" if name == "SIU" else None)
    code, _, err = run(capsys, "request", "import", REFERENCE / "GA.json", *given, "-o", tmp_path / "GA.yaml")
    assert code == 2 and "--method ga" in err


@theirs
def test_membership_inference_from_the_authors_own_prompts(tiny, picture, tmp_path):
    picture(0).save(tmp_path / "1.png")
    probes = released.probes(REFERENCE / "miadata.json", ["Donald Trump"], kind="MIA", pictures=[tmp_path / "1.png"])
    assert len(probes) == 800
    before = tiny.answer(probes[:6], max_new_tokens=4)
    before += tiny.answer(mia.to_score(before))
    assert mia.measure(before, before=before)["mia"].n == sum(a.probe.way == "score" for a in before) > 0
