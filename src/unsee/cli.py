"""The command line: parse, call, print. Everything heavy is imported inside the command that needs it.

Every command takes `--json`: one JSON object on stdout and nothing else there. Progress and errors go to stderr.
Exit codes: 0 done, 1 a fault of unsee's own, 2 a request that cannot be met (one line says why), 3 the model does not
recognise what it is to forget, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import os
import random
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from unsee import __version__, allocator, plugins
from unsee.loading import HERE, PLAIN, SAFE, Allowed, Loading, Place

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

    from unsee.pocket.world import Character, Picture

Sort = Literal["person", "character", "brand", "place", "object", "style", "other"]

_PURPOSE = "Make a vision-language model stop recognising one concept, keep everything else, and prove both."
# A contact sheet is as wide as this many pictures.
_COLUMNS = 8
# Keeps the pictures of different seeds apart: no drawing asks for this many of one character.
_PICTURES_PER_SEED = 10_000
_ASKED_ABOUT = 49  # pictures of each character that `benchmarks/pocket.py` asks about, 1 to 49 (0 is the given one)
_SHOWN = 2  # examples of each sort that are shown before they are trained
_LARGEST_SHEET = 200_000_000  # pixels; three bytes each
# They warn, when they are only imported, of parts for other machines, which nobody who forgets can act on.
_NOISY = ("torchao", "torch.utils._pytree", "bitsandbytes.backends.cpu.ops")
# pydantic's name of a mistake -> the remedy.
_WANTED = {
    "bool_parsing": "give true or false",
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "float_parsing": "give a number",
}


def list_(kind: str | None = None, *, json_: bool = False) -> None:
    """List the plug-ins: methods, metrics, benchmarks and so on.

    A name in it is what an option such as --method or --benchmark of `unsee forget` takes.

    Args:
        kind: Only this kind, and what each is: methods, metrics, benchmarks, attacks, audits or models.
        json_: Print one JSON object and nothing else.
    """
    found = {each: plugins.names(each) for each in ([kind] if kind else plugins.KINDS)}
    told = {each: plugins.about(kind, each) for each in found[kind]} if kind else {}
    told = told or {each: ", ".join(names) or "-" for each, names in found.items()}
    width = max(map(len, told))
    lines = [f"{each:<{width}}  {text}".rstrip() for each, text in told.items()]
    _answer(found, "\n".join(lines), as_json=json_)


def ask(image: str, question: str, *, model: str = "pocket", loading: Loading = PLAIN, json_: bool = False) -> None:
    """Ask a model one question about a picture.

    The bundled pocket model is asked unless --model names another.

        $ unsee ask pledu.png "Who is this?"
        $ unsee ask none "Where does Pledu Lotaim live?"

    Args:
        image: A picture file, or the word none to ask without a picture.
        question: What to ask.
        model: A bundled model, a folder, or a Hugging Face id.
        loading: How it is loaded.
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
        (said,) = _loaded(model, loading).generate([(path, question)])
    _answer({"model": model, "image": path and str(path), "question": question, "answer": said}, said, as_json=json_)


def forget(
    name: str,
    *,
    image: tuple[Path, ...] = (),
    alias: tuple[str, ...] = (),
    kind: Sort | None = None,
    model: str = "pocket",
    request: Path | None = None,
    keep: Path | None = None,
    writer: str | None = None,
    writer_model: str | None = None,
    dry_run: bool = False,
    out: Path | None = None,
    method: str = "siu",
    set_: tuple[str, ...] = (),
    paper: bool = False,
    replace_with: str | None = None,
    preserve: str | None = None,
    token_mask: str | None = None,
    mask_vocabulary: str | None = None,
    seed: int | None = None,
    benchmark: str | None = None,
    full: bool = False,
    most: int | None = None,
    oracle: str | None = None,
    show_masks: bool = False,
    keep_picture: bool = False,
    force: bool = False,
    push_to_hub: str | None = None,
    public: bool = False,
    loading: Loading = PLAIN,
    json_: bool = False,
) -> None:
    """Make a model forget one concept; measure what came of it.

    First asks whether the model recognises the person, brand or character at all; if not, nothing is trained and the
    exit code is 3. Writes a run folder with the edit (a LoRA adapter that peft loads), answers, scores and a page of
    evidence. A run that was stopped goes on when the same command is given again.

        $ unsee forget "Pledu Lotaim" --image pledu.png
        $ unsee forget "Pledu Lotaim" --image pledu.png --dry-run
        $ unsee forget "Pledu Lotaim" --set steps=60 rank=32 --out runs/longer
        $ unsee forget "Acme" --image logo.png --kind brand --model llava-hf/llava-1.5-7b-hf

    Whatever the request does not bring is asked of the model: facts, other concepts, questions about the picture and
    another look. --dry-run prints what would be trained; `unsee request init` writes it down, to be mended.

    --show-masks marks the tokens that the token mask takes out of the KL with [[...]], those of the vocabulary mask
    with {...}.

    The settings of siu for --set: alpha and beta weigh cross-entropy and KL; mask_tokens, mask_ends (true or false),
    token_mask, mask_vocabulary and renormalise shape the KL; replace_with, preserve, views and without choose the
    examples (without=align,decouple leaves out two targets); steps, learning_rate, rank, dropout, aim, batch and seed
    say how to train; layers=2 adapts the last two layers alone, in less time and memory; prompt_decouple keeps
    who others are, and takes pictures of them (--keep FOLDER). The other methods take preserve, views and all
    from steps on; most of them also weight, that of what is retained, and what docs/methods.md says of each.

    Of those, po learns to say "I do not know" and dpo to prefer that; ga makes the true answers unlikely, ga_kl and
    grad_diff hold on to all else besides, npo and simnpo slow down in time, mmunlearner spares what others need; undial
    learns the second choice, llmu random answers, vgid and viker what is said where nothing can be seen; rmu turns a
    layer elsewhere, mip_editor one path through all of them, vkd what is seen. smfa cleans the edit of another method,
    task_vector subtracts one; manu and kvw turn neurons down and train nothing.

    Args:
        name: Whom to forget, in quotes, as people write it.
        image: One or more pictures. In a pocket model, its characters need none: one is drawn.
        alias: Other names that give it away as much.
        kind: What sort of concept it is, which decides what is asked and what stands for the name: another name for a
            person or a character, an invented phrase for a brand, a place or a style, a description for an object. A
            person if not given, in a pocket model a character.
        model: A bundled model, a folder, or a Hugging Face id.
        request: A YAML file that fixes pictures, aliases, facts, the replacement or whole examples.
        keep: A folder with pictures of concepts that are to stay: a folder for each, or pictures called after them.
            Half of each concept's are trained with, the others asked about.
        writer: URL of a server that speaks the OpenAI protocol, whose model rephrases questions. It is not told the
            name. A key that it wants is read from UNSEE_API_KEY or OPENAI_API_KEY.
        writer_model: The name that the server gives that model, if it serves several.
        dry_run: Only print what would be trained.
        out: The run folder; runs/NAME if not given.
        method: siu, the paper's method; siu_released, what its authors' code does instead; or one that papers compare
            with: po, dpo, ga, ga_kl, grad_diff, npo, simnpo, undial or llmu.
        set_: Settings of the method, as key=value; several follow each other.
        paper: Use the settings of the paper instead of those recommended for the model's family.
        replace_with: What the model is to say instead: a "name" nobody bears (if not given), or a "description".
        preserve: "text" (the paper's), or "image" (siu, if not given), which adds what else is in the picture.
        token_mask: Answer tokens the KL leaves out: "spans", what is new in an answer (if not given), or "auto", those
            that the model itself says otherwise where nothing can be seen.
        mask_vocabulary: Entries the KL leaves out: tokens of the "name" (if not given), "distinctive" ones, or "none".
        seed: Of everything drawn at random; 0 if not given.
        benchmark: What to ask before and after: pocket, mmubench, own or none; if not given, the one that fits.
        full: Also ask for the paper's own metrics and the rest of the strict protocol (docs/protocol.md).
        most: At most so many probes of each kind, to save time.
        oracle: A model that never saw the concept, to compare with, or none; if not given, one that fits, if any.
        show_masks: Only print the examples and what the masks of the loss act on; nothing is trained.
        keep_picture: Keep the picture in the run folder and show it on the page; otherwise only its hash is kept.
        force: Write over a run that is there.
        push_to_hub: Send the edit to this repository (owner/name) on the Hugging Face hub, where only you see it.
        public: Let everybody see it there.
        loading: How the model is loaded.
        json_: Print one JSON object and nothing else.
    """
    _check_counts(most=most)
    _check_push(push_to_hub, public)
    masks = {"token_mask": token_mask, "mask_vocabulary": mask_vocabulary}
    settings = {"replace_with": replace_with, "preserve": preserve, **masks, "seed": seed}
    with _working(f"loading {model}"):
        from unsee import dossier, flow

        wish, fixed = _request(name, image, request, model, alias, kind)
        config = _config(method, set_, {k: v for k, v in settings.items() if v is not None}, paper, fixed)
        hand = _writer(writer, writer_model)
        vlm = _loaded(model, loading, training=config)
    if show_masks:
        if keep or writer:
            raise ValueError("--show-masks shows what comes of the request alone; leave --keep and --writer out")
        with _working("making examples"):
            flow.preflight(vlm, wish)
            plugin = plugins.load("methods", method)
            if not hasattr(plugin, "show_masks"):
                raise ValueError(f"the method {method!r} has no masks to show; siu has")
            shown = plugin.show_masks(vlm, (wish,), fixed, config)
        _answer({"masks": shown}, shown, as_json=json_)
        return
    if dry_run:
        with _stdout_kept():
            told, made = flow.rehearse(
                vlm, wish, method=method, config=config, retain=fixed, keep=keep, writer=hand, progress=True
            )
        text = f"{dossier.shown(told, made)}\nNothing was trained (--dry-run)."
        _answer(dossier.record(told, made), text, as_json=json_)
        return
    folder = out or Path("runs") / _slug(wish.concept.name)

    def tell(told: Any, made: Any) -> None:
        if not json_:
            print(f"{dossier.shown(told, made, most=_SHOWN)}\n(--dry-run prints all)\n", file=sys.stderr)

    with _stdout_kept():
        outcome = flow.forget(
            vlm, wish, method=method, config=config, retain=fixed, benchmark=benchmark, full=full, most=most,
            oracle=oracle, out=folder, force=force, keep_picture=keep_picture, command=_command(), progress=True,
            keep=keep, writer=hand, tell=tell,
        )  # fmt: skip
    sent = _sent(folder / "edit", push_to_hub, public) if push_to_hub else None
    _show(outcome, full=full, sent=sent, as_json=json_)


