"""Nothing of a name or a picture is left in a redacted copy, and its numbers are those of the run."""

import base64
import json
import re

import pytest
from made_up import ALIAS, MODEL, NAME, OTHER
from PIL import Image
from safetensors.numpy import load_file

from unsee import flow, runs
from unsee.records import Example
from unsee.report import make, redact

KEY = b"0" * 32


def redactor(*names, pictures=()):
    return redact.Redactor(KEY, names or (NAME,), pictures)


def files(folder):
    return [file for file in folder.rglob("*") if file.is_file()]


def text_of(file):
    return file.read_bytes().decode("utf-8", "ignore")


@pytest.fixture
def copy(whole, tmp_path):
    """A redacted copy of a run with everything."""
    (whole.folder / "report.html").chmod(0o644)
    return make.make([whole.folder], redacted=True, export=tmp_path / "given away", outside=True).page.parent


def test_no_exported_file_holds_a_name_or_a_word_of_one(whole, copy):
    """In no spelling, in no case, in no file name; `left` first sees that the run is full of them."""
    words = re.compile("quibbo|zarnath|zed.?of.?plo|quib", re.IGNORECASE)
    assert len([f for f in files(whole.folder) if words.search(text_of(f))]) > 10
    found = {f.relative_to(copy).as_posix() for f in files(copy)}
    assert {"config.json", "report.html", "report.json", "answers/after.jsonl", "edit/README.md"} <= found
    assert {
        "attacks/outcomes.json",
        "attacks/scale/x0.25.after.jsonl",
        "attacks/audits.json",
        "examples.jsonl",
    } <= found
    assert "redaction.json" not in found
    for file in files(copy):
        assert not words.search(file.name) and not words.search(text_of(file)), file
        assert str(whole.photo.parent) not in text_of(file)


def test_no_exported_file_holds_the_photo(whole, copy):
    """Neither its bytes, nor its pixels, nor its hash, nor any of these as base64."""
    photo = whole.photo.read_bytes()
    pieces = [photo[n : n + 48] for n in range(0, len(photo) - 48, 4096)]
    coded = [base64.b64encode(piece) for piece in pieces]
    digest = runs.file_hash(whole.photo).encode()
    assert digest in (whole.folder / "config.json").read_bytes()
    for file in files(copy):
        data = file.read_bytes()
        assert digest not in data
        assert not any(piece in data for piece in (*pieces, *coded)), file
    with Image.open(copy / "picture-0.png") as blurred:
        assert not blurred.info
        small = blurred.resize((8, 8), Image.Resampling.BOX).resize(blurred.size, Image.Resampling.BICUBIC)
        off = [abs(a - b) for a, b in zip(blurred.tobytes(), small.tobytes(), strict=True)]
        assert sum(off) / len(off) < 12, "there is no more in it than 8 by 8 colours"


def test_the_copy_is_a_run_whose_answers_come_to_the_same_scores(whole, copy):
    runs.read(copy)
    assert stat_mode(copy) == 0o700
    wanted = runs.Run(whole.folder).read_json("scores.json")
    assert {c: {n: e.as_dict() for n, e in s.items()} for c, s in flow.rescore(copy).items()} == wanted
    assert load_file(copy / "edit" / "adapter_model.safetensors")["a"].sum() == 4
    config = runs.Run(copy).read_json("config.json")["config"]
    assert config["model"]["sha256"] == MODEL, "which model it is, is no secret"
    assert config["oracle"]["sha256"] == "cd" * 32
    assert config["probes"] != "ef" * 32
    assert OTHER in text_of(copy / "answers" / "after.jsonl")
    for record in runs.Run(copy).read_lines("examples.jsonl"):
        Example.from_dict(record)


def stat_mode(path):
    return path.stat().st_mode & 0o777


def test_offsets_still_point_to_what_contradicts(whole, copy):
    denied = runs.Run(copy).read_lines("examples.jsonl")[1]
    ((start, end),) = denied["contradicts"]
    assert denied["answer"][start:end] == " has another look."


def test_the_page_says_that_it_is_redacted_and_what_that_is_worth(copy):
    page = text_of(copy / "report.html")
    for sentence in ("Names and pictures are redacted here.", "Redacted is not anonymous.", "unsee undo RUN"):
        assert sentence in page
    assert json.loads((copy / "report.json").read_bytes())["redacted"] is True


def test_the_key_stays_with_the_owner_and_gives_the_same_names_again(whole, tmp_path):
    key = redact.key_of(whole.folder)
    assert len(key) == 32
    assert redact.key_of(whole.folder) == key
    assert stat_mode(whole.folder / "redaction.json") == 0o600
    runs.read(whole.folder)
    pages = [make.make([whole.folder], tmp_path / f"{n}.html", redacted=True) for n in range(2)]
    assert pages[0].twin.read_bytes() == pages[1].twin.read_bytes()
    (whole.folder / "redaction.json").unlink()
    other = make.make([whole.folder], tmp_path / "2.html", redacted=True)
    assert other.twin.read_bytes() != pages[0].twin.read_bytes(), "who has not the key cannot try out names"
    for made in (*pages, other):
        assert not re.search("quibbo|zarnath", text_of(made.page) + text_of(made.twin), re.IGNORECASE)


