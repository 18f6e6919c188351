"""The released JSON formats: small files of the same shapes, the errors, and the files themselves where they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from unsee import released

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


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the authors' files are not here; they are not ours to bring along")
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