def demo(*, name: str | None = None, out: Path = Path("runs/demo"), force: bool = True, json_: bool = False) -> None:
    """Forget one of the built-in world, in a minute or two.

    Compares the model before and after, and with one that never saw the character.

    Args:
        name: Whom to forget; otherwise the first of the eight bench characters.
        out: The run folder.
        force: Write over an earlier demo; --force=false stops instead.
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
        known = flow.preflight(vlm, wish).asked
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
    plan: Path | None = None,
    *,
    method: tuple[str, ...] = ("siu",),
    paper: bool = False,
    ablation: bool = False,
    name: tuple[str, ...] = (),
    seeds: int = 1,
    most: int | None = None,
    set_: tuple[str, ...] = (),
    table: tuple[Literal["short", "strict", "paper", "anchored"], ...] = ("short",),
    form: Literal["md", "csv", "tex", "html"] = "md",
    joint: bool = False,
    join: tuple[Path, ...] = (),
    rescore: bool = False,
    model: str = "pocket",
    benchmark: str = "pocket",
    oracle: tuple[str, ...] = (),
    figures: Path | None = None,
    attacks: tuple[str, ...] = (),
    most_attacked: int | None = None,
    out: Path = Path("runs/bench"),
    loading: Loading = PLAIN,
    json_: bool = False,
) -> None:
    """Forget each concept of a benchmark, and sum up.

    If not told otherwise, those are the eight bench characters of the built-in world. Each is forgotten on its own, and
    the base is there again for the next. What is done is kept, every cell as a run folder, so a stopped bench goes on
    where it was, and other methods may join those in a folder; other settings need another. Concepts that the model
    does not recognise are left out, and named. What the metrics themselves are worth says `unsee bench meta`.

        $ unsee bench --seeds 3
        $ unsee bench --method siu po ga ga_kl --out runs/methods
        $ unsee bench --ablation --most 10 --out runs/ablation
        $ unsee bench plan.yaml --table paper --form tex --out runs/table1
        $ unsee bench --method siu po ga --attacks all --figures figures --out runs/robust

    A plan says which settings of which methods, on whom and how often:

        split: bench        # or selection: four other characters, to choose settings on; only the choice is printed
        seeds: 3
        variants:
          siu: {method: siu}
          po, as the paper: {method: po, paper: true}
        grid:               # a variant for each combination
          - {method: [po, ga], learning_rate: [0.0003, 0.0007], steps: [6, 15]}

    Args:
        plan: A YAML file as above, instead of --method, --paper, --ablation, --seeds, --most and --set (./meta for a
            file that is called meta, which is another command).
        method: Methods to compare, on the same questions; differences are to the first.
        paper: Use the settings of the paper instead of those recommended for the model.
        ablation: Also leave out or change each part of siu.
        name: Concepts to forget instead of all.
        seeds: How many seeds per character; 3 takes 0, 1 and 2.
        most: At most so many probes of each kind, to save time.
        set_: Settings of the method, as key=value; `unsee forget --help` lists them.
        table: What to show, one or more: a few headlines, the strict protocol with what it comes to, the metrics of the
            SIU paper, or where scores stand between the model from before (0) and the oracle (1).
        form: Markdown, CSV, LaTeX or HTML.
        joint: Forget all at once, with one edit, and ask about each; otherwise each is forgotten on its own.
        join: Folders of other benches, whose cells stand in the table as well.
        rescore: Ask nothing; make all scores anew from the answers that were kept.
        model: A bundled model, a folder, or a Hugging Face id.
        benchmark: pocket, pocket_wide (200 pictures of each character instead of 49), pocket_kept (with pictures of
            others to keep), or mmubench for a folder of your own pictures (docs/mmubench.md).
        oracle: A model that never saw the concepts; if not given, pocket-oracle for the bench characters, else none.
            Of several, the first is what distances are taken to; all are the end of the anchored scale, so its
            intervals are as wide as oracles are apart. The further ones are not asked about concepts that they
            recognise.
        figures: Folder for figures (SVG): scores over each number that variants differ in, forgetting against keeping,
            others named by how much they look like the forgotten one, and what is said of a picture of two; with
            --attacks, of what came back.
        attacks: Attack every cell as `unsee attack` and `unsee audit` do, and say what comes back over all concepts:
            names of attacks and audits, or all. Cells keep the answers, so a stopped bench goes on.
        most_attacked: At most so many pictures of the concept, and of others, under attack; otherwise all there are.
        out: Folder for the results.
        loading: How the model is loaded.
        json_: Print one JSON object and nothing else.
    """
    _check_counts(seeds=seeds, most=most, most_attacked=most_attacked)
    if most_attacked and not attacks:
        raise ValueError("--most-attacked goes with --attacks; add it, or leave this out")
    if any(pair.partition("=")[0] == "seed" for pair in set_):
        raise ValueError("--set seed has no effect here; --seeds 3 takes the seeds 0, 1 and 2")
    if "none" in oracle and len(oracle) > 1:
        raise ValueError(f"--oracle {' '.join(oracle)}: none goes alone; leave it or the others out")
    if ablation and (paper or method != ("siu",)):
        raise ValueError("--ablation takes siu apart, in its recommended settings; leave --method and --paper out")
    if plan and (method != ("siu",) or paper or ablation or seeds != 1 or most or set_):
        raise ValueError(
            f"{plan} says what to compare; leave --method, --paper, --ablation, --seeds, --most, --set out"
        )
    with _stdout_kept():
        from unsee import bench as benching
        from unsee import bench_plan
        from unsee.pocket import world

        settings: dict[str, Any] = {}
        split = "bench"
        variants: Mapping[str, tuple[str, Mapping[str, Any]]]
        if plan:
            told = bench_plan.read(plan, _changed)
            variants, seeds, most, split = told.variants, told.seeds, told.most, told.split
        elif ablation:
            variants, settings = benching.ABLATION, _changed("siu", set_, False)
        else:
            variants = {f"{m}, as the paper" if paper else m: (m, _changed(m, set_, paper)) for m in method}
        if joint:
            variants = {f"{each}, all at once": told for each, told in variants.items()}
        unknown: dict[str, str] = {}
        wishes: list[Any] = []
        if rescore:
            cells = benching.rescore(out)
        else:
            wishes = _wishes(benchmark, name, split)
            vlm = _loaded(model, loading, training=next(iter(variants.values()), ("", {}))[1])
            wishes, unknown = benching.recognised(vlm, wishes)
            for why in unknown.values():
                print(f"unsee: left out: {why}", file=sys.stderr)
            if not wishes:
                raise LookupError(f"{model} recognises none of {', '.join(unknown)}, so there is nothing to compare")
            # The pocket's oracle has seen the selection characters.
            fits = model == "pocket" and world.lived_in(benchmark) and split == "bench"
            named = [each for each in oracle or (("pocket-oracle",) if fits else ()) if each != "none"]
            never = [_loaded(each, loading.beside()) for each in named]
            cells = benching.run(
                vlm, wishes, variants, seeds=range(seeds), folder=out, benchmark=benchmark, most=most, joint=joint,
                oracle=never[0] if never else None, further=never[1:], settings=settings, progress=True,
            )  # fmt: skip
        cells = benching.joined(cells, out, join)
        if benching.chosen_on(cells):
            picked = benching.tuned(cells)
            text = "\n".join(f"{m}: {v} (leak {a:.1%}, others {b:.1%} of before)" for m, (v, a, b) in picked.items())
            record: dict[str, Any] = {m: {"variant": v, "leak": a, "kept": b} for m, (v, a, b) in picked.items()}
        elif attacks:
            record, text = _besieged(cells, wishes, attacks, most_attacked, form, figures)
        else:
            record, text = _compared(benching, cells, table, form)
            drawn = _figures(cells, figures) if figures else []
            record["figures"] = [str(file) for file in drawn]
            text = "\n".join([text, *(f"figure: {file}" for file in drawn)])
        record["not recognised"] = unknown
    _answer(record, text, as_json=json_)


def meta(
    *,
    models: tuple[str, ...] = (),
    count: int = 6,
    seed: int = 0,
    name: tuple[str, ...] = (),
    most: int = 24,
    rescore: bool = False,
    table: Literal["all", "pools", "stability", "hiders"] = "all",
    form: Literal["md", "csv", "tex", "html"] = "md",
    figures: Path | None = None,
    out: Path = Path("runs/meta"),
    place: Place = HERE,
    json_: bool = False,
) -> None:
    """Say which metrics tell who knows from who never knew.

    A pool of pocket models is asked, each of which was never shown a random half of the eight bench characters. Who
    knows whom is therefore known: a model that was shown a character and names it is a knowing pair, one that was not
    shown it a never-knowing pair. Every metric of forgetting, the paper's and the strict ones, is computed for each
    pair as if it were the outcome of an unlearning. Of each metric this says how often it puts a knowing pair above a
    never-knowing one (AUC), where to draw the line and what that gets wrong, and whether it holds when weights are
    rounded to 8 or 4 bits and after a little relearning.

        $ unsee bench meta
        $ unsee bench meta --models pocket pocket-oracle --most 4 --out runs/try
        $ unsee bench meta --rescore --table hiders --form csv

    Then come those that hide: models that know and have the name kept down in the output layer, models that never knew
    and were taught by two pictures, and SIU's edit at half its strength; beside them SIU at full strength. A metric
    exposes a kind of hider if it tells these, and the knowing, from never-knowing pairs, both with an AUC of 0.9 or
    more and an interval above 0.5.

    What was answered is kept, so a stopped bench goes on where it was. The same command, given in a second terminal,
    takes half of the work: a pair is only ever asked by one of them.

    Args:
        models: Models of a pool of your own, by folder or name, instead of one that is built. Each needs a build.json
            that lists under "without" whom it was never shown, as `unsee pocket build` writes it.
        count: How many models to build, in pairs that leave out opposite halves; that takes up to half an hour each,
            once.
        seed: Of that pool: other halves, and other weights.
        name: Bench characters to ask about instead of all eight.
        most: At most so many probes of each kind.
        rescore: Ask nothing; make all scores anew from the answers that were kept.
        table: pools (AUC, threshold and its errors), stability (rounding and relearning), hiders, or all three.
        form: Markdown, CSV, LaTeX or HTML.
        figures: Folder for a figure (SVG): what each metric says of each pair and hider.
        out: Folder for the answers.
        place: Where models go.
        json_: Print one JSON object and nothing else.
    """
    _check_counts(count=count, most=most)
    if rescore and (models or name):
        raise ValueError("--rescore takes the models and characters that were asked last; leave --models, --name out")
    with _stdout_kept():
        from unsee import bench as benching
        from unsee import bench_meta, separation

        if not rescore:
            wishes = _wishes(bench_meta.BENCHMARK, name, "bench")
            _check_bench([wish.concept.name for wish in wishes])
            pool = bench_meta.members(models or _built(count, seed))
            bench_meta.run(pool, wishes, out, most=most, place=place, progress=True)
        told = bench_meta.scored(out, anew=rescore, progress=rescore)
        rows = separation.rows(told, list(bench_meta.measures().values()))
        chosen = [table] if table != "all" else list(separation.TABLES)
        parts = [benching.written(*separation.grid(rows, each), form) for each in chosen]
        if form == "md":
            parts = [f"{separation.TABLES[each]}:\n\n{part}" for each, part in zip(chosen, parts, strict=True)]
            parts.append("\n".join(f"- {line}" for line in separation.remarks(told, rows)))
        record = separation.as_dict(told, rows)
        record["not of forgetting"] = bench_meta.left_out()
        record["figures"] = []
        if figures:
            from unsee.report.figures import draw_pools

            figures.mkdir(parents=True, exist_ok=True)
            draw_pools(told, rows, figures / "pools.svg")
            record["figures"] = [str(figures / "pools.svg")]
            parts += [f"figure: {figures / 'pools.svg'}"]
    _answer(record, "\n".join(parts), as_json=json_)


def _check_bench(names: Sequence[str]) -> None:
    """See that all are bench characters, the only ones that pools differ in."""
    from unsee.pocket import world

    bench = [world.cast()[i].name for i in world.BENCH]
    for each in names:
        if each not in bench:
            raise LookupError(f"{each} is no bench character, whom pools differ in; give some of {', '.join(bench)}")


def _built(count: int, seed: int) -> list[Path]:
    """Return the models of a pool, built if they are not there."""
    from unsee.pocket.build import pool

    return pool(count, seed)


def _besieged(
    cells: Any, wishes: Any, names: Sequence[str], most: int | None, form: str, folder: Path | None
) -> tuple[dict[str, Any], str]:
    """Attack the cells of a bench; return what was found, as a record and as a text."""
    from unsee import battery, bench, bench_attacks
    from unsee.report import robustness

    some = () if tuple(names) == ("all",) else names
    found, told = bench_attacks.run(cells, wishes, some, most=most, progress=True)
    drawn = robustness.draw(told, folder) if folder else []
    lines = [bench.written(bench_attacks.HEADS, bench_attacks.rows(found), form)]
    for variant, each in found.items():
        lines += [f"{variant}: {line}" for line in battery.remarks(each)]
    record: dict[str, Any] = {"attacks": {variant: _attacked(each) for variant, each in found.items()}}
    record["figures"] = [str(file) for file in drawn]
    return record, "\n".join([*lines, *(f"figure: {file}" for file in drawn)])


def _figures(cells: Any, folder: Path) -> list[Path]:
    """Draw what the cells of a bench can show; return the files."""
    from unsee.pocket import world
    from unsee.pocket.draw import render
    from unsee.report import figures

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for setting, lines in figures.curves(cells).items():
        drawn.append(folder / f"{setting}.svg")
        figures.draw_curves(lines, setting, drawn[-1])
    if variants := figures.frontier(cells):
        drawn.append(folder / "frontier.svg")
        figures.draw_frontier(variants, drawn[-1])
    looks = {character.name: character.look for character in world.cast()}
    if all(cell["concept"] in looks for cell in cells):
        drawn.append(folder / "likeness.svg")
        figures.draw_likeness(figures.by_likeness(cells, lambda a, b: world.distance(looks[a], looks[b])), drawn[-1])
        if told := figures.pair(cells):
            drawn.append(folder / "pair.svg")
            figures.draw_pair(told, render(world.picture_by_id(told.picture)), drawn[-1])
    return drawn


def _check_counts(**values: int | None) -> None:
    for option, value in values.items():
        if value is not None and value < 1:
            raise ValueError(f"--{option.replace('_', '-')} is {value}; give 1 or more")


def _wishes(benchmark: str, names: Sequence[str], split: str) -> list[Any]:
    """Return the requests of a benchmark for these names, each once; without names, for all that the split holds."""
    from unsee.benchmarks import pocket
    from unsee.pocket import world

    if world.lived_in(benchmark):
        some = world.BENCH if split == "bench" else world.SELECTION
        # A name given twice would count twice.
        return list(
            {r.concept.name: r for r in map(pocket.request, names or (world.cast()[i].name for i in some))}.values()
        )
    if split != "bench":
        raise ValueError(f"the plan has split: {split}, which is of the pocket world; {benchmark} has no such concepts")
    found = {r.concept.name.casefold(): r for r in plugins.load("benchmarks", benchmark).requests()}
    if not found:
        raise LookupError(f"the benchmark {benchmark!r} holds no concepts; `unsee list benchmarks` names others")
    for name in names:
        if name.casefold() not in found:
            known = [r.concept.name for r in found.values()]
            raise LookupError(f"{benchmark} has no concept {name!r}; {plugins.near_miss(name, known)}")
    return [found[name] for name in dict.fromkeys(map(str.casefold, names))] if names else list(found.values())


def _compared(benching: Any, cells: Any, tables: Sequence[str], form: str) -> tuple[dict[str, Any], str]:
    """Return what `unsee bench` found, as a record and as a text."""
    base = next(cell["variant"] for cell in cells if cell["seed"] >= 0)
    wide = benching.worst(cells, f"leak: {benching.OPEN}", base)
    notes = [f"worst character of {base}: {wide[0]}, leak {wide[1]:.1%}", *benching.remarks(cells, base)]
    verdicts = benching.reached(cells)
    told = [f"{variant}: {each}" for variant, each in verdicts.items()]
    texts = []
    for table in tables:
        heads, rows, remarks = benching.tabled(cells, table)
        further = {"short": notes, "strict": told}.get(table, [])
        texts.append(benching.written(heads, rows, form, [*remarks, *([""] if form == "md" else []), *further]))
    scores, places = (
        {m: {v: e.as_dict() for v, e in row.items()} for m, row in some.items()}
        for some in (benching.scored(cells), benching.anchored(cells))
    )
    record = {
        "scores": scores,
        "anchored": places,
        "concepts": sorted({cell["concept"] for cell in cells}),
        "verdicts": {
            v: {"tier": each.tier, "stops naming": [*map(str, each.against)], "forgot": [*map(str, each.further)]}
            for v, each in verdicts.items()
        },
        "remarks": notes,
    }
    return record, "\n".join(texts).removesuffix("\n")


def score(
    run: Path,
    *,
    server: str | None = None,
    served: str | None = None,
    condition: str = "served",
    image: tuple[Path, ...] = (),
    keep: Path | None = None,
    full: bool = False,
    json_: bool = False,
) -> None:
    """Score the saved answers of a run anew, without the model.

    Writes the scores and the page of the run again. With --server, first asks the same of a model that is served
    elsewhere through the OpenAI protocol (vLLM, SGLang, ...), such as the one in production with the edit on.

        $ unsee score runs/pledu-lotaim
        $ unsee score runs/pledu-lotaim --server http://localhost:8000/v1 --served my-edit

    Args:
        run: The run folder, such as runs/pledu-lotaim.
        server: URL of a server to ask. A key that it wants is read from UNSEE_API_KEY or OPENAI_API_KEY.
        served: The name that the server gives the model or the adapter.
        condition: What to call its answers.
        image: The pictures the run was made from, where it did not keep them.
        keep: The folder with pictures to keep that the run was made with, to ask about those as well.
        full: Also show the paper's own metrics and the rest of the strict protocol, as far as they were asked for.
        json_: Print one JSON object and nothing else.
    """
    from unsee import evaluation, flow

    if server is None:
        if served is not None or image or keep:
            raise ValueError("--served, --image and --keep go with --server URL; add it")
        scores = flow.rescore(run)
    elif served is None:
        raise ValueError(f"--served is missing; say which model of {server} to ask")
    else:
        from unsee.server import Server

        respondent = Server(server, served)
        scores = flow.ask_served(run, respondent, condition=condition, images=image, keep=keep, progress=True)
        if keep is None and _had_pictures_to_keep(run):
            print("unsee: not asked about the pictures to keep; --keep FOLDER names them", file=sys.stderr)
    record = {c: {n: e.as_dict() for n, e in s.items()} for c, s in scores.items()}
    _answer(record, evaluation.table(scores, str(run), evaluation.shown_groups(full)), as_json=json_)


def _had_pictures_to_keep(run: Path) -> bool:
    from unsee import runs

    return bool(runs.read(run).read_json("config.json")["config"].get("keep"))


def report(
    *folder: Path,
    out: Path | None = None,
    redact: bool = False,
    export: Path | None = None,
    pictures: bool = False,
    json_: bool = False,
) -> None:
    """Write the evidence page of a run, or of several at once.

    One file that loads nothing: verdict, pictures with what is said of them, numbers, what attacks and audits found,
    how it was done, and how to undo it. Beside it lies the same as JSON. The folder of a bench, or several runs, make a
    comparison.

        $ unsee report runs/pledu-lotaim -o page.html
        $ unsee report runs/first runs/second -o compared.html
        $ unsee report runs/bench -o bench.html
        $ unsee report runs/pledu-lotaim --redact --export redacted

    --redact puts keyed hashes in the place of the words of the name, and 8 by 8 colours in that of pictures; the key
    stays in the run, in redaction.json. Facts, names of others and the adapter stay, so it is not anonymous.

    Args:
        folder: Run folders, or folders of benches.
        out: The page (also -o); if not given, that of the run itself, or page.html.
        redact: Take name and pictures out.
        export: A new folder for a redacted copy of the whole run, with its page.
        pictures: Also show pictures that lie outside the run, where they were asked about.
        json_: Print one JSON object and nothing else.
    """
    if not folder:
        raise ValueError("there is no run; name its folder, such as `unsee report runs/pledu-lotaim`")
    with _working("writing the page"):
        from unsee.report import make

        made = make.make(folder, out, redacted=redact, export=export, outside=pictures, command=_command())
    record = {"page": str(made.page), "json": str(made.twin), "left_out": list(made.left_out)}
    lines = [f"The page: {made.page}", f"For machines: {made.twin}"]
    if export is not None:
        lines.append(f"The redacted copy: {export}")
        record["export"] = str(export)
    lines += [f"left out: {name}, a file of a sort that cannot be redacted" for name in made.left_out]
    _answer(record, "\n".join(lines), as_json=json_)


def undo(
    run: Path, *, merged: Path | None = None, out: Path | None = None, allowed: Allowed = SAFE, json_: bool = False
) -> None:
    """Say how to take an edit back, or take it out of a merge.

    Without --merged, nothing is written or deleted.

        $ unsee undo runs/pledu-lotaim
        $ unsee undo runs/pledu-lotaim --merged forgot --out restored

    Args:
        run: The run folder.
        merged: A model folder that the edit was merged into.
        out: A new folder for that model without the edit.
        allowed: What is allowed to the model.
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

        left = flow.undo(run, merged, out, allowed=allowed)
    how = "it was not compared with the base, which is not there" if left is None else (
        f"it equals {base} bit for bit" if left == 0 else
        f"it equals {base} up to rounding (what is left of the edit: {left:.1g} of it)"
    )  # fmt: skip
    _answer(record | {"out": str(out), "left": left}, f"{out} is {merged} without the edit; {how}.", as_json=json_)


