"""Pages written to files: of one run, of several, or of a bench; as they are, or redacted."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsee import runs
from unsee.files import explained, locked, write_whole
from unsee.report import evidence, page, redact, schema


@dataclass(frozen=True, slots=True)
class Made:
    """What was written.

    Attributes:
        page: The page.
        twin: The same for machines, beside it.
        left_out: Files of the run that are not in the redacted copy, since nothing is known of what they hold.
    """

    page: Path
    twin: Path
    left_out: tuple[str, ...] = ()


def make(
    folders: Sequence[Path],
    out: Path | None = None,
    *,
    redacted: bool = False,
    export: Path | None = None,
    outside: bool = False,
    command: str = "",
) -> Made:
    """Write the page of a run, of several runs, or of one or more benches, and the same for machines beside it.

    Args:
        folders: Runs or benches, not both.
        out: The page; if not given, that of the run itself, or `page.html` here where there is none such.
        redacted: Whether to take names and pictures out.
        export: A new folder for a redacted copy of the run; the page is in it as well.
        outside: Whether to show pictures that lie outside the run, where they were asked about.
        command: What the user typed, for the page of a comparison.

    Raises:
        LookupError: A folder is neither a run nor a bench.
        FileExistsError: What is to be written is there, and something else.
        ValueError: What is asked for does not go together, or a run is not what it was.
    """
    benches = [_is_bench(folder) for folder in folders]
    if any(benches) and not all(benches):
        raise ValueError("runs and benches do not stand on one page; name either")
    single = len(folders) == 1 and not benches[0]
    if export is not None:
        if not redacted:
            raise ValueError("--export writes a redacted copy; add --redact, or copy the folder")
        if not single:
            raise ValueError(f"--export takes one run, not {len(folders)} folders; export them one by one")
        left = redact.export(folders[0], export, outside=outside)
        page_, twin = export / "report.html", export / "report.json"
        if out is not None:
            page_, twin = _write(out, page_.read_text(encoding="utf-8"), twin.read_text(encoding="utf-8"))
        return Made(page_, twin, tuple(left))
    if single and redacted:
        with tempfile.TemporaryDirectory() as place:
            copy = Path(place) / "copy"
            redact.export(folders[0], copy, outside=outside)
            texts = [(copy / f"report{ending}").read_text(encoding="utf-8") for ending in (".html", ".json")]
        return Made(*_write(out or Path("page.html"), *texts))
    if single:
        run = runs.read(folders[0])
        with locked(run.folder, f"another process is at work on {run.folder}"):
            facts = evidence.gather(folders[0], outside=outside)
            text, twin_text = page.render(facts), schema.written(facts)
            if out is None:
                run.write_text("report.html", text)
                run.write_text("report.json", twin_text)
                run.finish(run.read_json("facts.json"))
                return Made(run.path("report.html"), run.path("report.json"))
        return Made(*_write(out, text, twin_text))
    told = {**_compared(folders, all(benches)), "command": command}
    if redacted:
        told = _without_names(told, folders)
    return Made(*_write(out or Path("page.html"), page.render_comparison(told), schema.written(told)))


def _is_bench(folder: Path) -> bool:
    return (folder / "cells.jsonl").exists()


def _compared(folders: Sequence[Path], benches: bool) -> dict[str, Any]:
    from unsee.report import compare  # takes torch along

    return compare.of_bench(folders[0], folders[1:]) if benches else compare.of_runs(folders)


def _without_names(told: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """Return what a comparison says without the names of any concept in it, under the key of its first folder."""
    from unsee import bench

    names = dict[str, None]()
    for folder in folders:
        if _is_bench(folder):
            names |= dict.fromkeys(cell["concept"] for cell in bench.read(folder))
        else:
            names |= dict.fromkeys(redact.names_in(runs.read(folder)))
    redactor = redact.Redactor(redact.key_of(folders[0]), names)
    return {**redactor.value(told), "redacted": True}


def _write(out: Path, page_: str, twin: str) -> tuple[Path, Path]:
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out is {str(out)!r}; end it in .html")
    beside = out.with_suffix(".json")
    if beside.exists() and not _ours(beside):
        raise FileExistsError(
            f"{beside} is there and none of ours; give the page another name, and it gets another too"
        )
    with explained(f"cannot make {out.parent}"):
        out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, page_.encode("utf-8", "backslashreplace"))
    write_whole(beside, twin.encode("utf-8", "backslashreplace"))
    return out, beside


def _ours(file: Path) -> bool:
    try:
        told = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("schema") in ("unsee evidence 1", "unsee comparison 1")
