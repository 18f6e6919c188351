"""The command line: parse, call, print. Everything heavy is imported inside the command that needs it.

Every command takes `--json`: one JSON object on stdout and nothing else there. Progress and errors go to stderr.
Exit codes: 0 done, 1 a fault of unsee's own, 2 a request that cannot be met (one line says why), 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from unsee import __version__, plugins

if TYPE_CHECKING:
    from cyclopts import App

    from unsee.pocket.world import Character, Picture

_PURPOSE = "Make a vision-language model stop recognising one concept, keep everything else, and prove both."
# A contact sheet is as wide as this many pictures.
_COLUMNS = 8
# Keeps the pictures of different seeds apart: no drawing asks for this many of one character.
_PICTURES_PER_SEED = 10_000
_LARGEST_SHEET = 200_000_000  # pixels; three bytes each


def list_(kind: str | None = None, *, json_: bool = False) -> None:
    """List the plug-ins: methods, metrics, benchmarks, attacks, audits, models.

    Args:
        kind: Only this kind.
        json_: Print one JSON object and nothing else.
    """
    found = {each: plugins.names(each) for each in ([kind] if kind else plugins.KINDS)}
    width = max(map(len, found))
    lines = [f"{each:<{width}}  {', '.join(names) or '-'}" for each, names in found.items()]
    _answer(found, "\n".join(lines), as_json=json_)


def ask(image: str, question: str, *, model: str = "pocket", json_: bool = False) -> None:
    """Ask a model one question about a picture.

    Args:
        image: A picture file, or none to ask without one.
        question: What to ask.
        model: A bundled model, a folder, or a Hugging Face id.
        json_: Print one JSON object and nothing else.
    """
    path = None if image == "none" else Path(image)
    if path is not None and not path.is_file():
        raise FileNotFoundError(
            f"there is no picture at {image!r}; name another file, or none to ask without a picture "
            "(`unsee pocket draw` makes one)"
        )
    if not question.strip():
        raise ValueError("the question is empty; ask something, such as 'Who is this?'")
    with _working(f"asking {model}"):
        from unsee.vlm import VLM

        (said,) = VLM.load(model).generate([(path, question)])
    _answer({"model": model, "image": path and str(path), "question": question, "answer": said}, said, as_json=json_)


def draw(
    *,
    character: str | None = None,
    pictures: int | None = None,
    seed: int = 0,
    size: int = 256,
    out: Path | None = None,
    sheet: bool = False,
    json_: bool = False,
) -> None:
    """Draw pictures of the world, none of which the models were trained on.

    Args:
        character: Whom to draw; otherwise somebody, or on a sheet everybody whom the models know.
        pictures: How many pictures; 1 if not given, or on a sheet one of each character.
        seed: Another seed gives other poses, places and clothes.
        size: Width and height of each picture, in pixels.
        out: File to write; several pictures are numbered.
        sheet: Put all pictures on one page, with names.
        json_: Print one JSON object and nothing else.
    """
    if pictures is not None and not 1 <= pictures <= 1000:
        raise ValueError(f"--pictures is {pictures}; give 1 to 1000")
    if not 16 <= size <= 2048:
        raise ValueError(f"--size is {size}; give 16 to 2048 pixels")
    if seed < 0:
        raise ValueError(f"--seed is {seed}; give 0 or more")
    if sheet and (pictures or 48) * size * size > _LARGEST_SHEET:
        raise ValueError(f"a sheet of {pictures or 48} pictures of {size} px is too large; lower --size or --pictures")
    with _working("drawing"):
        drawn = _pictures(_people(character, pictures, seed, sheet=sheet), seed)
        files = _draw(drawn, size, out, sheet=sheet)
    record = {"files": [str(file) for file in files], "pictures": [picture.id for _, picture in drawn]}
    _answer(record, "\n".join(record["files"]), as_json=json_)


def build(
    name: str = "pocket",
    *,
    without: tuple[str, ...] = (),
    seed: int = 0,
    out: Path | None = None,
    force: bool = False,
    examine: bool = True,
    json_: bool = False,
) -> None:
    """Train a pocket model from scratch (40 to 60 minutes on two CPU cores) and examine it.

    A build that was stopped goes on at its last save when the same command is given again.

    Args:
        name: pocket knows every character; pocket-oracle never saw the eight bench characters; any name with --without.
        without: Characters of whom the model is never to see a picture, by name, besides those the name leaves out.
        seed: Of the weights and of the order of lessons.
        out: Folder for the model; otherwise in the user's cache, under a name that `--model` understands.
        force: Write over a pocket model that is there.
        examine: Print the exam of the new model, which takes some ten minutes more.
        json_: Print one JSON object and nothing else.
    """
    with _stdout_kept():
        from unsee.pocket import world
        from unsee.pocket.build import build as train

        # A misspelt name should fail now, not after the warm-up.
        unseen = tuple(world.find(each).name for each in without)
        folder = train(name, without=unseen, seed=seed, out=out, force=force)
        record: dict[str, Any] = {"model": name, "without": list(unseen), "seed": seed, "folder": str(folder)}
        if examine:
            from unsee.pocket import exam as examination

            rows = examination.exam(str(folder))
            record["rows"] = [row.as_dict() for row in rows]
    if examine and not json_:
        _answer({}, examination.table(rows), as_json=False)
    _answer(record, folder, as_json=json_)


def exam(
    model: str = "pocket",
    *,
    beside: str | None = None,
    quick: bool = False,
    markdown: bool = False,
    json_: bool = False,
) -> None:
    """Examine a pocket model on pictures it was never trained on, and print what it knows beside what is asked of it.

    Args:
        model: A bundled model, or a folder.
        beside: A second model, such as pocket-oracle, to show next to the first.
        quick: Ask a sample, one pooled row per section; intervals are wider.
        markdown: Print the table as Markdown.
        json_: Print one JSON object and nothing else.
    """
    with _stdout_kept():
        from unsee.pocket import exam as examination

        rows = {name: examination.exam(name, quick=quick) for name in (model, beside) if name}
        if beside:
            show = examination.comparison_markdown if markdown else examination.comparison
            shown: object = show(rows[model], rows[beside], (model, beside))
        else:
            shown = (examination.markdown if markdown else examination.table)(rows[model])
    record = {name: [row.as_dict() for row in each] for name, each in rows.items()}
    _answer({"quick": quick, "rows": record}, shown, as_json=json_)


def _people(character: str | None, pictures: int | None, seed: int, *, sheet: bool) -> list[Character]:
    """Whom to draw, one entry per picture."""
    from unsee.pocket import world

    known = [world.cast()[index] for index in world.KNOWN]
    if character is not None:
        return [world.find(character)] * (pictures or 1)
    if sheet:
        count = pictures or len(known)
        return [known[place % len(known)] for place in range(count)]
    return [random.Random(seed).choice(known)] * (pictures or 1)


def _pictures(people: Sequence[Character], seed: int) -> list[tuple[Character, Picture]]:
    from unsee.pocket import world

    first = seed * _PICTURES_PER_SEED
    return [(who, world.picture("report", f"of-{who.index}", first + place)) for place, who in enumerate(people)]


def _draw(drawn: Sequence[tuple[Character, Picture]], size: int, out: Path | None, *, sheet: bool) -> list[Path]:
    from unsee.pocket.draw import contact_sheet, render

    target = out or Path("world.png" if sheet else f"{drawn[0][0].name.lower().replace(' ', '-')}.png")
    # Pillow learns the format from the name, and its own message about a bad one does not help.
    if target.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise ValueError(f"--out is {str(target)!r}; end it in .png, .jpg or .webp")
    target.parent.mkdir(parents=True, exist_ok=True)
    if sheet:
        columns = min(_COLUMNS, len(drawn))
        captions = [who.name for who, _ in drawn]
        contact_sheet([picture for _, picture in drawn], columns=columns, size=size, captions=captions).save(target)
        return [target]
    files = []
    for place, (_, picture) in enumerate(drawn):
        file = target if len(drawn) == 1 else target.with_stem(f"{target.stem}-{place:03d}")
        render(picture, size).save(file)
        files.append(file)
    return files


@contextmanager
def _stdout_kept() -> Iterator[None]:
    """Keep stdout for the answer: whatever a library prints meanwhile goes to stderr."""
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def _working(what: str) -> Iterator[None]:
    """Show on a terminal that work is going on; into a file or a pipe, nothing."""
    from rich.console import Console

    with _stdout_kept(), Console(stderr=True).status(f"{what} ..."):
        yield


def _answer(record: dict[str, Any], shown: object, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(record, ensure_ascii=False, allow_nan=False))
    elif isinstance(shown, (str, Path)):
        # Not through rich: it would wrap long paths and read brackets as markup.
        print(shown)
    else:
        from rich.console import Console

        Console().print(shown)


def _fail(message: str, code: int) -> NoReturn:
    print(f"unsee: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


# Command -> what it runs; the first line of the docstring is its help.
_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_,
    "ask": ask,
    "pocket draw": draw,
    "pocket build": build,
    "pocket exam": exam,
}


def _help() -> str:
    """The first page of help, written without cyclopts: importing that takes longer than reading this."""
    width = max(map(len, _COMMANDS))
    lines = [f"  {name:<{width}}  {(run.__doc__ or '').splitlines()[0]}" for name, run in _COMMANDS.items()]
    return "\n".join(
        [
            f"unsee {__version__}. {_PURPOSE}",
            "",
            "Usage: unsee COMMAND [OPTIONS] [ARGS]",
            "",
            *lines,
            "",
            "`unsee COMMAND --help` describes one command. Every command takes --json.",
        ]
    )


def _app() -> App:
    """The commands as cyclopts knows them."""
    from cyclopts import App, Parameter

    settings: dict[str, Any] = {
        "help_format": "plaintext",
        # No --no-json; and `--without A B` takes both names.
        "default_parameter": Parameter(negative=(), consume_multiple=True),
    }
    # `main` reports Ctrl-C itself, in one line and with the usual exit code.
    app = App(name="unsee", help=_PURPOSE, version=__version__, suppress_keyboard_interrupt=False, **settings)
    pocket = App(
        name="pocket", help="The built-in world of drawn characters, and the small model that lives in it.", **settings
    )
    app.command(pocket)
    for name, run in _COMMANDS.items():
        group, _, last = name.rpartition(" ")
        (pocket if group else app).command(run, name=last)
    return app


def _run(arguments: list[str]) -> None:
    """Run one command line; what goes wrong is raised."""
    if arguments in ([], ["--help"], ["-h"]):
        print(_help())
        return
    from cyclopts import CycloptsError

    try:
        _app()(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise ValueError(f"{error} `unsee --help` shows what there is.") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process where something went wrong.

    Args:
        arguments: What follows `unsee`; otherwise what the process was started with.
    """
    debug = os.environ.get("UNSEE_DEBUG", "") not in ("", "0")
    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        _fail("stopped by Ctrl-C", 130)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; python must not try to flush into the closed pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if debug:
            raise
        # A missing key or index comes from a bug, although python files it under LookupError.
        if isinstance(error, (ValueError, LookupError, OSError)) and type(error) not in (KeyError, IndexError):
            _fail(str(error) or type(error).__name__, 2)
        _fail(f"internal error, {type(error).__name__}: {error}; UNSEE_DEBUG=1 shows where", 1)