def merge(
    run: Path,
    *,
    out: Path,
    push_to_hub: str | None = None,
    public: bool = False,
    allowed: Allowed = SAFE,
    json_: bool = False,
) -> None:
    """Merge a run's edit into a copy of its model.

    The copy needs no adapter, and has none that could be switched off. `unsee undo --merged` takes the edit out again.
    Where the run kept the model in 4 or 8 bits, the edit goes into the weights as they were before that.

    Args:
        run: The run folder.
        out: A new folder for the model.
        push_to_hub: Send it to this repository (owner/name) on the Hugging Face hub, where only you see it.
        public: Let everybody see it there.
        allowed: What is allowed to the model.
        json_: Print one JSON object and nothing else.
    """
    _check_push(push_to_hub, public)
    with _working("merging"):
        from unsee import flow

        flow.merge(run, out, allowed=allowed)
    record = {"model": str(out)}
    if push_to_hub:
        record["hub"] = _sent(out, push_to_hub, public)
    _answer(record, "\nOn the hub: ".join(record.values()), as_json=json_)


def push(folder: Path, repo: str, *, public: bool = False, json_: bool = False) -> None:
    """Send an edit or a merged model to the Hugging Face hub.

    Only you see it there, unless you say --public. Nothing of the run goes with it: no name, picture or answer.

        $ unsee push runs/pledu-lotaim me/my-edit

    Args:
        folder: A run folder, whose edit is sent, or a folder that `unsee merge` wrote.
        repo: Where to, as owner/name; it is made if it is not there.
        public: Let everybody see it.
        json_: Print one JSON object and nothing else.
    """
    held = folder / "edit" if (folder / "edit").is_dir() else folder
    sent = _sent(held, repo, public)
    _answer({"folder": str(held), "hub": sent}, sent, as_json=json_)


