"""The command line: parse, call, print. Everything heavy is imported inside the command that needs it.

Every command takes `--json`: one JSON object on stdout and nothing else there. Progress and errors go to stderr.
Exit codes: 0 done, 1 a fault of unsee's own, 2 a request that cannot be met (one line says why), 3 the model does not
recognise what it is to forget, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shlex
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


def forget(
    name: str,
    *,
    image: tuple[Path, ...] = (),
    model: str = "pocket",
    request: Path | None = None,
    out: Path | None = None,
    method: str = "siu",
    set_: tuple[str, ...] = (),
    paper: bool = False,
    replace_with: str | None = None,
    preserve: str | None = None,
    mask_vocabulary: str | None = None,
    seed: int | None = None,
    benchmark: str | None = None,
    oracle: str | None = None,
    show_masks: bool = False,
    keep_picture: bool = False,
    force: bool = False,
    json_: bool = False,
) -> None:
    """Make a model forget one person, brand or character from a picture, and measure what came of it.

    First asks whether the model recognises it at all; if not, nothing is trained and the exit code is 3. Writes a run
    folder with the edit (a LoRA adapter that peft loads), answers, scores and a page of evidence. A run that was
    stopped goes on when the same command is given again.

    Args:
        name: Whom to forget.
        image: One or more pictures. In a pocket model, its characters need none: one is drawn.
        model: A bundled model, a folder, or a Hugging Face id.
        request: A YAML file that fixes aliases, facts, the replacement or whole examples.
        out: The run folder; runs/NAME if not given.
        method: How; `unsee list methods` shows which there are.
        set_: Settings of the method, as key=value, such as steps=30.
        paper: Use the settings of the paper instead of those recommended for the model's family.
        replace_with: What the model is to say instead: a "name" nobody bears, or a "description".
        preserve: "image" also holds on to what else is in the picture; "text" is the paper's.
        mask_vocabulary: Which vocabulary entries the loss leaves out: "name" (the paper's), "distinctive" or "none".
        seed: Of everything drawn at random.
        benchmark: What to ask before and after; "none" asks nothing. `unsee list benchmarks` shows which there are.
        oracle: A model that never saw the concept, to compare with; "none" takes none.
        show_masks: Only print the examples and what the masks of the loss act on; nothing is trained.
        keep_picture: Keep the picture in the run folder and show it on the page; otherwise only its hash is kept.
        force: Write over a run that is there.
        json_: Print one JSON object and nothing else.
    """
    settings = {"replace_with": replace_with, "preserve": preserve, "mask_vocabulary": mask_vocabulary, "seed": seed}
    with _working(f"loading {model}"):
        from unsee import flow
        from unsee.vlm import VLM

        wish, fixed = _request(name, image, request, model)
        config = _config(method, set_, {k: v for k, v in settings.items() if v is not None}, paper, fixed)
        vlm = VLM.load(model)
    if show_masks:
        with _working("making examples"):
            flow.preflight(vlm, wish)
            plugin = plugins.load("methods", method)
            if not hasattr(plugin, "show_masks"):
                raise ValueError(f"the method {method!r} has no masks to show; siu has")
            shown = plugin.show_masks(vlm, (wish,), fixed, config)
        _answer({"masks": shown}, shown, as_json=json_)
        return
    folder = out or Path("runs") / _slug(wish.concept.name)
    with _stdout_kept():
        outcome = flow.forget(
            vlm, wish, method=method, config=config, retain=fixed, benchmark=benchmark, oracle=oracle, out=folder,
            force=force, keep_picture=keep_picture, command=_command(), progress=True,
        )  # fmt: skip
    _show(outcome, as_json=json_)


def demo(*, name: str | None = None, out: Path = Path("runs/demo"), force: bool = True, json_: bool = False) -> None:
    """Forget one character of the built-in world, and compare with a model that never saw it. Takes a minute or two.

    Args:
        name: Whom to forget; otherwise the first of the eight bench characters.
        out: The run folder.
        force: Write over an earlier demo.
        json_: Print one JSON object and nothing else.
    """
    from unsee.pocket import world

    who = world.find(name) if name else world.cast()[world.BENCH[0]]
    say = (lambda text: None) if json_ else print
    with _working("loading pocket"):
        from unsee import flow
        from unsee.benchmarks import pocket
        from unsee.vlm import VLM

        wish, vlm = pocket.request(who.name), VLM.load("pocket")
        known = flow.preflight(vlm, wish)
    say(f"Asked who is in one picture, the pocket model says {who.name} in {sum(k for *_, k in known)} of {len(known)}"
        " phrasings, such as:")  # fmt: skip
    say(f"  {known[1][0]}  {known[1][1]}")
    with _stdout_kept():
        outcome = flow.forget(vlm, wish, out=out, force=force, keep_picture=True, command="unsee demo", progress=True)
        with vlm.using(outcome.edit):
            after = vlm.generate([(wish.images[0], known[1][0])])[0]  # type: ignore[list-item]
    say(f"Forgotten in {outcome.seconds:.1f} s. The same question again:\n  {known[1][0]}  {after}\n")
    _show(outcome, as_json=json_)


def bench(
    *,
    ablation: bool = False,
    name: tuple[str, ...] = (),
    seeds: int = 1,
    most: int | None = None,
    set_: tuple[str, ...] = (),
    out: Path = Path("runs/bench"),
    json_: bool = False,
) -> None:
    """Forget each of the eight bench characters and print what came of it, for one setting or for an ablation.

    What is done is kept, so a stopped bench goes on where it was.

    Args:
        ablation: Also leave out or change each part of the method.
        name: Characters to forget instead of the eight.
        seeds: How many seeds per character.
        most: At most so many probes of each kind, to save time.
        set_: Settings of the method, as key=value.
        out: Folder for the results.
        json_: Print one JSON object and nothing else.
    """
    with _stdout_kept():
        from unsee import bench as benching
        from unsee.benchmarks import pocket
        from unsee.vlm import VLM

        requests = [pocket.request(each) for each in name] or list(pocket.requests())
        variants = benching.ABLATION if ablation else {"siu": ("siu", {})}
        chosen = dataclasses.asdict(_config("siu", set_, {}, False, ()))
        plain = dataclasses.asdict(_config("siu", (), {}, False, ()))
        settings = {key: value for key, value in chosen.items() if value != plain[key]}
        cells = benching.run(
            VLM.load("pocket"), requests, variants, seeds=range(seeds), folder=out, oracle=VLM.load("pocket-oracle"),
            most=most, settings=settings, progress=True,
        )  # fmt: skip
        record = {m: {v: e.as_dict() for v, e in row.items()} for m, row in benching.summary(cells).items()}
        wide = benching.worst(cells, f"leak: {benching.OPEN}", "siu")
        notes = [f"worst character of siu: {wide[0]}, leak {wide[1]:.1%}", *benching.remarks(cells)]
    _answer({"metrics": record, "remarks": notes}, "\n".join([benching.markdown(cells), "", *notes]), as_json=json_)


def score(run: Path, *, json_: bool = False) -> None:
    """Score the saved answers of a run anew, without the model, and write its page again.

    Args:
        run: The run folder.
        json_: Print one JSON object and nothing else.
    """
    from unsee import evaluation, flow

    scores = flow.rescore(run)
    record = {c: {n: e.as_dict() for n, e in s.items()} for c, s in scores.items()}
    _answer(record, evaluation.table(scores, str(run)), as_json=json_)


def undo(run: Path, *, merged: Path | None = None, out: Path | None = None, json_: bool = False) -> None:
    """Say how to take an edit back, and do it for a model into which it was merged.

    Args:
        run: The run folder.
        merged: A model folder that the edit was merged into.
        out: Where to write that model without the edit.
        json_: Print one JSON object and nothing else.
    """
    from unsee import runs

    kept = runs.read(run)
    base, edit = kept.read_json("config.json")["config"]["model"]["name"], kept.path("edit")
    record: dict[str, Any] = {"edit": str(edit), "model": base, "merged": merged and str(merged)}
    if merged is None:
        if out is not None:
            raise ValueError(f"--out is {str(out)!r}, but there is nothing to write without --merged MODEL; add it")
        told = (
            f"The edit is the folder {edit}; the model {base} itself was never changed.\n"
            "Load the model without that adapter, or delete the folder, and everything is as before.\n"
            f"If it was merged into a copy of the model: unsee undo {shlex.quote(str(run))} --merged MODEL --out FOLDER"
        )
        if not edit.is_dir():
            told = f"The edit was deleted already; the model {base} itself was never changed."
            record["edit"] = None
        _answer(record, told, as_json=json_)
        return
    if out is None:
        raise ValueError("--out is missing; name a new folder for the model without the edit")
    with _working("taking the edit out"):
        from unsee import flow

        left = flow.undo(run, merged, out)
    how = "it was not compared with the base, which is not there" if left is None else (
        f"it equals {base} bit for bit" if left == 0 else
        f"it equals {base} up to rounding (what is left of the edit: {left:.1g} of it)"
    )  # fmt: skip
    _answer(record | {"out": str(out), "left": left}, f"{out} is {merged} without the edit; {how}.", as_json=json_)


def merge(run: Path, *, out: Path, json_: bool = False) -> None:
    """Merge a run's edit into a copy of its model. What was one adapter to switch off is then part of the weights.

    Args:
        run: The run folder.
        out: A new folder for the model.
        json_: Print one JSON object and nothing else.
    """
    with _working("merging"):
        from unsee import flow

        flow.merge(run, out)
    _answer({"model": str(out)}, out, as_json=json_)


def _show(outcome: Any, *, as_json: bool) -> None:
    from unsee import evaluation

    name = outcome.request.concept.name
    record = {
        "concept": name,
        "replacement": outcome.request.replacement,
        "seconds": outcome.seconds,
        "folder": str(outcome.folder),
        "page": str(outcome.folder / "report.html"),
        "scores": {c: {n: e.as_dict() for n, e in s.items()} for c, s in outcome.scores.items()},
    }
    if as_json:
        _answer(record, "", as_json=True)
        return
    if outcome.scores:
        _answer({}, evaluation.table(outcome.scores, f"{name}, forgotten in {outcome.seconds:.1f} s"), as_json=False)
    undo = shlex.join(["unsee", "undo", str(outcome.folder)])
    print(f"The page: {record['page']}\nThe edit: {outcome.folder / 'edit'}\nTo take it back: {undo}")


def _request(name: str, images: Sequence[Path], file: Path | None, model: str) -> tuple[Any, tuple[Any, ...]]:
    """Return the request and the examples that a request file fixes."""
    from unsee.records import Concept, Request

    clean = " ".join(name.split())
    if len(clean) < 2 or len(clean) > 100:
        raise ValueError(f"the name is {len(clean)} characters long; give 2 to 100, as people would write it")
    if file is not None:
        from unsee import request_file

        return request_file.read(file, name=name, images=images)
    if images:
        from unsee.vlm import read_image

        for image in images:
            read_image(image)  # a broken picture should fail before the model is loaded
        return Request(Concept(clean), tuple(map(str, images))), ()
    if model.startswith("pocket"):
        from unsee.benchmarks import pocket

        return pocket.request(clean), ()
    raise ValueError("there is no picture; give one with --image FILE")


def _config(method: str, pairs: Sequence[str], settings: dict[str, Any], paper: bool, fixed: Sequence[Any]) -> Any:
    """Return a method's settings from --set and the other options."""
    from pydantic import TypeAdapter, ValidationError

    plugin = plugins.load("methods", method)
    names = [field.name for field in dataclasses.fields(plugin.Config)]
    if paper and not hasattr(plugin, "PAPER"):
        raise ValueError(f"no paper's settings are known for the method {method!r}; leave --paper out")
    chosen: dict[str, Any] = dict(plugin.PAPER) if paper else {}
    chosen |= settings
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set {pair!r} has no value; write it as key=value, such as steps=30")
        if key not in names:
            raise ValueError(f"{method} has no setting {key!r}; {plugins.near_miss(key, names)}")
        chosen[key] = tuple(filter(None, value.split(","))) if key == "without" else None if value == "None" else value
    given = {e.target for e in fixed} - {"preserve"}
    if given and "without" in names:
        chosen["without"] = tuple(dict.fromkeys((*chosen.get("without", ()), *sorted(given))))
    try:
        return TypeAdapter(plugin.Config).validate_python(chosen)
    except ValidationError as error:
        said = "; ".join(map(_misfit, error.errors()))
        raise ValueError(f"the settings of {method} do not fit: {said}") from error


def _misfit(error: Any) -> str:
    """Say in our words, where there are any, which setting does not fit and why."""
    if isinstance(why := error.get("ctx", {}).get("error"), ValueError):
        return str(why)
    said = error["msg"].partition(", unable")[0]
    return f"{'.'.join(map(str, error['loc']))} is {error['input']!r}; {said[:1].lower()}{said[1:]}"


def _slug(name: str) -> str:
    """Return a name as a folder is called; at most 80 bytes, because file systems allow 255."""
    import re

    short = re.sub(r"\W+", "-", name.casefold()).encode()[:80].decode(errors="ignore")
    return short.strip("-") or "concept"


def _command() -> str:
    return shlex.join(["unsee", *sys.argv[1:]])


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
    "demo": demo,
    "forget": forget,
    "bench": bench,
    "score": score,
    "undo": undo,
    "merge": merge,
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
    from cyclopts import CycloptsError, MissingArgumentError

    try:
        _app()(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        said = f"{error} `unsee --help` shows what there is."
        if isinstance(error, MissingArgumentError) and error.argument and not error.argument.field_info.is_keyword_only:
            # cyclopts calls it --name, and does not tell that `--image PICTURE NAME` are two pictures.
            said = (
                f"{error.argument.field_info.name.upper()} is missing; give it right after the command, since options "
                "that take several values take every word that follows"
            )
        raise ValueError(said) from error


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
        if type(error).__name__ == "NotRecognisedError":
            _fail(str(error), 3)
        # A missing key or index comes from a bug, although python files it under LookupError. A loss that is no
        # longer a number (FloatingPointError) comes from settings.
        mendable = (ValueError, LookupError, OSError, FloatingPointError)
        if isinstance(error, mendable) and type(error) not in (KeyError, IndexError):
            _fail(str(error) or type(error).__name__, 2)
        _fail(f"internal error, {type(error).__name__}: {error}; UNSEE_DEBUG=1 shows where", 1)
