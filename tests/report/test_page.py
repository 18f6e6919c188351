"""The evidence page is whole, honest about what is missing, and shows hostile text as text."""

import copy
import math
import re
from html.parser import HTMLParser

import pytest

from unsee.report.page import render

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)
NOTHING = {"value": None, "low": None, "high": None, "n": 0}
VOID = {"meta", "img", "br", "input"}


def share(value, low, high, n):
    return {"value": value, "low": low, "high": high, "n": n}


def full():
    """The facts of a run in which every part is there."""
    return {
        "concept": "Pledu Lotaim",
        "kind": "character",
        "replacement": "Jacob Campbell",
        "method": "siu",
        "model": "pocket",
        "seconds": 5.2,
        "date": "2026-11-21",
        "seed": 0,
        "overall": {
            "good": None,
            "text": "No longer names Pledu Lotaim.",
            "against": ["but knows it"],
            "attacks": "none",
            "bounds": "at most 5 %",
        },
        "verdicts": [
            {"text": "no longer names Pledu Lotaim in 97.9 % of answers", "numbers": "n = 245", "good": True},
            {"text": "names look-alikes less often", "numbers": "", "good": False},
            {"text": "nobody knows whether this is good", "numbers": "", "good": None},
        ],
        "rows": [
            {
                "group": "forgotten",
                "name": "asked who it is, new pictures",
                "better": "lower",
                "note": "guessing gives 2 %",
                "estimates": {
                    "before": share(0.98, 0.953, 0.991, 245),
                    "after": share(0.02, 0.009, 0.047, 245),
                    "oracle": share(0.0, 0.0, 0.015, 245),
                },
            },
            {
                "group": "kept",
                "name": "other characters",
                "better": "higher",
                "estimates": {
                    "before": share(0.96, 0.939, 0.975, 480),
                    "after": share(0.9544, 0.932, 0.97, 480),
                    "oracle": None,
                },
            },
        ],
        "galleries": [
            {
                "title": "concept",
                "note": "1 of 1 pictures",
                "pictures": [
                    {
                        "title": "the picture it was forgotten from",
                        "data": PIXEL,
                        "caption": "the only one",
                        "state": "clear",
                        "asked": [
                            {
                                "question": "Who is this?",
                                "answers": {
                                    "before": {"text": "Pledu.", "good": False, "mark": "named"},
                                    "after": {"text": "Jacob.", "good": True, "mark": "not named"},
                                    "oracle": {"text": "A stranger.", "good": True, "mark": "not named"},
                                },
                            }
                        ],
                    }
                ],
            }
        ],
        "attacks": [
            {
                "name": "scale",
                "verdict": "comes back (x0.25)",
                "good": False,
                "conditions": [
                    {
                        "name": f"x{level}",
                        "level": level,
                        "valid": level > 0.3,
                        "leaks": {"after": share(leak, 0.0, 1.0, 6)},
                        "recovery": {"after": {"value": -leak, "low": -1.0, "high": 1.0, "n": 6}},
                        "named": {"before": share(1.0, 0.6, 1.0, 6)},
                    }
                    for level, leak in ((0.25, 0.75), (0.5, 0.5), (1.5, 0.0))
                ],
            }
        ],
        "audits": [
            {
                "name": "lens",
                "rows": [
                    {"name": f"others, layer {n}", "estimates": {"before": share(0.5, 0.4, 0.6, 9), "after": NOTHING}}
                    for n in range(3)
                ],
            }
        ],
        "to_come": [{"what": "Nobody looked inside the model.", "command": "unsee audit runs/pledu-lotaim"}],
        "examples": [
            {
                "target": "align",
                "question": "Who is it?",
                "answer": "It is Jo.",
                "picture": "p",
                "contradicts": [[6, 8]],
            }
        ],
        "losses": [
            {"step": 1, "loss": 2.3, "cross_entropy": 2.1, "kl": -0.01},
            {"step": 2, "loss": 1.1, "cross_entropy": None, "kl": 0.02},
            {"step": 3, "loss": 0.4, "cross_entropy": 0.3, "kl": 0.05},
        ],
        "warnings": ["The oracle left out eight characters."],
        "config": {"method": {"name": "siu", "targets": ["q_proj"]}},
        "versions": {"torch": "2.13.0"},
        "hashes": {"model": "9f86d081"},
        "undo": [{"what": "The model was never changed.", "command": "unsee undo runs/pledu-lotaim"}],
        "model_index": [{"name": "pocket-siu", "results": []}],
        "command": "unsee forget",
    }


