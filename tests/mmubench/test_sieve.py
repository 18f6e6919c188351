"""Filtering concepts: what the paper's rule keeps, what the benchmark then asks, and that no answer is lost."""

from __future__ import annotations

import json
import re

import pytest

from unsee import cli
from unsee.benchmarks import mmubench
from unsee.mmubench import concepts, sieve
from unsee.records import Answer


class Model:
    """Says of each picture what `said` has for its folder and name; dies after `lives` answers."""

    def __init__(self, said, lives=99):
        self.said, self.lives, self.asked = said, lives, []

    def answer(self, probes, *, max_new_tokens=48, progress=False, keep=None):
        answers = []
        for probe in probes:
            if len(self.asked) == self.lives:
                raise KeyboardInterrupt
            self.asked.append(probe)
            answers.append(Answer(probe, self.said["/".join(probe.image.split("/")[-2:])]))
            keep(answers[-1:])
        return answers


@pytest.fixture
def root(tmp_path, picture, monkeypatch):
    """Mario is always named, Hello Kitty in three of four pictures, Jane in none, Joe by half his name."""
    folder = tmp_path / "concepts"
    for k, name in enumerate(("Mario", "Hello Kitty", "Jane", "JoeBiden")):
        (folder / name).mkdir(parents=True)
        for n in range(4):
            picture(10 * k + n).save(folder / name / f"{n}.png")
    (folder / "Jane" / "card.yaml").write_text("name: Jane Roe")
    monkeypatch.setenv(concepts.VARIABLE, str(folder))
    return folder


@pytest.fixture
def said():
    every = {
        "Mario": "It is super mario.",
        "Hello Kitty": "Hello Kitty!",
        "Jane": "A woman.",
        "JoeBiden": "A man, Joe.",
    }
    return {f"{name}/{n}.png": text for name, text in every.items() for n in range(4)} | {"Hello Kitty/2.png": "A cat"}


def kept(root):
    return {entry.card.name: [p.name for p in entry.pictures] for entry in concepts.entries(root)}


def test_the_papers_rule_keeps_what_is_named_in_every_picture(root, said):
    found = sieve.sift(Model(said), root, model="m")
    assert {each.name: (each.recognised, each.share, each.kept) for each in found.concepts.values()} == {
        "Hello Kitty": (3, 0.75, False),
        "Jane Roe": (0, 0.0, False),
        "Joe Biden": (0, 0.0, False),
        "Mario": (4, 1.0, True),
    }
    assert kept(root) == {"Mario": ["0.png", "1.png", "2.png", "3.png"]}
    assert [request.concept.name for request in mmubench.requests()] == ["Mario"]
    assert sorted(p.name for p in (root / "Hello Kitty").iterdir()) == ["0.png", "1.png", "2.png", "3.png"]


def test_a_lower_share_keeps_the_pictures_that_are_named(root, said):
    model = Model(said | {"JoeBiden/0.png": "Joe Biden"})
    sieve.sift(model, root, model="m", least=0.75)
    assert kept(root) == {"Hello Kitty": ["0.png", "1.png", "3.png"], "Mario": ["0.png", "1.png", "2.png", "3.png"]}
    asked = {probe.picture for probe in mmubench.probes(mmubench.requests()[0])}
    assert "Hello Kitty/1.png" in asked
    assert "Hello Kitty/2.png" not in asked
    found = sieve.sift(Model({}), root, model="m", least=0.25).concepts
    assert (found["JoeBiden"].kept, found["JoeBiden"].why) == (
        False, "named in 1 pictures; two are needed, to train and to test"
    )  # fmt: skip
    assert found["Jane"].why == "named in 0 of 4 pictures"
    (root / "Hello Kitty" / "card.yaml").write_text("name: Hello Kitty\npicture: 2.png")
    found = sieve.sift(Model({}), root, model="m", least=0.25).concepts
    assert found["Hello Kitty"].why == "not named in 2.png, which its card gives"


