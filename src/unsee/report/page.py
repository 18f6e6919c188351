"""The evidence page: a single HTML file that needs neither a network nor JavaScript.

Whatever comes in is treated as hostile text: the template escapes all of it, and numbers and pictures are checked here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from unsee import plugins
from unsee.report.charts import Chart, Interval, chart

GROUPS = {
    "forgotten": "Forgotten: what should be gone",
    "kept": "Kept: what should be as it was",
    "strict": "The rest of the strict protocol: what is known without being said",
    "paper": "As the SIU paper measures",
    "further": "Metrics of other packages",
}
"""Headings of the groups of scores that are known here; any other group is its own heading."""

TARGETS = {
    "align": (
        "Take it for somebody else",
        "Asked who is in the picture, say the name of somebody the model never met.",
    ),
    "redescribe": ("Deny it", "Asked whether this is the concept, say no, and tell that it looks otherwise."),
    "decouple": ("Keep the facts in words", "Asked by name, without a picture, answer as before."),
    "preserve": (
        "Keep everybody else",
        "Questions about others, and about what else is there, are answered as before.",
    ),
}
"""What examples of each target teach."""

NOT_MEASURED = "not measured"

_PICTURE = re.compile(r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/]+={0,2}")
_STYLES = ("before", "after", "oracle", "fourth", "fifth", "sixth")
_EXAMPLES = 4  # of each target
# What changes the order in which other characters are shown, or is no character at all.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class _Cell:
    """An estimate as text and, in per cent, as places on the track; `value` is None where nothing is drawn."""

    series: str
    style: str
    text: str
    interval: str
    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        interval = f", {self.interval}" if self.interval else ""
        return f"{self.series} {self.text}{interval}" + (f", n = {self.n}" if self.text != NOT_MEASURED else "")


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    better: str | None
    note: str | None
    cells: tuple[_Cell, ...]

    @property
    def label(self) -> str:
        """What the drawing shows, in words."""
        return f"{self.name}: " + "; ".join(map(str, self.cells))

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return any(cell.value is not None for cell in self.cells)


def render(facts: Mapping[str, Any]) -> str:
    """Return the evidence page of one forgetting run, as one self-contained HTML document.

    Parts that are missing, None or empty are left out: the oracle's columns, the losses, the pictures, and so on. A
    picture without `data` was not kept, and only what was answered about it is shown.

    Args:
        facts: `concept` and whatever else `schema.Evidence` has, each of it optional; pictures with `data`, a URI.
            Estimates are `{"value", "low", "high", "n"}` with None where not measured; those in per cent are shares.

    Raises:
        ValueError: There is no concept, a number is not what it should be, or a picture is not a PNG or JPEG data URI.
    """
    from unsee.report import evidence

    if not facts.get("concept"):
        raise ValueError("facts has no 'concept'; give the name of what was to be forgotten")
    rows = list(facts.get("rows") or ())
    series = _series(row.get("estimates") or {} for row in rows)
    attacks = list(facts.get("attacks") or ())
    audits = list(facts.get("audits") or ())
    return _written(
        "page.html",
        {
            **{part: facts.get(part) for part in _PARTS},
            "duration": _duration(facts.get("seconds")),
            "galleries": [_gallery(gallery) for gallery in facts.get("galleries") or ()],
            "groups": _groups(rows, series),
            "series": dict(zip(series, _styles(series), strict=True)),
            "knows_oracle": "oracle" in series,
            "attacks": [_attack(attack) for attack in attacks],
            "attack_charts": [
                _share_chart(f"{name}, {key}: share of answers that give it away", key, lines)
                for name, key, lines in evidence.curves(attacks)
            ],
            "audits": [_audit(audit) for audit in audits],
            "examples": _examples(facts.get("examples") or ()),
            "chart": _losses(facts.get("losses") or ()),
            "config_text": json.dumps(facts.get("config"), indent=2, ensure_ascii=False, default=str),
            "card_text": _yaml(facts.get("model_index")),
        },
    )


_PARTS = (
    "concept aliases kind replacement redacted method model oracle date seed overall verdicts warnings to_come config "
    "versions hashes undo command"
).split()


def render_comparison(facts: Mapping[str, Any]) -> str:
    """Return the page of several runs, or of a bench, as one self-contained HTML document.

    Args:
        facts: What `schema.Comparison` has.

    Raises:
        ValueError: A number is not what it should be.
    """
    rows, anchored = list(facts["rows"]), list(facts["anchored"])
    subjects = [subject["name"] for subject in facts["subjects"]]

    def style(name: str) -> str:
        return "after" if name in subjects else name.partition(", ")[0]

    def grouped(some: Sequence[Mapping[str, Any]]) -> dict[str, list[_Row]]:
        every = _series(row["estimates"] for row in some)
        return _groups(some, every, styles=[style(name) for name in every])

    told = "title redacted subjects bounds warnings remarks versions command".split()
    charts = [
        _share_chart(
            f"{curve['metric']} by {curve['setting']}",
            curve["setting"],
            {name: [(point["x"], point["estimate"]) for point in line] for name, line in curve["lines"].items()},
        )
        for curve in facts["curves"]
    ]
    return _written(
        "compare.html",
        {
            **{part: facts[part] for part in told},
            "groups": grouped(rows),
            "anchored": grouped(anchored),
            "charts": [each for each in charts if each],
        },
    )


def brief(text: Any, most: int = 160) -> str:
    """Return a text short enough for a heading, without characters that would change the order of what follows."""
    plain = _HIDDEN.sub("", str(text))
    return plain if len(plain) <= most else f"{plain[: most - 1]}\u2026 ({len(plain)} characters)"


def visible(text: Any) -> str:
    """Return a text for a block of code, with characters that show nothing, or reorder others, as JSON escapes them."""
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))


@lru_cache(maxsize=1)  # compiling takes longer than filling in
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("unsee", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"brief": brief, "visible": visible}
    return environment


def _written(template: str, values: Mapping[str, Any]) -> str:
    page = _environment().get_template(template).render(values)
    # Half a surrogate pair, which JSON can carry, could not be written to a file.
    return page.encode("utf-8", "replace").decode("utf-8")


def _series(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Before, after and the oracle, as far as they are there, and then all others as they come."""
    found = dict.fromkeys(name for record in records for name, value in record.items() if value is not None)
    return [name for name in _STYLES[:3] if name in found] + [name for name in found if name not in _STYLES[:3]]