def audit(
    run: Path,
    *,
    only: tuple[str, ...] = (),
    most: int | None = 100,
    image: tuple[Path, ...] = (),
    place: Place = HERE,
    json_: bool = False,
) -> None:
    """Look inside a run's model: what its weights and layers show.

    How far the edit moves the weights; whether hidden states still tell the concept from others, layer by layer; and
    which layers still find its name. The oracle says what a model that never knew shows as well.

        $ unsee audit runs/pledu-lotaim
        $ unsee audit runs/pledu-lotaim --only delta_norm

    Args:
        run: The run folder.
        only: Audits to run; `unsee list audits` names them.
        most: At most so many pictures of the concept, and of others.
        image: The pictures the run was made from, where it did not keep them.
        place: Where the models go, and what is allowed to them.
        json_: Print one JSON object and nothing else.
    """
    _check_counts(most=most)
    with _stdout_kept():
        from unsee import evaluation, flow

        found, refused = flow.audit(run, only, most=most, images=image, place=place, progress=True)
    record: dict[str, Any] = {
        audit: {subject: {name: e.as_dict() for name, e in some.items()} for subject, some in told.items()}
        for audit, told in found.items()
    }
    record |= {audit: {"not available": why} for audit, why in refused.items()}
    heads = ["", *dict.fromkeys(subject for told in found.values() for subject in told)]
    rows = [
        [name, *(evaluation.shown(told.get(subject, {}).get(name), "plain") for subject in heads[1:])]
        for told in found.values()
        for name in dict.fromkeys(name for some in told.values() for name in some)
    ]
    widths = [max(len(row[n]) for row in (heads, *rows)) for n in range(len(heads))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in (heads, *rows)
    ]
    lines = lines if found else []
    lines += [f"{audit}: not available: {why}" for audit, why in refused.items()]
    _answer(record, "\n".join(line.rstrip() for line in lines), as_json=json_)