def test_pictures_are_asked_what_their_kind_is_asked(root, said):
    (root / "Jane" / "card.yaml").write_text("name: Jane Roe\nkind: place")
    model = Model(said)
    sieve.sift(model, root, model="m")
    assert {probe.question for probe in model.asked if "/Jane/" in probe.image} == {"Which place is this?"}
    assert {probe.question for probe in model.asked if "/Mario/" in probe.image} == {"Who is this?"}


def test_no_picture_is_asked_about_twice(root, said, picture):
    """Not after a kill, not for another share; only new pictures are, or all of them if that is wanted."""
    with pytest.raises(KeyboardInterrupt):
        sieve.sift(Model(said, lives=7), root, model="m")
    assert not (root / "filtered.json").exists()
    with (root / ".filtered.part").open("a") as torn:
        torn.write('\n["m", "half a li')
    other = Model(said, lives=2)
    with pytest.raises(KeyboardInterrupt):
        sieve.sift(other, root, model="m")
    rest = Model(said)
    found = sieve.sift(rest, root, model="m")
    assert len(rest.asked) == 16 - 7 - 2
    assert found.concepts["Hello Kitty"].recognised == 3
    assert not (root / ".filtered.part").exists()
    picture(99).save(root / "Mario" / "9.png")
    more = Model({"Mario/9.png": "A plumber"})
    assert not sieve.sift(more, root, model="m").concepts["Mario"].kept
    assert len(more.asked) == 1
    every = Model(said | more.said)
    sieve.sift(every, root, model="m", force=True)
    assert len(every.asked) == 17


def test_answers_of_another_model_do_not_count(root, said):
    with pytest.raises(KeyboardInterrupt):
        sieve.sift(Model(said, lives=7), root, model="m")
    model = Model(said)
    sieve.sift(model, root, model="n")
    assert len(model.asked) == 16
    with pytest.raises(
        FileExistsError, match=r"filtered\.json says what n recognises; --force writes over it with what m"
    ):
        sieve.sift(model, root, model="m")
    assert sieve.sift(model, root, model="m", force=True).model == "m"


def test_the_benchmark_says_what_the_filter_left_out_or_does_not_know(root, said, picture):
    request = next(r for r in mmubench.requests() if r.concept.name == "Jane Roe")
    sieve.sift(Model(said), root, model="m")
    with pytest.raises(LookupError, match=r"filtered\.json leaves 'Jane Roe' out \(named in 0 of 4 pictures\); delete"):
        mmubench.probes(request)
    picture(99).save(root / "Mario" / "9.png")
    with pytest.raises(
        ValueError, match=r"does not know 1 pictures in .*Mario, such as 9\.png; give `unsee mmubench fil"
    ):
        mmubench.requests()
    (root / "Mario" / "9.png").unlink()
    (root / "JoeBiden").rename(root / "TaylorSwift")
    with pytest.raises(ValueError, match=r"does not know 4 pictures in .*TaylorSwift"):
        mmubench.requests()
    for n in range(4):
        (root / "Mario" / f"{n}.png").rename(root / f"{n}.png")
    (root / "0.png").rename(root / "Mario" / "0.png")
    (root / "TaylorSwift").rename(root / "JoeBiden")
    with pytest.raises(FileNotFoundError, match="Mario holds 1 pictures; at least two"):
        mmubench.requests()
    (root / "filtered.json").unlink()
    (root / "1.png").rename(root / "Mario" / "1.png")
    assert len(mmubench.requests()) == 4


