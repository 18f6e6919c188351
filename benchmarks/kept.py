"""Scores of long benches, kept in small files, so that a table of the docs is there without the hours behind it.

    python benchmarks/kept.py pack FOLDER... NAME      cells of a bench's folders -> benchmarks/cells/NAME.jsonl.xz
    python benchmarks/kept.py unpack NAME FOLDER       and back: `unsee bench PLAN --out FOLDER` goes on from there,
                                                       as long as what it asks has not changed ("protocol" in the file)
    python benchmarks/kept.py table NAME [--table strict paper] [--figures FOLDER]
    python benchmarks/kept.py table NAME --table anchored --alone    the first oracle places all others
    python benchmarks/kept.py rows NAME VARIANT        one variant, a row for each question; and by character

Of the selection characters, on which settings are chosen, both print what the choice rests on and nothing else.
A kept file holds the marks and scores of every cell, not the answers they were made from: what needs answers (figures
of pairs and of likeness, `--rescore`) needs the folder itself.
"""

from __future__ import annotations

import argparse
import json
import lzma
import tempfile
from pathlib import Path
from typing import Any

from unsee import bench, evaluation
from unsee.files import write_whole
from unsee.report import figures

CELLS = Path(__file__).parent / "cells"


def read(name: str) -> list[dict[str, Any]]:
    """Return the cells kept under a name."""
    with tempfile.TemporaryDirectory() as folder:
        unpack(name, Path(folder))
        return bench.read(Path(folder))


def unpack(name: str, folder: Path) -> None:
    """Write the cells kept under a name into a folder, as a bench would have left them."""
    if (folder / "cells.jsonl").exists():
        raise FileExistsError(f"{folder} holds a bench; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "cells.jsonl", lzma.decompress((CELLS / f"{name}.jsonl.xz").read_bytes()))


def pack(folders: list[Path], name: str) -> Path:
    """Keep the cells of folders of one bench under a name; return the file."""
    first, *others = folders
    with (first / "cells.jsonl").open(encoding="utf-8") as file:
        head = json.loads(file.readline())
    head["versions"].pop("platform", None)  # nobody needs to know whose machine it was
    cells = bench.joined(bench.read(first), first, others)
    lines = [head, *({key: value for key, value in cell.items() if key != "folder"} for cell in cells)]
    whole = "".join(f"{json.dumps(line)}\n" for line in lines)
    out = CELLS / f"{name}.jsonl.xz"
    out.parent.mkdir(exist_ok=True)
    write_whole(out, lzma.compress(whole.encode(), preset=9))
    return out


def table(cells: list[dict[str, Any]], which: str) -> str:
    """Return a table of cells as `unsee bench --table` prints it, in Markdown."""
    heads, rows, notes = bench.tabled(cells, which)
    told = [f"{variant}: {each}" for variant, each in bench.reached(cells).items()] if which == "strict" else []
    return bench.written(heads, rows, "md", [*notes, "", *told])


def by_one(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return cells in which all oracles but the first are models like any, as they were if it were the only one."""
    return [
        {**cell, "variant": f"like {v}"} if bench.is_oracle(v := cell["variant"]) and v != "oracle" else cell
        for cell in cells
    ]


def names() -> list[str]:
    """Return what cells are kept as."""
    return sorted(file.name.partition(".")[0] for file in CELLS.glob("*.jsonl.xz"))


def choice(cells: list[dict[str, Any]]) -> str:
    """Return the two numbers that settings are chosen by, of every one that was tried, and which are chosen."""
    chosen = {variant for variant, _, _ in bench.tuned(cells).values()}
    means = bench.summary(cells, bench.CHOSEN_BY)
    leaks, named = (means[metric] for metric in bench.CHOSEN_BY)
    rows = [
        [v, f"{100 * leaks[v].value:.1f}", f"{100 * e.value / named['before'].value:.1f}", "chosen" * (v in chosen)]
        for v, e in named.items() if not bench.is_anchor(v)
    ]  # fmt: skip
    return bench.written(["", "leak ↓", "others, of before ↑", ""], rows, "md")


def rows_of(cells: list[dict[str, Any]], variant: str) -> str:
    """Return a variant beside before and oracle with a row for each question; and its headlines by character."""
    found = bench.scored(cells)
    columns = [
        condition for condition in ("before", variant, "oracle") if any(condition in of for of in found.values())
    ]
    scores = {c: {metric: of[c] for metric, of in found.items() if c in of} for c in columns}
    laid = [line for line in evaluation.lines(scores, evaluation.USUAL) if variant in line.estimates]
    arrows = evaluation.ARROWS
    rows = [
        [f"{line.name} {arrows[line.better]}", *(evaluation.shown(line.estimates.get(c), line.unit) for c in columns),
         str(line.estimates[variant].n)] for line in laid
    ]  # fmt: skip
    headlines = {
        f"leak: {bench.OPEN}": "leak", "leak: claimed": "claimed", "form: well-formed": "well-formed",
        "kept: others": "others", "kept: look-alike": "look-alike",
    }  # fmt: skip
    by = [
        [who, *(f"{100 * of[variant].value:.1f}" if (of := single.get(metric)) else "" for metric in headlines)]
        for who in dict.fromkeys(cell["concept"] for cell in cells)
        for single in (bench.scored([cell for cell in cells if cell["concept"] == who], headlines),)
    ]
    whole = bench.written(["", *columns, "n"], rows, "md")
    return f"{whole}\n\nBy character:\n\n{bench.written(['', *headlines.values()], by, 'md')}"


def draw(cells: list[dict[str, Any]], folder: Path) -> None:
    """Draw what needs no answers: scores over settings that variants differ in, or else forgetting against keeping."""
    folder.mkdir(parents=True, exist_ok=True)
    over = figures.curves(cells)
    for setting, lines in over.items():
        figures.draw_curves(lines, setting, folder / f"{setting}.svg")
    if not over:
        figures.draw_frontier(figures.frontier(cells), folder / "field.svg")


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pack", "unpack", "table", "rows"))
    parser.add_argument("names", nargs="+", help="folders and a name; see above")
    parser.add_argument("--table", nargs="+", choices=tuple(bench.TABLES), default=["strict"])
    parser.add_argument("--alone", action="store_true", help="of a table: the first oracle places all others")
    parser.add_argument("--figures", type=Path, help="folder for figures")
    given = parser.parse_args()
    if given.what == "pack":
        print(pack([Path(folder) for folder in given.names[:-1]], given.names[-1]))
    elif given.what == "unpack":
        unpack(given.names[0], Path(given.names[1]))
    elif not (CELLS / f"{given.names[0]}.jsonl.xz").exists():
        parser.error(f"no cells are kept as {given.names[0]!r}; there are {', '.join(names())}")
    elif bench.chosen_on(cells := read(given.names[0])):
        print(choice(cells))
    elif given.what == "rows":
        variants = list(dict.fromkeys(cell["variant"] for cell in cells if not bench.is_anchor(cell["variant"])))
        if len(given.names) != 2 or given.names[1] not in variants:
            parser.error(f"name one of the variants of {given.names[0]}: {'; '.join(variants)}")
        print(rows_of(cells, given.names[1]))
    else:
        cells = by_one(cells) if given.alone else cells
        print("\n".join(table(cells, each) for each in given.table))
        if given.figures:
            draw(cells, given.figures)


if __name__ == "__main__":
    main()