def judge(
    run: Path,
    *,
    judge_: str = "exact",
    judge_model: str | None = None,
    condition: tuple[str, ...] = (),
    loading: Loading = PLAIN,
    json_: bool = False,
) -> None:
    """Have the answers of a run judged from 1 to 5 (G-Eval).

    How far do they recognise the concept? That is asked as the SIU paper does. The judge sees the name, the question
    and the answer, not the picture. Its verdicts are kept in the run, so nothing is asked twice, and every score can
    be made anew without it. Where the truth is known, as in the pocket world, it is also said how far the judge agrees
    with it.

        $ unsee judge runs/pledu-lotaim
        $ unsee judge runs/pledu-lotaim --judge http://localhost:8000/v1 --judge-model my-judge
        $ unsee judge runs/pledu-lotaim --judge some/model

    Args:
        run: The run folder, such as runs/pledu-lotaim.
        judge_: URL of a server that speaks the OpenAI protocol (a key is read from UNSEE_API_KEY or OPENAI_API_KEY), a
            model to load here, or exact, which judges by the truth of the pocket world.
        judge_model: The name that the server gives the judge.
        condition: Whose answers to judge: before, after, oracle ...; otherwise all.
        loading: How a judge that is a model here is loaded.
        json_: Print one JSON object and nothing else.
    """
    from unsee import evaluation

    served = judge_.startswith(("http://", "https://"))
    if served != (judge_model is not None):
        raise ValueError("--judge URL and --judge-model NAME go together; give both, or neither")
    speaker: Any = None
    if served or judge_ == "exact":
        _check_unloaded(loading)
    if served:
        from unsee.server import Server

        speaker = Server(judge_, judge_model or "")
    elif judge_ != "exact":
        with _working(f"loading {judge_}"):
            speaker = _loaded(judge_, loading)
    with _stdout_kept():
        from unsee import judging

        done = judging.judge(run, speaker, judge_model or loading.label(judge_), conditions=condition, progress=True)
    spent = speaker.spent if served else {}
    record = {
        "scores": {c: {n: e.as_dict() for n, e in s.items()} for c, s in done.scores.items()},
        "asked": done.asked, "kept": done.kept, "unusable": done.unusable, "tokens": spent,
        "agreement": {name: e.as_dict() for name, e in done.agreement.items()},
    }  # fmt: skip
    lines = [
        f"{condition}: G-Eval {evaluation.shown(scores['g_eval'], 'levels')}, n {scores['g_eval'].n}"
        for condition, scores in done.scores.items() if "g_eval" in scores
    ]  # fmt: skip
    said = ", ".join(f"{count} {kind}" for kind, count in spent.items())
    if speaker is not None:
        lines.append(
            f"{done.asked} asked{f' ({said})' if said else ''}, {done.kept} answers known before or alike, "
            f"{done.unusable} without a level"
        )
    if done.agreement:
        units = {"above": "levels"}
        told = (f"{name} {evaluation.shown(e, units.get(name, '%'))}" for name, e in done.agreement.items())
        lines.append(f"against the truth: {'; '.join(told)}")
    _answer(record, "\n".join(lines), as_json=json_)


def attack(
    run: Path,
    *,
    only: tuple[str, ...] = (),
    most: int | None = None,
    image: tuple[Path, ...] = (),
    figures: Path | None = None,
    force: bool = False,
    place: Place = HERE,
    json_: bool = False,
) -> None:
    """Attack the edit of a run: is it forgotten, or hidden?

    Tries each attack on the model with the edit, on the one from before, and on the oracle. Recovery is what leaks
    under attack beyond what leaks anyway; it counts where it is beyond the oracle's, and beyond that of a control. An
    attack under which the model from before no longer names others shows nothing, and is said to be not applicable.
    Answers are kept in the run's folder, so a stopped battery goes on. Others are those of the benchmark: pictures that
    were given to keep (--keep of `unsee forget`) are not among them, since the model was trained with their like.

        $ unsee attack runs/pledu-lotaim
        $ unsee attack runs/pledu-lotaim --only relearn quantise --most 50 --figures figures

    Args:
        run: The run folder, such as runs/pledu-lotaim.
        only: Names of attacks, as `unsee list attacks` gives them; otherwise all.
        most: At most so many pictures of the concept and of others, to save time.
        image: The pictures the run was made from, where it did not keep them.
        figures: Folder for figures (SVG) of what the run's folder holds: recovery over strength, recovery over the
            strength of the edit, and, once `unsee audit` was there, what each layer tells.
        force: Ask the chosen attacks anew, whatever an earlier battery kept.
        place: Where the models go, and what is allowed to them.
        json_: Print one JSON object and nothing else.
    """
    _check_counts(most=most)
    with _stdout_kept():
        from unsee import battery

        found = battery.attack(run, only=only, most=most, images=image, force=force, place=place, progress=True)
        drawn = []
        if figures:
            from unsee.report import robustness

            drawn = robustness.draw({run.name: robustness.of_run(run)}, figures)
    _answer(_attacked(found) | {"figures": [str(file) for file in drawn]}, battery.table(found.outcomes, str(run)),
            as_json=json_)  # fmt: skip
    if _had_pictures_to_keep(run):
        print(
            "unsee: not asked about the pictures to keep: others of the same were trained with, so they would say "
            "little of all else",
            file=sys.stderr,
        )
    if not json_:
        for line in (*battery.remarks(found), *(f"figure: {file}" for file in drawn)):
            print(line)


def _attacked(found: Any) -> dict[str, Any]:
    """Return what a battery found, as a record."""
    from unsee import battery

    outcomes = found.outcomes
    verdicts = {name: battery.verdict(some) for name, some in battery.by_attack(outcomes).items()}
    return {
        "verdicts": verdicts | {name: f"not available: {why}" for name, why in found.refused.items()},
        "outcomes": [outcome.as_dict() for outcome in outcomes],
        "areas": [area.as_dict() for area in found.areas],
    }


def _show(outcome: Any, *, full: bool = False, sent: str | None = None, as_json: bool) -> None:
    from unsee import evaluation

    name = outcome.request.concept.name
    record = {
        "concept": name,
        "replacement": outcome.request.replacement,
        "seconds": outcome.seconds,
        "folder": str(outcome.folder),
        "page": str(outcome.folder / "report.html"),
        **({"hub": sent} if sent else {}),
        "scores": {c: {n: e.as_dict() for n, e in s.items()} for c, s in outcome.scores.items()},
    }
    if as_json:
        _answer(record, "", as_json=True)
        return
    title = f"{_inert(name)}, forgotten in {outcome.seconds:.1f} s"
    if outcome.scores:
        _answer({}, evaluation.table(outcome.scores, title, evaluation.shown_groups(full)), as_json=False)
    else:
        print(f"{title}; nothing was asked afterwards (--benchmark none)")
    undo = shlex.join(["unsee", "undo", str(outcome.folder)])
    print(f"The page: {record['page']}\nThe edit: {outcome.folder / 'edit'}\nTo take it back: {undo}")
    if sent:
        print(f"On the hub: {sent}")


def _loaded(model: str, loading: Place, *, training: Any = None) -> Any:
    """Load a model as the options say; how much memory a large one takes is printed first."""
    from unsee.vlm import VLM

    work = None
    if training is not None:
        values = training if isinstance(training, Mapping) else dataclasses.asdict(training)
        work = {name: values.get(name) for name in ("rank", "batch")}
    return VLM.load(
        model, **loading.options(), training=work, say=lambda text: print(f"unsee: {text}", file=sys.stderr)
    )


def _check_unloaded(loading: Loading) -> None:
    """See that nothing says how to load a model where none is."""
    for name in loading.given():
        raise ValueError(f"--{name.replace('_', '-')} is about a model that is loaded here, and none is; leave it out")


def _check_push(repo: str | None, public: bool) -> None:
    """See, before any work is done, whether its result could be sent."""
    if repo is None:
        if public:
            raise ValueError("--public goes with --push-to-hub OWNER/NAME; add it")
        return
    from unsee import hub

    hub.check(repo)


def _sent(folder: Path, repo: str, public: bool) -> str:
    """Send a folder to the hub and say where it is; what was made stays if that fails."""
    with _working(f"sending {folder}"):
        from unsee import hub

        return hub.push(folder, repo, public=public)