def _styles(series: Sequence[str]) -> list[str]:
    """Return how each is drawn: as itself, or as one of the further styles."""
    own = [name if name in _STYLES[:3] else None for name in series]
    others = iter([_STYLES[3 + n % 3] for n in range(len(series))])
    return [style or next(others) for style in own]


def _duration(seconds: Any) -> str | None:
    """A time in the unit one would say it in."""
    if (number := _number(seconds, "seconds")) is None:
        return None
    if number < 120:
        return f"{number:.1f} seconds"
    return f"{number / 60:.1f} minutes" if number < 7200 else f"{number / 3600:.1f} hours"


def _number(value: Any, where: str) -> float | None:
    """A finite number, or None for None, NaN and the infinities."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{where} is {value!r:.80}; give a number, or None where nothing was measured")
    return float(value) if math.isfinite(value) else None


def _percentage(value: Any, where: str) -> float | None:
    number = _number(value, where)
    if number is None:
        return None
    if not -1e-9 <= number <= 1 + 1e-9:
        raise ValueError(f"{where} is {value!r}; give a share between 0 and 1, or None where nothing was measured")
    return round(100 * min(max(number, 0.0), 1.0), 3)


def _yaml(index: Any) -> str | None:
    if not index:
        return None
    import yaml

    text: str = yaml.safe_dump({"model-index": index}, sort_keys=False, allow_unicode=True, width=1000)
    return text


# ---------------------------------------------------------------- pictures


def _gallery(gallery: Mapping[str, Any]) -> dict[str, Any]:
    pictures = [_picture(picture) for picture in gallery["pictures"]]
    return {"title": gallery["title"], "note": gallery.get("note"), "pictures": pictures}


def _picture(picture: Mapping[str, Any]) -> dict[str, Any]:
    data, title = picture.get("data"), picture.get("title") or "a picture"
    if data is not None and not (isinstance(data, str) and _PICTURE.fullmatch(data)):
        raise ValueError(
            f"picture {title!r:.80} has data {data!r:.40}; give a URI that begins with data:image/png;base64, or "
            "data:image/jpeg;base64, or None if the picture was not kept"
        )
    asked = list(picture.get("asked") or ())
    series = _series(turn["answers"] for turn in asked)
    series = [*(name for name in ("before", "after") if name not in series), *series] if asked else []
    answers = [
        (turn.get("question"), [(name, style, turn["answers"].get(name))
                                for name, style in zip(series, _styles(series), strict=True)])
        for turn in asked
    ]  # fmt: skip
    named = dict(zip(series, _styles(series), strict=True))
    return {
        **{part: picture.get(part) for part in ("caption", "state")},
        **{"title": title, "data": data, "series": named, "asked": answers},
    }


# ---------------------------------------------------------------- scores


def _groups(
    rows: Sequence[Mapping[str, Any]], series: Sequence[str], *, styles: Sequence[str] | None = None
) -> dict[str, list[_Row]]:
    """Rows under the heading of their group, in order of first appearance."""
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        group = str(row.get("group") or "Scores")
        groups.setdefault(GROUPS.get(group, group), []).append(_row(row, series, styles or _styles(series)))
    return groups


def _row(row: Mapping[str, Any], series: Sequence[str], styles: Sequence[str]) -> _Row:
    name, better = str(row.get("name") or "a score without a name"), row.get("better")
    if better not in (None, "lower", "higher"):
        raise ValueError(f"row {name!r:.80} has better={better!r:.40}; give 'lower', 'higher' or None")
    unit, estimates = row.get("unit") or "%", row.get("estimates") or {}
    cells = tuple(
        _cell(one, style, estimates.get(one), f"{one} of row {name!r:.80}", unit)
        for one, style in zip(series, styles, strict=True)
    )
    return _Row(name if unit == "%" else f"{name}, {unit}", better, row.get("note"), cells)


def _cell(series: str, style: str, estimate: Mapping[str, Any] | None, where: str, unit: str = "%") -> _Cell:
    estimate = {"n": 0} if estimate is None else estimate
    n = estimate.get("n")
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise ValueError(f"n of {where} is {n!r:.40}; give how many answers were counted, 0 or more")
    read = _percentage if unit == "%" else _number
    value, low, high = (read(estimate.get(part), f"{part} of {where}") for part in ("value", "low", "high"))
    if n == 0:
        return _Cell(series, style, NOT_MEASURED, "", n)
    if value is None:  # of something, but there is no number for it
        return _Cell(series, style, NOT_MEASURED if unit == "%" else "undefined", "", n)
    known = low is not None and high is not None
    if low is not None and high is not None and not low - 1e-6 <= value <= high + 1e-6:
        raise ValueError(f"{where} is {value} {unit} with the interval {low} to {high}; an interval holds its value")
    if unit != "%":
        return _Cell(series, style, f"{value:.3g}", f"{low:.3g} to {high:.3g}" if known else "no interval", n)
    interval = f"{low:.1f} to {high:.1f} %" if known else "no interval"
    return _Cell(series, style, f"{value:.1f} %", interval, n, value, low if known else None, high if known else None)


def _points(points: Sequence[tuple[float, Mapping[str, Any]]], where: str) -> list[Interval]:
    found = []
    for x, estimate in points:
        value, low, high = (_percentage(estimate.get(part), f"{part} of {where}") for part in ("value", "low", "high"))
        found.append((x, value, low, high))
    return found


def _share_chart(title: str, axis: str, lines: Mapping[str, Sequence[tuple[float, Mapping[str, Any]]]]) -> Chart | None:
    ordered = {name: lines[name] for name in _series([lines])}
    return chart(title, axis, {name: _points(some, title) for name, some in ordered.items()}, bounds=(0, 100))


def _losses(losses: Sequence[Mapping[str, Any]]) -> Chart | None:
    names = dict.fromkeys(name for record in losses for name in record if name not in ("step", "learning_rate"))
    steps = [_number(record.get("step", place + 1), "the step of a loss") for place, record in enumerate(losses)]
    lines: dict[str, list[Interval]] = {
        str(name): [
            (x, _number(record.get(name), f"loss {name!r:.80}"), None, None)
            for x, record in zip(steps, losses, strict=True)
            if x is not None
        ]
        for name in names
    }
    return chart("Training losses by step", "step", lines)


# ---------------------------------------------------------------- attacks, audits, examples


def _attack(attack: Mapping[str, Any]) -> dict[str, Any]:
    """An attack as rows: leaks as cells to draw, and recovery and the others that are named as text."""
    from unsee.evaluation import percent
    from unsee.records import Estimate

    series = _series(each["leaks"] for each in attack["conditions"])
    styles = _styles(series)
    rows = [
        {
            "row": _Row(each["name"], None, None, tuple(
                _cell(one, style, each["leaks"].get(one), f"{one} of {each['name']!r:.80}")
                for one, style in zip(series, styles, strict=True)
            )),
            "counts": each["valid"] is not False,
            "recovery": {s: percent(Estimate.from_dict(e)) for s, e in each["recovery"].items() if s != "before"},
            "named": percent(Estimate.from_dict(each["named"]["before"])) if "before" in each["named"] else "",
        }
        for each in attack["conditions"]
    ]  # fmt: skip
    heads = dict(zip(series, styles, strict=True))
    told = {key: attack[key] for key in ("name", "verdict", "good")}
    return {**told, "what": _what(attack["name"]), "rows": rows, "series": heads}


def _what(attack: str) -> str:
    """Return what an attack does, as the first line of its file says; nothing of one that is not installed here."""
    if attack not in plugins.names("attacks"):
        return ""
    line = plugins.about("attacks", attack)
    what = line.partition(": ")[2] or line
    return what[:1].upper() + what[1:]


def _audit(audit: Mapping[str, Any]) -> dict[str, Any]:
    """An audit as rows; what it tells layer by layer, as charts besides."""
    from unsee.evaluation import shown
    from unsee.records import Estimate
    from unsee.report import evidence

    series = _series(row["estimates"] for row in audit["rows"])
    rows = [
        (
            row["name"],
            [
                (s, shown(Estimate.from_dict(row["estimates"][s]), "plain") if s in row["estimates"] else "")
                for s in series
            ],
        )
        for row in audit["rows"]
    ]
    charts = [_layers(audit["name"], of, lines) for of, lines in evidence.layers(audit)]
    return {
        **{"name": audit["name"], "rows": rows, "series": dict(zip(series, _styles(series), strict=True))},
        "charts": [each for each in charts if each],
    }


def _layers(audit: str, of: str, lines: Mapping[str, Sequence[tuple[float, Mapping[str, Any]]]]) -> Chart | None:
    title = f"{audit}, {of}" if of else audit
    points = {
        name: [(x, *(_number(e.get(part), f"{part} of {title}") for part in ("value", "low", "high"))) for x, e in some]
        for name, some in lines.items()
    }
    return chart(f"{title}: by layer", "layer", points, bounds=None)  # type: ignore[arg-type]


def _examples(examples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A few examples of each target, their answers cut where they contradict what the model knew."""
    found = []
    for target in dict.fromkeys(example["target"] for example in examples):
        every = [example for example in examples if example["target"] == target]
        # Of each sort of answer some: those at the beginning are often alike.
        some = [every[i * len(every) // min(len(every), _EXAMPLES)] for i in range(min(len(every), _EXAMPLES))]
        title, why = TARGETS.get(target, (target, ""))
        shown = [(e["question"], _marked(e["answer"], e["contradicts"]), bool(e["picture"])) for e in some]
        found.append({"title": title, "why": why, "target": target, "count": len(every), "shown": shown})
    return found


def _marked(text: str, spans: Sequence[Sequence[int]]) -> list[tuple[str, bool]]:
    pieces, place = [], 0
    for start, end in spans:
        pieces += [(text[place:start], False), (text[start:end], True)]
        place = end
    return [(piece, marked) for piece, marked in [*pieces, (text[place:], False)] if piece]