def test_what_the_filter_keeps_must_be_there(root, said):
    sieve.sift(Model(said), root, model="m", least=0.75)
    for n in (0, 1):
        (root / "Hello Kitty" / f"{n}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"Hello Kitty holds 1 of the pictures that .* keeps; at least two are"):
        mmubench.requests()


def test_nothing_recognised_is_said_so(root, said):
    sieve.sift(Model(dict.fromkeys(said, "I cannot tell.")), root, model="m")
    with pytest.raises(LookupError, match=r"filtered\.json leaves no concept: m recognises none; delete that file"):
        mmubench.requests()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not what `unsee mmubench filter` writes: Invalid JSON"),
        ('{"model": "m", "least": 1}', "writes: concepts: Field required; delete it, and filter again"),
        ('{"model": "m", "least": 2, "concepts": {}}', "writes: least: Input should be less than or equal to 1"),
        ('{"model": "m", "least": 1, "concepts": {"a": {"name": "A", "question": "Q", "kept": true, "pictures": {}}}}',
         "writes: concepts.a.pictures: Dictionary should have at least 1 item"),
    ],
)  # fmt: skip
def test_a_broken_result_is_no_result(root, text, said):
    (root / "filtered.json").write_text(text)
    for ask in (mmubench.requests, lambda: sieve.sift(Model({}), root, model="m")):
        with pytest.raises(ValueError, match=said):
            ask()


def test_a_picture_that_cannot_be_read_is_named(root, tiny):
    (root / "Mario" / "1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"the image .*Mario/1\.png cannot be read: it is no picture"):
        sieve.sift(tiny, root, model="tiny")


def test_the_command_shows_what_fell_out_and_why(root, said, capsys, monkeypatch):
    from unsee.vlm import VLM

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(VLM, "load", lambda name, **_: Model(said))
    cli.main(["mmubench", "filter", "--model", "m", "--least", "0.9"])
    out = capsys.readouterr().out
    rows = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]
    assert ["Hello Kitty", "4", "3", "75.0%", "no", "A cat"] in rows
    assert ["Mario", "4", "4", "100.0%", "yes"] in rows
    assert "left out: Hello Kitty, named in 3 of 4 pictures\n" in out
    assert f"1 of 4 concepts are kept; --benchmark mmubench follows {root}/filtered.json\n" in out
    cli.main(["mmubench", "filter", str(root), "--model", "m", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert record["concepts"]["Jane Roe"] == {
        "pictures": 4, "recognised": 0, "share": 0.0, "kept": False, "why": "named in 0 of 4 pictures"
    }  # fmt: skip


def test_a_model_in_fewer_bits_is_another_model(root, said, capsys, monkeypatch):
    from unsee.vlm import VLM

    monkeypatch.setattr(VLM, "load", lambda name, **_: Model(said))
    cli.main(["mmubench", "filter", "--model", "m", "--revision", "v1", "--quantise", "nf4", "--json"])
    assert json.loads(capsys.readouterr().out)["model"] == concepts.read_filtered(root).model == "m (v1, nf4)"
    with pytest.raises(SystemExit):
        cli.main(["mmubench", "filter", "--model", "m"])
    assert "says what m (v1, nf4) recognises; --force writes over it with what m does" in capsys.readouterr().err


def test_the_bundled_model_recognises_its_own_and_nobody_else(tmp_path, pocket, capsys, monkeypatch):
    from unsee.pocket import world
    from unsee.vlm import VLM

    monkeypatch.setattr(VLM, "load", lambda name, **_: pocket)
    known, unknown = world.cast()[24], world.cast()[world.NEVER_TAUGHT[0]]
    for who in (known, unknown):
        folder = tmp_path / "m" / who.name.replace(" ", "_")
        cli.main(
            ["pocket", "draw", "--character", who.name, "--pictures", "3", "--size", "96", "--out", f"{folder}/a.png"]
        )
        (folder / "card.yaml").write_text(f"name: {who.name}\nkind: character")
    capsys.readouterr()
    cli.main(["mmubench", "filter", str(tmp_path / "m"), "--model", "pocket", "--json"])
    found = json.loads(capsys.readouterr().out)["concepts"]
    assert (found[known.name]["recognised"], found[unknown.name]["recognised"]) == (3, 0)