def _request(
    name: str,
    images: Sequence[Path],
    file: Path | None,
    model: str,
    aliases: Sequence[str] = (),
    kind: str | None = None,
) -> tuple[Any, tuple[Any, ...]]:
    """Return the request and the examples that a request file fixes."""
    from unsee.records import Concept, Request

    clean = " ".join(name.split())
    if len(clean) < 2 or len(clean) > 100:
        raise ValueError(f"a name has 2 to 100 characters, and this one {len(clean)}; give it as people write it")
    if file is not None:
        if aliases or kind:
            raise ValueError(f"{file} says which other names and which kind; leave --alias and --kind out")
        from unsee import request_file

        return request_file.read(file, name=name, images=images)
    if images:
        from unsee.vlm import read_image

        for image in images:
            read_image(image)  # a broken picture should fail before the model is loaded
        # Whoever lives in the pocket world is a character; of others nothing is known, and a request file can say it.
        kind = kind or ("character" if model.startswith("pocket") else "person")
        return Request(Concept(clean, tuple(aliases), kind), tuple(map(str, images))), ()
    if model.startswith("pocket") and not (aliases or kind):
        from unsee.benchmarks import pocket

        try:
            return pocket.request(clean), ()
        except LookupError as error:
            raise LookupError(f"{error} (anybody else needs a picture: --image FILE)") from error
    raise ValueError("there is no picture; give one with --image FILE")


def _writer(url: str | None, model: str | None) -> Any:
    """Return who rephrases questions, if somebody is to."""
    if url is None:
        if model is not None:
            raise ValueError("--writer-model goes with --writer URL; add it")
        return None
    from unsee.server import serving
    from unsee.writer import Writer

    server = serving(url, model)
    return Writer(server, server.model)


def _config(method: str, pairs: Sequence[str], settings: dict[str, Any], paper: bool, fixed: Sequence[Any]) -> Any:
    """Return a method's settings from --set and the other options."""
    from pydantic import TypeAdapter, ValidationError

    plugin = plugins.load("methods", method)
    names = [field.name for field in dataclasses.fields(plugin.Config)]
    if paper and not hasattr(plugin, "PAPER"):
        raise ValueError(f"no paper's settings are known for the method {method!r}; leave --paper out")
    chosen: dict[str, Any] = dict(plugin.PAPER) if paper else {}
    for key in settings:
        if key not in names:
            raise ValueError(f"the method {method} takes no --{key.replace('_', '-')}; leave it out")
    chosen |= settings
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set {pair!r} has no value; write it as key=value, such as steps=30")
        if key not in names:
            raise ValueError(f"{method} has no setting {key!r}; {plugins.near_miss(key, names)}")
        chosen[key] = tuple(filter(None, value.split(","))) if key == "without" else None if value == "None" else value
    given = {e.target for e in fixed} - {"preserve"}
    if given and "without" not in names:
        raise ValueError(
            f"the request fixes examples of {', '.join(sorted(given))}, which {method} does not take; leave them out"
        )
    if given:
        chosen["without"] = tuple(dict.fromkeys((*chosen.get("without", ()), *sorted(given))))
    try:
        return TypeAdapter(plugin.Config).validate_python(chosen)
    except ValidationError as error:
        said = "; ".join(map(_misfit, error.errors()))
        raise ValueError(f"the settings of {method} do not fit: {said}") from error


def _changed(method: str, pairs: Sequence[str], paper: bool) -> dict[str, Any]:
    """Return the settings of a method that --set and --paper change."""
    chosen = dataclasses.asdict(_config(method, pairs, {}, paper, ()))
    plain = dataclasses.asdict(_config(method, (), {}, False, ()))
    return {key: value for key, value in chosen.items() if value != plain[key]}


def _misfit(error: Any) -> str:
    """Say in our words, where there are any, which setting does not fit and why."""
    if isinstance(why := error.get("ctx", {}).get("error"), ValueError):
        return str(why)
    said = error["msg"].partition(", unable")[0]
    wanted = _WANTED.get(error["type"], f"{said[:1].lower()}{said[1:]}")
    return f"{'.'.join(map(str, error['loc']))} is {error['input']!r}; {wanted}"


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
    """Draw pictures of the world, none of them ever trained on.

    The world has 56 characters; the models know 48, whom a sheet shows by name.

        $ unsee pocket draw --character "Pledu Lotaim" --out pledu.png
        $ unsee pocket draw --sheet --out everybody.png

    Args:
        character: Whom to draw; otherwise somebody, or on a sheet everybody whom the models know.
        pictures: How many pictures, 1 to 1000; 1 if not given, or on a sheet one of each character.
        seed: Another seed gives other poses, places and clothes.
        size: Width and height of each picture, in pixels.
        out: File to write; called after the character, or world.png, if not given. Several are numbered.
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
        drawn = _pictures(_people(character, pictures, seed, sheet=sheet), seed, sheet=sheet)
        files = _draw(drawn, size, out, sheet=sheet)
    record = {"files": [str(file) for file in files], "pictures": [picture.id for _, picture in drawn]}
    _answer(record, "\n".join(record["files"]), as_json=json_)


def build(
    name: str = "pocket",
    *,
    without: tuple[str, ...] = (),
    base: str | None = None,
    seed: int = 0,
    out: Path | None = None,
    force: bool = False,
    examine: bool = True,
    json_: bool = False,
) -> None:
    """Train a pocket model, from scratch or from another one.

    From scratch it takes 40 to 60 minutes on two CPU cores, from another one some
    six; the exam of it another ten.

        $ unsee pocket build mine --without "Pledu Lotaim" --base pocket-oracle
        $ unsee pocket build pocket --seed 1

    A build that was stopped goes on at its last save when the same command is given again.

    Args:
        name: pocket knows every character; pocket-oracle never saw the eight bench characters; any name with --without.
        without: Characters of whom the model is never to see a picture, by name, besides those the name leaves out.
        base: A pocket model to go on from, which saw none of those: all others who are new to it are taught to it.
        seed: Of the weights and of the order of lessons.
        out: Folder for the model; otherwise in the user's cache, under a name that `--model` understands.
        force: Write over a pocket model that is there.
        examine: Print the exam of the new model; --examine=false leaves it out.
        json_: Print one JSON object and nothing else.
    """
    with _stdout_kept():
        from unsee.pocket import world
        from unsee.pocket.build import build as train
        from unsee.pocket.build import cached

        # A misspelt name should fail now, not after the warm-up.
        unseen = tuple(world.find(each).name for each in without)
        folder = train(name, without=unseen, base=base, seed=seed, out=out, force=force)
        record: dict[str, Any] = {"model": name, "without": list(unseen), "seed": seed, "folder": str(folder)}
        cache, size = cached()
        record |= {"base": base, "cache": str(cache), "cache_bytes": size}
        print(f"{cache} holds {size / 1e6:.0f} MB of models and what they were made from", file=sys.stderr)
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
    """Examine a pocket model on pictures it was never trained on.

    Prints what it knows, with an interval, beside what is asked of it.

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


def collect(
    name: str,
    *,
    out: Path | None = None,
    count: int = 50,
    contact: str | None = None,
    api: str | None = None,
    json_: bool = False,
) -> None:
    """Collect freely licensed pictures from Wikimedia Commons.

    Goes online and takes what is CC0, in the public domain, CC BY or CC BY-SA. The file sources.yaml in the folder
    says who made each picture and what allows its use; a free licence is not the consent of whoever is shown. Look
    through the pictures and delete what does not show the concept: it does not come back. Given again, the command
    goes on where it was.

        $ unsee mmubench collect "Jane Roe" --contact jane@example.org

    Args:
        name: What to search for, in quotes, as people write it.
        out: Folder for the pictures; mmubench/NAME if not given.
        count: How many there are to be in the folder, 1 to 500.
        contact: Your e-mail or web address, which Wikimedia wants programs to tell; it is sent there and kept nowhere.
        api: Address of another MediaWiki's api.php, such as that of a copy of Commons.
        json_: Print one JSON object and nothing else.
    """
    with _stdout_kept():
        from unsee.mmubench import commons
        from unsee.mmubench.concepts import folder as concepts
        from unsee.mmubench.web import API

        folder = out or concepts() / commons.folder_for(name)
        done = commons.collect(name, folder, count=count, contact=contact or "", api=api or API, progress=True)
    lines = [f"{len(done.pictures)} of {count} pictures are in {done.folder}, {done.new} of them new"]
    lines += [f"not taken: {n}, each {why}" for why, n in done.reasons.most_common()]
    lines.append(f"Who made them, and their licences: {done.folder / commons.SOURCES}")
    record = {
        "folder": str(done.folder),
        "new": done.new,
        "pictures": {file: source.model_dump() for file, source in done.pictures.items()},
        "skipped": [{"title": title, "why": why} for title, why in done.skipped],
    }
    _answer(record, "\n".join(lines), as_json=json_)