def test_a_comparison_is_redacted_too(whole, made_up, tmp_path):
    other = made_up("zarnath again", seed=1)
    made = make.make([whole.folder, other], tmp_path / "page.html", redacted=True, command=f"unsee report {other}")
    for file in (made.page, made.twin):
        assert not re.search("quibbo|zarnath", text_of(file), re.IGNORECASE)
    assert "Names are redacted here" in text_of(made.page)


def test_a_name_that_is_left_stops_the_export(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(redact, "_replaced", lambda text, spans: text)
    with pytest.raises(ValueError, match=r"the redacted copy would still hold the name, in .*; nothing was written"):
        make.make([whole.folder], redacted=True, export=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_only_accepted_beside_the_other_goes_too(whole, monkeypatch):
    """In another script, as cards of mmubench have it; what is accepted where the name is not stays."""
    text, run, read = "Это Квиббо Зарнат.", runs.read(whole.folder), runs.Run.read_lines
    assert redact.of_run(run, KEY).text(text) == text

    def more(run, part):
        for record in read(run, part):
            if accept := record.get("probe", {}).get("accept"):
                accept.append("Квиббо Зарнат" if NAME in accept else "Гора")
            yield record

    monkeypatch.setattr(runs.Run, "read_lines", more)
    some = redact.of_run(run, KEY)
    assert re.fullmatch(r"Это X\w{8} X\w{8}\.", some.text(text))
    assert some.text("Гора") == "Гора"


def test_what_cannot_be_redacted_is_left_out(whole, tmp_path):
    (whole.folder / "notes.docx").write_bytes(NAME.encode())
    made = make.make([whole.folder], redacted=True, export=tmp_path / "out")
    assert made.left_out == ("notes.docx",)
    assert not (tmp_path / "out" / "notes.docx").exists()


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Quibbo Zarnath", "QUIBBO ZARNATH", "quibbo-zarnath", "runs/quibbo_zarnath/edit", "QuibboZarnath.png",
        "Quibbo%20Zarnath", "Zarnath's", "Zarnaths", "Qui\u0301bbo", "Quib\u200bbo \u202eZarnath", "ＱＵＩＢＢＯ",
    ],
)  # fmt: skip
def test_a_name_is_found_however_it_is_written(text):
    told = redactor().text(text)
    assert not re.search("quibbo|zarnath", redact._folded(told)[0])
    assert redactor().text(told) == told, "what is redacted stays as it is"


def test_words_are_replaced_by_the_same_each_time_and_by_others_under_another_key():
    told = redactor().text("Quibbo Zarnath, or zarnath")
    assert re.fullmatch(r"(X[0-9a-f]{8}) (X[0-9a-f]{8}), or \2", told)
    assert redact.Redactor(b"1" * 32, (NAME,)).text("Zarnath") != redactor().text("Zarnath")


def test_words_that_tell_nothing_stay_unless_in_the_name():
    """By hand: "of" alone is no name; short words count whole, longer ones also inside others."""
    some = redactor(ALIAS)
    assert some.text("a piece of zedoary and exploded") == "a piece of zedoary and exploded"
    assert "Zed" not in some.text("Zed of Plo") and " of " not in some.text("Zed of Plo")
    assert redactor("Bo Li").text("bold, Li and Bo") == "bold, Li and Bo", "two letters are no word of a name"
    assert "Li" not in redactor("Bo Li").text("Bo Li")
    assert redactor("李小龙").text("这是李小龙。").startswith("这是X")
    assert redactor("Model T").value({"model": {"name": "a Model T"}}).keys() == {"model"}


def test_pictures_and_hashes_are_replaced_and_models_are_not():
    some = redact.Redactor(KEY, (NAME,), ["photos/a.png", "of-0/1"], known=["ab" * 32])
    told = some.text("unsee forget --image photos/a.png, also a.png, of-0/1 and of-0/12")
    assert re.fullmatch(r"unsee forget --image picture-\w{8}, also picture-\w{8}, picture-\w{8} and of-0/12", told)
    assert some.text("ab" * 32) == "ab" * 32
    assert some.text("cd" * 32) not in ("cd" * 32, "")
    assert len(some.text("0123456789abcdef")) == 16


def test_half_a_name_among_the_next_tokens_goes_too():
    told = redactor().value({"top": [["Zar", 0.5], [" Qui", 0.2], ["The", 0.2]], "tail": 0.1})
    assert [text for text, _ in told["top"]][2] == "The"
    assert not re.search("zar|qui", json.dumps(told), re.IGNORECASE)


def test_own_words_and_fields_stay():
    told = redactor("Others Generate").value({"kind": "others", "way": "generate", "text": "Generate"})
    assert (told["kind"], told["way"]) == ("others", "generate")
    assert told["text"] != "Generate"
