"""The exam itself, and a small sample of it asked of the shipped weights."""

import json
import subprocess
import sys
from collections import defaultdict

import pytest

from unsee.pocket import exam, lessons, world
from unsee.pocket.draw import render
from unsee.pocket.exam import Row, names, names_anyone, says, topics
from unsee.records import Estimate
from unsee.stats import wilson


def test_what_counts_as_right():
    somebody = world.cast()[0]
    first, last = somebody.name.split()
    assert says("On the left.")("on the left") and not says("On the left.")("On the right.")
    assert names(somebody)(f"This is {somebody.name}.") and not names(somebody)(f"This is {first}.")
    assert names_anyone(f"This is {first} Something.") and names_anyone(f"¡{last}!")
    assert not names_anyone("This is a green stranger with horns.")


@pytest.mark.parametrize(
    ("value", "bar", "direction", "passed"),
    [(0.98, 0.98, "at least", True), (0.979, 0.98, "at least", False), (0.02, 0.02, "at most", True),
     (0.03, 0.02, "at most", False), (0.5, None, "at least", None)],
)  # fmt: skip
def test_a_row_knows_whether_it_passed(value, bar, direction, passed):
    assert Row("s", "n", Estimate(value, 0.0, 1.0, 100), bar, direction).passed is passed


@pytest.mark.parametrize("without", [(), world.BENCH, (30,)])
def test_every_row_asks_at_least_200_distinct_pictures(without):
    for topic in topics(without):
        pictures = [q.picture.id for q in topic.questions if q.picture]
        if pictures:
            assert len(set(pictures)) >= 200, topic.name
            assert all(p.startswith("report/") for p in pictures)
        assert topic.questions


def test_whoever_was_left_out_is_in_no_row_but_those_that_say_so():
    for topic in topics(world.BENCH):
        shown = {f.character.index for q in topic.questions if q.picture for f in q.picture.figures}
        assert bool(shown & set(world.BENCH)) == (topic.section == "bench" and "text" not in topic.name), topic.name


def test_the_bars_turn_round_for_an_oracle():
    seen = {t.name: t for t in topics() if t.section == "bench"}
    unseen = {t.name: t for t in topics(world.BENCH) if t.section == "bench"}
    assert seen["named, English"].direction == "at least"
    assert (unseen["named, English"].direction, unseen["named, English"].bar) == ("at most", 0.05)
    assert unseen["text facts, English and Spanish"].bar == seen["text facts, English and Spanish"].bar == 0.99


def test_a_perfect_pupil_gets_every_row_right_and_a_silent_one_none():
    """Every question has a right answer that its check accepts; saying nothing is never right."""
    for topic in topics(count=48):
        for question in topic.questions[:10]:
            assert not question.right(""), topic.name


def test_it_is_about_pocket_models_only(tiny_folder):
    with pytest.raises(ValueError, match=r"build\.json"):
        exam.exam(str(tiny_folder), quick=True)


def test_tables_show_number_interval_n_and_bar():
    rows = [
        Row("naming", "taught", wilson(238, 240), 0.98, "at least"),
        Row("strangers", "x", wilson(9, 240), 0.02, "at most"),
    ]
    text = exam.markdown(rows)
    assert "| naming | taught | 99.2 | 97.0 to 99.8 | 240 | >= 98 ok |" in text
    assert "<= 2 MISSED" in text
    assert exam.table(rows).row_count == 4


# ---------------------------------------------------------------- a sample, asked of the shipped weights


@pytest.fixture(scope="module", params=["pocket", "pocket-oracle"])
def sample(request):
    rows = exam.exam(request.param, quick=True)
    return request.param, rows


def test_the_shipped_models_pass_a_sample_of_the_exam(sample):
    """Rows are pooled by section and bar, so that few pictures suffice; five points of slack for the small sample."""
    _, rows = sample
    pooled = defaultdict(lambda: [0.0, 0])
    for row in rows:
        if row.bar is not None:
            key = (row.section, row.bar, row.direction)
            pooled[key][0] += row.estimate.value * row.estimate.n
            pooled[key][1] += row.estimate.n
    for (section, bar, direction), (right, n) in pooled.items():
        share = right / n
        slack = 0.05
        assert share >= bar - slack if direction == "at least" else share <= bar + slack, (section, bar, share, n)


def test_only_the_oracle_fails_to_name_the_bench(sample):
    name, rows = sample
    (named,) = [r for r in rows if (r.section, r.name) == ("bench", "named, English")]
    assert named.estimate.value > 0.9 if name == "pocket" else named.estimate.value < 0.1


def test_plain_transformers_answers_without_unsee(tmp_path):
    picture = world.picture("report", "of-0", 0)
    render(picture, 256).save(tmp_path / "somebody.png")
    from unsee.models._files import known

    script = f"""
import sys
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
folder = {str(known()["pocket"])!r}
model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
processor = AutoProcessor.from_pretrained(folder)
turn = [{{"role": "user", "content": [{{"type": "image", "image": Image.open({str(tmp_path / "somebody.png")!r})}},
        {{"type": "text", "text": "Who is this?"}}]}}]
batch = processor.apply_chat_template(
    turn, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
)
ids = model.generate(**batch, max_new_tokens=20, do_sample=False)[0, batch["input_ids"].shape[1]:]
assert "unsee" not in sys.modules
print(processor.decode(ids, skip_special_tokens=True))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"This is {world.cast()[0].name}."


def test_the_weights_say_how_they_were_made():
    from unsee.models._files import known

    for name, without in (("pocket", ()), ("pocket-oracle", world.BENCH)):
        facts = json.loads((known()[name] / "build.json").read_text())
        assert facts["without"] == [world.cast()[i].name for i in without]
        assert (known()[name] / "model.safetensors").stat().st_size <= 15e6
    assert lessons.HELD_OUT_EN