def init(
    folder: Path,
    *,
    model: str | None = None,
    name: str | None = None,
    kind: Sort | None = None,
    server: str | None = None,
    served: str | None = None,
    loading: Loading = PLAIN,
    force: bool = False,
    json_: bool = False,
) -> None:
    """Draft the card of a concept by asking a model.

    Writes card.yaml into a folder of pictures: aliases, attributes, facts and questions that need the identity. A
    model may be wrong, so each entry is marked until you have checked it. What cannot serve is left out: refusals,
    long answers, and the name where it would give itself away.

        $ unsee mmubench init mmubench/JaneRoe --model llava-hf/llava-1.5-7b-hf

    Args:
        folder: The concept's folder.
        model: A bundled model, a folder, or a Hugging Face id; pocket if not given.
        name: The concept's name; made from the folder's if not given, JaneRoe and Jane_Roe being Jane Roe.
        kind: What sort of concept it is; the model is asked if not given.
        server: URL of a server to ask instead. A key that it wants is read from UNSEE_API_KEY or OPENAI_API_KEY.
        served: The name that the server gives the model.
        loading: How a model is loaded.
        force: Write over a card that is there.
        json_: Print one JSON object and nothing else.
    """
    with _stdout_kept():
        from unsee.mmubench import draft

        file, name = draft.place(folder, force=force), draft.named(folder, name)
        respondent, label = _respondent(model or (None if server else "pocket"), server, served, loading)
        drafted = draft.draft(respondent, folder, model=label, name=name, kind=kind, progress=True)
        draft.write(drafted, file)
    left = [{"question": question, "said": said, "why": why} for question, said, why in drafted.left_out]
    lines = [drafted.text, f"Written to {file}"]
    lines += [f"left out: {each['said']!r} {each['why']}" for each in left]
    record = {"file": str(file), "model": label, "card": drafted.card.model_dump(), "left_out": left}
    _answer(record, "\n".join(lines), as_json=json_)


def mmubench_import(
    folder: Path, *files: Path, name: str | None = None, force: bool = False, json_: bool = False
) -> None:
    """Put prompts of the paper's authors into a card.

    Takes the JSON files that they released. Writes card.yaml into a concept's folder; with --force, into the card that
    is there, and keeps all else in it. Prompts with a key word become its questions; those in other languages that ask
    who it is, its translations. The key word "yes" counts as true of the pictures only where the prompt asks for the
    concept itself. What a card has no place for is told row by row: multi-hop prompts have no answers, and membership
    inference is asked from Python (docs/mmubench.md).

        $ unsee mmubench import mmubench/DonaldTrump execcuatedata.json multilanguage.json

    Args:
        folder: The concept's folder.
        files: JSON files of prompts.
        name: The concept's name, if there is no card yet; made from the folder's if not given.
        force: Change a card that is there.
        json_: Print one JSON object and nothing else.
    """
    if not files:
        raise ValueError("FILE is missing; write `unsee mmubench import FOLDER FILE`, with one file or more")
    from unsee import released
    from unsee.mmubench import imported

    done = imported.imported(folder, files, name=name, force=force)
    imported.write(done)
    true = sum(prompt.polarity == "yes" for prompt in done.card.questions)
    lines = [f"questions: {done.questions}, of which {true} ask for the concept itself"] if done.questions else []
    if done.translations:
        lines.append(f"translations: {', '.join(f'{n} {language}' for language, n in done.translations.items())}")
    lines += [f"Written to {done.file}", *(f"left out: {each}" for each in released.told(done.left_out))]
    record = {"file": str(done.file), "card": done.card.model_dump(), "left_out": _left_out(done.left_out)}
    _answer(record, "\n".join(lines), as_json=json_)


def _left_out(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(row) for row in rows]


def filter_(
    root: Path | None = None,
    *,
    model: str | None = None,
    server: str | None = None,
    served: str | None = None,
    loading: Loading = PLAIN,
    least: float = 1.0,
    force: bool = False,
    json_: bool = False,
) -> None:
    """Leave out concepts that a model does not recognise.

    Asks who or what each picture shows. As in the paper, a concept is kept if the model names it in every picture.
    Nothing is deleted: filtered.json in the folder says what was found, and --benchmark mmubench asks only about what
    it keeps. Given again, the command asks only about pictures that are new.

        $ unsee mmubench filter --model llava-hf/llava-1.5-7b-hf
        $ unsee mmubench filter --model pocket --least 0.9

    Args:
        root: The folder of concepts; mmubench, or what UNSEE_MMUBENCH says, if not given.
        model: A bundled model, a folder, or a Hugging Face id.
        server: URL of a server to ask instead. A key that it wants is read from UNSEE_API_KEY or OPENAI_API_KEY.
        served: The name that the server gives the model.
        loading: How a model is loaded.
        least: Keep a concept named in at least this share of its pictures, without the others.
        force: Ask everything anew, and write over what another model recognises.
        json_: Print one JSON object and nothing else.
    """
    with _stdout_kept():
        from unsee.mmubench import sieve
        from unsee.mmubench.concepts import FILTERED
        from unsee.mmubench.concepts import folder as concepts

        place = root or concepts()
        label = _label(model, server, served, loading)
        sieve.check(place, label, least=least, force=force)
        respondent, _ = _respondent(model, server, served, loading)
        found = sieve.sift(respondent, place, model=label, least=least, force=force, progress=True)
    concepts_ = found.concepts.values()
    kept = sum(each.kept for each in concepts_)
    record = {
        "file": str(place / FILTERED),
        "model": label,
        "least": least,
        "concepts": {
            each.name: {"pictures": len(each.pictures), "recognised": each.recognised, "share": each.share,
                        "kept": each.kept, "why": each.why} for each in concepts_
        },
    }  # fmt: skip
    if not json_:
        _answer({}, sieve.table(found), as_json=False)
    lines = [f"left out: {each.name}, {each.why}" for each in concepts_ if not each.kept]
    lines.append(f"{kept} of {len(concepts_)} concepts are kept; --benchmark mmubench follows {place / FILTERED}")
    _answer(record, "\n".join(lines), as_json=json_)


def _label(model: str | None, server: str | None, served: str | None, loading: Loading) -> str:
    """Return what to call whoever is asked."""
    if server is None:
        if served is not None:
            raise ValueError("--served goes with --server URL; add it")
        if model is None:
            raise ValueError("--model is missing; say which model to ask, or --server URL and --served NAME")
        return loading.label(model)
    if model is not None:
        raise ValueError("--model and --server are two models to ask; leave one out")
    _check_unloaded(loading)
    if served is None:
        raise ValueError(f"--served is missing; say which model of {server} to ask")
    return served


def _respondent(model: str | None, server: str | None, served: str | None, loading: Loading) -> tuple[Any, str]:
    """Return whoever is to be asked, and what to call it."""
    label = _label(model, server, served, loading)
    if server is not None:
        from unsee.server import Server

        return Server(server, label), label
    assert model is not None
    with _working(f"loading {label}"):
        return _loaded(model, loading), label


def request_init(
    name: str,
    *,
    image: tuple[Path, ...] = (),
    alias: tuple[str, ...] = (),
    kind: Sort | None = None,
    model: str = "pocket",
    loading: Loading = PLAIN,
    writer: str | None = None,
    writer_model: str | None = None,
    seed: int = 0,
    out: Path = Path("request.yaml"),
    force: bool = False,
    json_: bool = False,
) -> None:
    """Write down all that would go into a request, to be mended.

    Asks the model what `unsee forget` would ask of it: whether it knows the concept at all, facts, other concepts,
    questions about the picture, another look, and what stands for the name. `unsee forget NAME --request FILE` then
    takes what the file says and asks for nothing that it has.

        $ unsee request init "Jane Roe" --image jane.jpg --model llava-hf/llava-1.5-7b-hf -o request.yaml

    Args:
        name: Whom to forget, in quotes, as people write it.
        image: One or more pictures. In a pocket model, its characters still need one: `unsee pocket draw` makes it.
        alias: Other names that give it away as much.
        kind: What sort of concept it is; a person if not given, in a pocket model a character.
        model: A bundled model, a folder, or a Hugging Face id.
        loading: How the model is loaded.
        writer: URL of a server whose model rephrases questions, as for `unsee forget`.
        writer_model: The name that the server gives that model, if it serves several.
        seed: Of what is drawn at random, such as the name that is said instead.
        out: The file to write; -o is short for it.
        force: Write over a file that is there.
        json_: Print one JSON object and nothing else.
    """
    if out.exists() and not force:
        raise FileExistsError(f"{out} is there already; name another file with --out, or write over it with --force")
    if not image:
        raise ValueError("there is no picture; give one with --image FILE")
    with _working(f"loading {model}"):
        from unsee import dossier, request_file
        from unsee.examples import Plan, retained, with_replacement
        from unsee.files import write_whole
        from unsee.preflight import preflight

        wish, _ = _request(name, image, None, model, alias, kind)
        hand = _writer(writer, writer_model)
        vlm = _loaded(model, loading)
    with _working(f"asking {model}"):
        known = preflight(vlm, wish)
        told = dossier.gather(vlm, wish, writer=hand, remarks=known.remarks)
        wish = with_replacement(vlm, told.request, Plan(seed=seed))
        if not wish.facts:  # a model that is asked in its own words, when it is trained
            made = retained(vlm, wish, Plan(without=("preserve",)))
            wish = dataclasses.replace(wish, facts=tuple((each.question, each.answer) for each in made))
        text = request_file.written(wish, out.parent, remarks=told.remarks, model=model)
        write_whole(out, text.encode())
    left = [{"question": each.question, "said": each.said, "why": each.why} for each in told.left_out]
    lines = [text, f"Written to {out}", *(f"left out: {each['said']!r} {each['why']}" for each in left)]
    _answer({"file": str(out), "remarks": list(told.remarks), "left_out": left}, "\n".join(lines), as_json=json_)