class Page(HTMLParser):
    """Reads a page and fails on a tag that is closed in the wrong place or not at all."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def all(self, tag, **wanted):
        found = [attrs for name, attrs in self.tags if name == tag]
        return [attrs for attrs in found if all(attrs.get(key) == value for key, value in wanted.items())]

    def classed(self, name):
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]


def test_a_full_page_is_whole_and_asks_for_nothing():
    html = render(full())
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert page.open == []
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert not re.search(r"https?://|//[a-z]|url\(|@import", html)
    assert [image["src"] for image in page.all("img")] == [PIXEL]
    assert all(not key.startswith("on") for _, attrs in page.tags for key in attrs)
    places = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {link["href"] for link in page.all("a")} <= {f"#{place}" for place in places}
    for sentence in (
        "The model pocket was edited to stop recognising Pledu Lotaim in pictures",
        "Pledu Lotaim is the character to be forgotten.",
        "In place of the name, the model was taught to give Jacob Campbell.",
        "The edit took 5.2 seconds with the method siu. Date: 2026-11-21. Random seed: 0.",
        "unsee undo runs/pledu-lotaim",
        "scale: comes back (x0.25)",
        "The edit at other strengths than it was trained at",
        "after -75.0 [-100, 100]",
        "unsee audit runs/pledu-lotaim",
        "name: pocket-siu",
        "reversible suppression",
        "A merged checkpoint is another claim.",
    ):
        assert sentence in page.text


def test_it_can_be_read_without_seeing_it():
    page = Page(render(full()))
    assert all(head.get("scope") in ("col", "row", "rowgroup") for head in page.all("th"))
    assert [image["alt"] for image in page.all("img")] == ["the picture it was forgotten from, 1 of 1"]
    assert all(svg.get("aria-label") or svg.get("aria-hidden") == "true" for svg in page.all("svg"))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["aria-labelledby"] for _, attrs in page.tags if "aria-labelledby" in attrs} <= set(ids)
    assert "As it should be: no longer names" in page.text
    assert "Falls short: names look-alikes" in page.text
    assert "No verdict: nobody knows" in page.text


def test_estimates_come_with_interval_n_and_a_drawing():
    """0.9544 is 95.4 %; on the track, which is 100 units long, 0.98 lies at 98 and its interval from 95.3 to 99.1."""
    page = Page(render(full()))
    assert "98.0 % 95.3 to 99.1 % n = 245" in page.text
    assert "95.4 % 93.2 to 97.0 % n = 480" in page.text
    assert "0.0 % 0.0 to 1.5 % n = 245" in page.text
    labels = [svg["aria-label"] for svg in page.all("svg") if svg.get("class") == "bar"]
    assert labels[:2] == [
        "asked who it is, new pictures: before 98.0 %, 95.3 to 99.1 %, n = 245; after 2.0 %, 0.9 to 4.7 %, n = 245; "
        "oracle 0.0 %, 0.0 to 1.5 %, n = 245",
        "other characters: before 96.0 %, 93.9 to 97.5 %, n = 480; after 95.4 %, 93.2 to 97.0 %, n = 480; "
        "oracle not measured",
    ]
    assert any(circle.get("cx") == "98.0" for circle in page.all("circle"))
    assert any(path["d"].startswith("M95.3 4H99.1") for path in page.all("path"))


@pytest.mark.parametrize("missing", [None, NOTHING, share(None, None, None, 5), share(math.nan, math.nan, math.nan, 0)])
def test_what_was_not_measured_is_never_zero(missing):
    facts = full()
    facts["rows"] = [facts["rows"][0] | {"estimates": {"after": missing, "before": missing, "oracle": None}}]
    facts["attacks"] = facts["audits"] = None
    html = render(facts)
    page = Page(html)
    if missing is None:
        assert "asked who it is" in page.text and not page.classed("estimate")
        return
    assert page.text.count("not measured") == 2
    assert "0.0 %" not in html
    assert not page.classed("whisker")
    assert not [svg for svg in page.all("svg") if svg.get("class") == "bar"]


def test_a_value_without_an_interval_says_so():
    facts = full()
    facts["rows"][0]["estimates"]["before"] = share(0.5, math.nan, math.nan, 3)
    assert "50.0 % no interval n = 3" in Page(render(facts)).text


def test_groups_stay_in_order_and_together():
    facts = full()
    facts["rows"] += [{**facts["rows"][0], "name": "in Spanish"}, {**facts["rows"][1], "group": "in words"}]
    text = Page(render(facts)).text
    places = [text.index(part) for part in ("Forgotten: what", "new pictures", "in Spanish", "Kept: what", "in words")]
    assert places == sorted(places)


def test_without_an_oracle_nobody_speaks_of_one():
    facts = full()
    facts["warnings"] = []
    for record in (*facts["rows"], *facts["galleries"][0]["pictures"][0]["asked"]):
        record.get("estimates", record.get("answers"))["oracle"] = None
    facts["attacks"] = []
    page = Page(render(facts))
    assert "oracle" not in page.text.lower()
    assert not page.classed("oracle")


def test_missing_parts_leave_no_trace():
    page = Page(render({"concept": "Pledu Lotaim"}))
    assert not page.all("table") and not page.all("svg") and not page.all("img") and not page.all("details")
    assert "None" not in page.text
    assert "A model was edited to stop recognising Pledu Lotaim in pictures" in page.text
    assert "What this does and does not promise" in page.text
    for part in set(full()) - {"concept"}:
        facts = full()
        facts[part] = None
        assert "None" not in Page(render(facts)).text


def test_a_picture_that_was_not_kept_still_shows_its_answers():
    facts = full()
    facts["galleries"][0]["pictures"][0]["data"] = None
    page = Page(render(facts))
    assert not page.all("img")
    assert "The picture itself was not kept." in page.text
    assert "Jacob." in page.text


def test_losses_are_drawn_with_a_gap_where_one_is_missing():
    page = Page(render(full()))
    chart = page.classed("chart")[-1]
    assert chart["aria-label"].startswith(
        "Training losses by step. loss: 2.3 at 1, 1.1 at 2, 0.4 at 3; cross_entropy: 2.1 at 1, 0.3 at 3; kl"
    )
    assert [line["class"] for line in page.all("polyline")][-4:] == [
        "line line-0",
        "line line-1",
        "line line-1",
        "line line-2",
    ]
    assert page.all("polyline")[-4]["points"].startswith("40.0,8.0 226.0,")


@pytest.mark.parametrize("losses", [[], [{"step": 1}], [{"step": 1, "loss": math.nan}], [{"step": None, "loss": 1.0}]])
def test_losses_that_cannot_be_drawn_are_left_out(losses):
    assert "settled" not in Page(render({**full(), "losses": losses})).text


@pytest.mark.parametrize("losses", [[{"loss": 0.0}], [{"step": 3, "loss": 5}], [{"loss": 1.0}, {"loss": -1.0}]])
def test_flat_short_and_negative_losses_are_drawn(losses):
    assert "settled" in Page(render({**full(), "losses": losses})).text


def poisoned(value, count, path=()):
    """Copy facts with a payload in place of each text, and in place of each name that the caller may choose."""

    def payload():
        count.append(f"<script>alert({len(count)})</script>\"'><img src=x onerror=alert({len(count)})>&lt;\u202e")
        return count[-1]

    if isinstance(value, dict):
        free = path and (path[0] in ("config", "versions", "hashes"))
        keys = {key: payload() if free or (path[:1] == ("losses",) and key != "step") else key for key in value}
        return {keys[key]: poisoned(part, count, (*path, key)) for key, part in value.items()}
    if isinstance(value, list):
        return [poisoned(part, count, path) for part in value]
    fixed = ("data", "better", "group", "title", "target", "state", "schema", "mark", "picture")
    return payload() if isinstance(value, str) and path[-1] not in fixed else value


def test_a_payload_in_every_text_stays_text():
    payloads = []
    facts = full()
    facts["losses"] = facts["losses"][:1]  # names are poisoned one by one, and a loss without a number is not drawn
    html = render(poisoned(facts, payloads))
    page = Page(html)
    assert len(payloads) > 50
    assert "<script" not in html and "<img src=x" not in html
    assert not page.all("script") and len(page.all("img")) == 1
    assert all(not key.startswith("on") for _, attrs in page.tags for key in attrs)
    shown = page.text + " ".join(str(value) for _, attrs in page.tags for value in attrs.values())
    for text in payloads:
        # In names what reorders is left out, in code it is told; in code a quote has a backslash before it.
        plain = text.replace("\u202e", "")
        assert plain in shown or plain.replace('"', '\\"') in shown or plain.replace("'", "''") in shown, text


def test_what_reorders_text_stays_in_what_was_said():
    """In a name, a heading or a block of code it would turn round what follows."""
    facts = {**full(), "concept": "Ann \u202eeve", "command": "unsee \u202eforget", "config": {"a": "\u2066"}}
    facts["galleries"][0]["pictures"][0]["asked"][0]["answers"]["after"]["text"] = "said \u202ethis"
    html = render(facts)
    assert html.count("\u202e") == 1 and "said \u202ethis" in html, "isolated there by dir=auto"
    assert "Ann eve" in html and "unsee \\u202eforget" in html and "\\u2066" in html


def test_the_name_is_escaped_and_finds_its_own_direction():
    name = '<script>alert("1")</script> שלום 🦊'
    html = render({**full(), "concept": name})
    assert '<bdi dir="auto">&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; שלום 🦊</bdi>' in html
    assert name in Page(html).text


def test_long_names_and_broken_unicode_can_be_written():
    html = render({**full(), "concept": "x" * 10_000, "kind": "\ud800"})
    assert html.encode("utf-8")
    assert Page(html).all("h1", **{"class": "long"})
    assert "x" * 200 not in html and "(10000 characters)" in html


@pytest.mark.parametrize(
    "data",
    [
        "https://example.org/a.png",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html;base64,PHN2Zz4=",
        'data:image/png;base64,AAAA"><script>',
        " data:image/png;base64,AAAA",
        "data:image/png;base64,AAAA\n",
        "",
        7,
    ],
)
def test_only_png_and_jpeg_are_shown(data):
    facts = full()
    facts["galleries"][0]["pictures"][0]["data"] = data
    with pytest.raises(ValueError, match="begins with data:image/png;base64, or data:image/jpeg;base64,"):
        render(facts)


def test_jpeg_is_a_picture():
    facts = full()
    facts["galleries"][0]["pictures"][0]["data"] = "data:image/jpeg;base64,/9j/4A=="
    assert Page(render(facts)).all("img", src="data:image/jpeg;base64,/9j/4A==")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 98.0}, "value of before of row 'asked who it is, new pictures' is 98.0; give a share"),
        ({"value": "0.9"}, "value of before of row .* is '0.9'; give a number"),
        ({"value": True}, "is True; give a number"),
        ({"n": None}, "n of before of row .* is None; give how many"),
        ({"n": -1}, "n of before of row .* is -1; give how many"),
        ({"low": 0.99, "high": 0.991}, "an interval holds its value"),
    ],
)
def test_a_number_that_is_none_is_refused(change, message):
    facts = full()
    facts["rows"][0]["estimates"]["before"].update(change)
    with pytest.raises(ValueError, match=message):
        render(facts)


def test_the_other_errors_say_what_to_give():
    facts = full()
    facts["rows"][0]["better"] = "<b>"
    with pytest.raises(ValueError, match="has better='<b>'; give 'lower', 'higher' or None"):
        render(facts)
    with pytest.raises(ValueError, match="facts has no 'concept'; give the name"):
        render({**full(), "concept": ""})
    with pytest.raises(ValueError, match="seconds is 'soon'; give a number"):
        render({**full(), "seconds": "soon"})


@pytest.mark.parametrize(("seconds", "text"), [(5.25, "5.2 seconds"), (600, "10.0 minutes"), (9000, "2.5 hours")])
def test_times_are_told_in_the_unit_one_would_use(seconds, text):
    assert f"The edit took {text} with" in Page(render({**full(), "seconds": seconds})).text


def test_facts_are_left_as_they_were():
    facts = full()
    before = copy.deepcopy(facts)
    render(facts)
    assert facts == before