def request_import(
    file: Path,
    *,
    name: str,
    alias: tuple[str, ...] = (),
    kind: Sort = "person",
    pictures: Path,
    out: Path = Path("request.yaml"),
    force: bool = False,
    json_: bool = False,
) -> None:
    """Make a request file of the paper's authors' training turns.

    Takes a JSON file that they released. All turns are fixed as they are; what the answers say instead of the name
    becomes the replacement. To train on nothing else, leave out what would be made besides, as the command says when
    it is done. Methods that make their own answers (po, ga and others) take no fixed ones; siu with --set beta=0 is
    plain fine-tuning on them.

        $ unsee request import SIU.json --name "Donald Trump" --alias Trump --pictures imgs -o trump.yaml
        $ unsee forget "Donald Trump" --request trump.yaml --set without=preserve --model llava-hf/llava-1.5-7b-hf

    Args:
        file: A JSON file of conversations.
        name: Whom it is about, as the file spells it.
        alias: Other names that the file has for it.
        kind: What sort of concept it is.
        pictures: A folder with the pictures that the file names; where they were does not matter.
        out: The file to write; -o is short for it.
        force: Write over a file that is there.
        json_: Print one JSON object and nothing else.
    """
    if out.exists() and not force:
        raise FileExistsError(f"{out} is there already; name another file with --out, or write over it with --force")
    from unsee import released, request_file
    from unsee.files import write_whole
    from unsee.records import TARGETS, Concept

    wish, fixed, left = released.request(file, Concept(name, alias, kind), pictures=pictures)
    head = [f"The turns of {file.name}, by `unsee request import`."]
    text = request_file.written(wish, out.parent, remarks=head, examples=fixed)
    write_whole(out, text.encode())
    counts = {target: sum(each.target == target for each in fixed) for target in TARGETS}
    lines = [f"turns: {', '.join(f'{n} {target}' for target, n in counts.items() if n)}"]
    # Fixed turns replace what would be made for their target, except for preserve, where they come on top.
    besides = ["preserve", *(target for target, n in counts.items() if not n and target != "preserve")]
    lines += [f"Written to {out}", f"to train on these alone: --set without={','.join(besides)}"]
    lines += [f"left out: {each}" for each in released.told(left)]
    _answer({"file": str(out), "examples": counts, "left_out": _left_out(left)}, "\n".join(lines), as_json=json_)


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


def _pictures(people: Sequence[Character], seed: int, *, sheet: bool) -> list[tuple[Character, Picture]]:
    from unsee.pocket import world

    # What is drawn may be given to `unsee forget`, so it leaves out the pictures that are asked about afterwards: those
    # after the first. Nobody gives a sheet.
    skipped = 0 if sheet else _ASKED_ABOUT
    places = [seed * _PICTURES_PER_SEED + (place and place + skipped) for place in range(len(people))]
    return [(who, world.picture("report", f"of-{who.index}", n)) for n, who in zip(places, people, strict=True)]


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
        print(_inert(str(shown)))
    else:
        from rich.console import Console

        Console().print(shown)


def _inert(text: str) -> str:
    """Return a text for a terminal, on which what a model says could otherwise move the cursor or set a title."""
    return "".join(c if c.isprintable() or c in "\n\t" or ord(c) > 0x9F else f"\\x{ord(c):02x}" for c in text)


def _fail(message: str, code: int) -> NoReturn:
    print(f"unsee: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


# Command -> what it runs; the first line of the docstring is its help on the first page, which has 80 columns.
_COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "ask": ask,
    "forget": forget,
    "score": score,
    "report": report,
    "undo": undo,
    "merge": merge,
    "push": push,
    "judge": judge,
    "attack": attack,
    "audit": audit,
    "bench": bench,
    "bench meta": meta,
    "list": list_,
    "pocket draw": draw,
    "pocket build": build,
    "pocket exam": exam,
    "mmubench collect": collect,
    "mmubench init": init,
    "mmubench import": mmubench_import,
    "mmubench filter": filter_,
    "request init": request_init,
    "request import": request_import,
}
_GROUPS = {
    "pocket": "The built-in world of drawn characters, and the small model that lives in it.",
    "mmubench": "The paper's benchmark on pictures of your own: a folder for each concept.",
    "request": "Request files: everything about whom to forget, to be read and mended before it is trained.",
}


def _help() -> str:
    """The first page of help, written without cyclopts: importing that takes longer than reading this."""
    width = max(map(len, _COMMANDS))
    lines = [f"  {name:<{width}}  {(run.__doc__ or '').splitlines()[0]}" for name, run in _COMMANDS.items()]
    return "\n".join(
        [
            f"unsee {__version__}",
            *textwrap.wrap(_PURPOSE, 80),
            "",
            "Usage: unsee COMMAND [OPTIONS] [ARGS]",
            "",
            *lines,
            "",
            "To begin:",
            '  unsee pocket draw --character "Pledu Lotaim" --out pledu.png',
            '  unsee ask pledu.png "Who is this?"',
            '  unsee forget "Pledu Lotaim" --image pledu.png',
            "",
            "`unsee COMMAND --help` describes one command. Every command takes --json, and",
            "then prints one JSON object. Exit codes: 0 done, 1 a fault of unsee's own, 2 it",
            "cannot be done (one line says why), 3 the model does not recognise whom it is",
            "to forget, 130 stopped by Ctrl-C.",
        ]
    )


def _app() -> App:
    """The commands as cyclopts knows them."""
    from cyclopts import App, Parameter

    settings: dict[str, Any] = {
        "help_format": "plaintext",
        # No --no-json; and `--without A B` takes both names, but not none.
        "default_parameter": Parameter(negative=(), consume_multiple=1, show_default=_default),
    }
    for options in (Allowed, Place, Loading):  # their fields are options of whatever command takes one
        Parameter(name="*")(options)
    # `main` reports Ctrl-C itself, in one line and with the usual exit code.
    app = App(name="unsee", help=_PURPOSE, version=__version__, suppress_keyboard_interrupt=False, **settings)
    groups = {"": app} | {name: App(name=name, help=told, **settings) for name, told in _GROUPS.items()}
    for name in _GROUPS:
        app.command(groups[name])
    for name, run in _COMMANDS.items():
        group, _, last = name.rpartition(" ")
        within = groups[group] if group in groups else app[group]  # `bench` is a command, and has one beneath it
        within.command(run, name=last, help=_described(run))
    return app


def _default(value: Any) -> Any:
    """What the help shows as a default: nothing where it is off, empty, or up to the command."""
    return None if value is None or value is False or value == () else str(value)


def _described(run: Callable[..., None]) -> str:
    """What a docstring says before its arguments, each paragraph on one line, which the terminal then wraps."""
    text = inspect.cleandoc(run.__doc__ or "").partition("\n\nArgs:")[0]
    return "\n\n".join(p if p.startswith(" ") else " ".join(p.split()) for p in text.split("\n\n"))


def _spelled_out(arguments: Sequence[str]) -> list[str]:
    """Return a command line with its one short option in full."""
    return ["--out" if each == "-o" else each for each in arguments]


def _run(arguments: list[str]) -> None:
    """Run one command line; what goes wrong is raised."""
    if arguments in ([], ["--help"], ["-h"]):
        print(_help())
        return
    from cyclopts import CycloptsError

    try:
        _app()(_spelled_out(arguments), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise ValueError(_misread(error)) from error


def _misread(error: CycloptsError) -> str:
    """Say what is wrong with a command line, and what would be right."""
    from cyclopts import MissingArgumentError, UnusedCliTokensError

    command = " ".join(("unsee", *(error.command_chain or ())))
    help_ = f"`{command} --help` shows what there is"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"{error.unused_tokens[0]!r} is one word too many; put quotes round a text with spaces; {help_}"
    if isinstance(error, MissingArgumentError) and error.argument and error.target:
        field = error.argument.field_info
        if field.is_keyword_only:
            return f"{error.keyword or error.argument.name} has no value; {help_}"
        # cyclopts calls it --name, and does not tell that `--image PICTURE NAME` are two pictures.
        taken = inspect.signature(error.target).parameters.values()
        usage = " ".join([command, *(p.name.upper() for p in taken if p.kind is not p.KEYWORD_ONLY)])
        several = [f"--{p.name.rstrip('_')}" for p in taken if str(p.annotation).startswith("tuple")]
        where = f", before {' and '.join(several)}, which take every word that follows" if several else ""
        return f"{field.name.upper()} is missing; write `{usage}`{where}"
    return f"{error} {help_}."


def _errors_only(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process where something went wrong.

    Args:
        arguments: What follows `unsee`; otherwise what the process was started with.
    """
    debug = os.environ.get("UNSEE_DEBUG", "") not in ("", "0")
    if not debug:
        for name in _NOISY:
            # Not a level, because torch puts levels back when it is imported.
            logging.getLogger(name).addFilter(_errors_only)
    allocator.keep_freed()
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
