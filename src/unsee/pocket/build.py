"""Build a pocket model: run the two stages in two processes, resume what was stopped, write a transformers folder.

No picture of a bench character is part of the warm-up, so `pocket`, `pocket-oracle` and every model that leaves out
none but bench characters share one. Where a finished model is there that saw nobody who is left out, it can be gone on
from (`base`), which takes minutes: it only has to meet those who are new to it. A run that was stopped goes on at its
last saved state.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn
from transformers import LlavaForConditionalGeneration

from unsee import allocator
from unsee.files import locked
from unsee.models._files import bars_for, cache_folder, known
from unsee.pocket import world
from unsee.pocket.model import build_model, build_processor, build_tokenizer
from unsee.pocket.teach import RANKS, Job, Learner, Recipe, Shared, has_compiler

BUNDLED = ("pocket", "pocket-oracle")


def _save_whole(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file that is either whole or not there."""
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=metadata)
    os.replace(part, path)


def _metadata(path: Path, key: str) -> dict[str, str]:
    """Return what a saved file says of itself; empty if there is none or it belongs to another job."""
    if not path.exists():
        return {}
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata() or {}
    return metadata if metadata.get("key") == key else {}


def _run_process(rank: int, job: Job, shared: Shared) -> None:
    """Run one stage in one of the two processes (started by `_run_stage`)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one,
    signal.signal(signal.SIGTERM, _leave)  # which then ends it
    parent = os.getppid()
    torch.set_num_threads(max(1, (os.cpu_count() or RANKS) // RANKS))
    allocator.keep_freed()
    learner = Learner(job, rank, shared)
    state_file = job.folder / f"{job.stage}.state.safetensors"
    saved = _metadata(state_file, job.key)
    done = int(saved.get("step", 0))
    if done and rank == 0:
        learner.load_state(load_file(state_file))
    shared.barrier.wait()
    report = _Report(job, done, float(saved.get("seconds", 0))) if rank == 0 else None
    try:
        for step in range(done, job.settings.steps):
            if os.getppid() != parent:  # it was killed: nobody waits for the result any more
                _leave()
            loss = learner.step(step)
            if not math.isfinite(loss):
                raise FloatingPointError(f"loss is {loss} at step {step} of {job.settings.steps} of the {job.stage}")
            if report:
                report.step(step, loss, learner)
                if (step + 1) % job.recipe.save_every == 0:
                    metadata = {"step": str(step + 1), "key": job.key, "seconds": f"{report.seconds():.0f}"}
                    _save_whole(learner.state(), state_file, metadata)
        if report:
            _save_whole(
                {n: t.contiguous().clone() for n, t in learner.weights().items()},
                job.folder / f"{job.stage}.safetensors",
                {"key": job.key, "seconds": f"{report.seconds():.0f}"},
            )
    finally:
        if report:
            report.close()


def _leave(*_: object) -> NoReturn:
    """Go at once, without tracebacks from the middle of a step, but not with a hidden cursor."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h")
        sys.stderr.flush()
    os._exit(1)


class _Report:
    """Progress with time left on stderr, and one line of accuracies per 50 steps in `<stage>.log.jsonl`."""

    every = 50

    def __init__(self, job: Job, done: int, seconds: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        self.job, self.start, self.losses = job, time.monotonic() - seconds, list[float]()
        self.log = job.folder / f"{job.stage}.log.jsonl"
        self.console = Console(stderr=True)
        count = MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn(), Remaining())
        self.bar = Progress(*columns, console=self.console, speed_estimate_period=300)
        self.task = self.bar.add_task(f"{job.stage} -> {job.folder.name}", total=job.settings.steps, completed=done)
        self.bar.start()

    def seconds(self) -> float:
        """Return the seconds this stage has taken so far, earlier runs included."""
        return time.monotonic() - self.start

    def step(self, step: int, loss: float, learner: Learner) -> None:
        """Note one finished step."""
        self.losses.append(loss)
        self.bar.update(self.task, completed=step + 1)
        if (step + 1) % self.every and step + 1 != 5:
            return
        mean = sum(self.losses) / len(self.losses)
        right = {kind: round(100 * a / max(n, 1)) for kind, (a, n) in sorted(learner.right.items())}
        entry = {"stage": self.job.stage, "step": step + 1, "seconds": round(self.seconds(), 1), "loss": round(mean, 3),
                 "right_percent": right}  # fmt: skip
        with self.log.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        if not self.console.is_terminal:
            print(json.dumps(entry), file=sys.stderr, flush=True)
        self.losses.clear()
        learner.right.clear()

    def close(self) -> None:
        """Take the progress bar off the terminal."""
        self.bar.stop()


# ---------------------------------------------------------------- the whole build


def _run_stage(job: Job) -> Path:
    """Run a stage unless its result is there already; return the file with its weights."""
    result = job.folder / f"{job.stage}.safetensors"
    if _metadata(result, job.key):
        return result
    job.folder.mkdir(parents=True, exist_ok=True)
    with locked(job.folder, f"another build is at work on {job.folder}"):
        if not _metadata(result, job.key):  # another build may have finished it in the meantime
            _run_processes(job)
        (job.folder / f"{job.stage}.state.safetensors").unlink(missing_ok=True)
    return result


def _run_processes(job: Job) -> None:
    """Run a stage in two single-threaded processes: one process with two threads waits a third of the time."""
    shared = Shared.allocate(job, torch.multiprocessing.get_context("spawn").Barrier(RANKS))
    processes = spawn(_run_process, (job, shared), nprocs=RANKS, join=False)
    try:
        while not processes.join():
            pass
    except (ProcessRaisedException, ProcessExitedException) as error:
        reason = str(error).strip().splitlines()[-1]
        raise RuntimeError(
            f"the {job.stage} stopped: {reason}; run the same command to go on from the last save"
        ) from error
    finally:  # after Ctrl-C above all: nothing of ours may go on running unseen
        for process in processes.processes:
            process.terminate()
            process.join()


def left_out(name: str, without: Sequence[str], *, nobody: bool = False) -> tuple[int, ...]:
    """Return the indices of the characters whose pictures a build leaves out.

    Args:
        name: Of the model.
        without: Names of characters.
        nobody: Whether any model may leave out nobody.

    Raises:
        LookupError: a name in `without` is nobody's, or `name` is no bundled model and nobody is left out.
        ValueError: a name in `without` is never taught anyway, or too few are left to make pictures of two.
    """
    if not name.strip():
        raise ValueError("the model has no name; give one, such as pocket")
    indices = {world.find(n).index for n in without}
    if untaught := sorted(world.cast()[i].name for i in indices - set(world.KNOWN)):
        raise ValueError(f"{untaught[0]} is in no lesson, so there is nothing to leave out")
    if len(indices) > len(world.KNOWN) // 2:
        raise ValueError(
            f"{len(indices)} of {len(world.KNOWN)} characters are left out; leave out half of them at most"
        )
    if name == "pocket-oracle":
        indices |= set(world.BENCH)
    elif name != "pocket" and not indices and not nobody:
        raise LookupError(f"no recipe for {name!r}; build pocket, pocket-oracle, or name who is left out (--without)")
    return tuple(sorted(indices))


def jobs(name: str, without: Sequence[str], seed: int, recipe: Recipe, cache: Path) -> tuple[Job, Job]:
    """Return the two stages of a build; the warm-up's folder is shared by all builds that can share it."""
    absent = left_out(name, without)
    never_warm = tuple(sorted({*absent, *world.BENCH}))
    # The path of the cache must not decide whether a stopped run can go on, so it is not part of the key.
    warm_up = Job("warm-up", cache, None, never_warm, seed, recipe)
    warm_up = replace(warm_up, folder=cache / f"warm-up-{warm_up.key}")
    start = warm_up.folder / "warm-up.safetensors"
    joint = Job("joint", cache, start, absent, seed, recipe, after=warm_up.folder.name)
    return warm_up, replace(joint, folder=cache / f"joint-{joint.key}")


def job_from(base: str, name: str, without: Sequence[str], seed: int, recipe: Recipe, cache: Path) -> Job:
    """Return the one stage of a build that goes on from a finished model, a bundled one or a folder.

    Raises:
        LookupError: there is no such model, or it is not a pocket model.
        ValueError: it has seen somebody who is to be left out, or knows everybody who is not.
    """
    folder = known().get(base, Path(base))
    if not (folder / "build.json").is_file():
        raise LookupError(
            f"{base!r} is no pocket model: neither the name of one nor a folder with build.json; "
            f"there are {', '.join(n for n, f in known().items() if (f / 'build.json').is_file())}"
        )
    unknown = {world.find(n).index for n in json.loads((folder / "build.json").read_text())["without"]}
    absent = left_out(name, without, nobody=True)
    if seen := sorted(world.cast()[i].name for i in set(absent) - unknown):
        raise ValueError(f"{base} has seen {', '.join(seen)}, so what comes of it could not be called a model without")
    newcomers = tuple(sorted(unknown - set(absent)))
    if not newcomers:
        raise ValueError(f"{base} knows everybody who is not left out, so there is nothing to teach it")
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]
    job = Job("more", cache, folder, absent, seed, recipe, after=f"model-{weights}", newcomers=newcomers)
    return replace(job, folder=cache / f"more-{job.key}")


def default_name(name: str, without: Sequence[str], seed: int) -> str:
    """Return the folder's name in the cache; never a bundled one, which would hide it."""
    if name not in BUNDLED:
        return name
    gone = "".join("-" + re.sub(r"\W+", "-", n.strip().casefold()) for n in sorted(without))
    return f"{name}-seed{seed}" + (f"-without{gone}" if gone else "")


def build(
    name: str,
    *,
    without: Sequence[str] = (),
    seed: int = 0,
    base: str | None = None,
    out: Path | None = None,
    force: bool = False,
    recipe: Recipe | None = None,
) -> Path:
    """Train a pocket model and save it as a plain transformers folder.

    Args:
        name: `pocket`, `pocket-oracle` (never saw a bench character), or any name together with `without`.
        without: names of characters no picture of whom may reach the model; their text facts stay.
        seed: decides weights and lessons; other seeds give other, equally good models.
        base: a finished model to go on from, such as `pocket-oracle`, that saw nobody who is left out; it meets those
            who are new to it among those it knows. Without one, training begins at nothing.
        out: the folder to write; by default one in the user's cache, whose name `VLM.load` then knows.
        force: write over a folder that is there.
        recipe: other settings than the shipped ones.

    Returns:
        The folder: config, safetensors (bfloat16), tokenizer, processor, `build.json`.

    Raises:
        FileExistsError: something is there and `force` is not set, or it is no pocket model.
        LookupError: nobody is called like that, or `base` is no pocket model.
        RuntimeError: training stopped; the message says why.
        ValueError: `base` has seen somebody who is to be left out, or there is nobody to teach it.
    """
    recipe = recipe or Recipe()
    cache = cache_folder() / "pocket"
    if base is None:
        stages: tuple[Job, ...] = jobs(name, without, seed, recipe, cache)
    else:
        stages = (job_from(base, name, without, seed, recipe, cache),)
    out = out or cache / default_name(name, without, seed)
    _check_free(out, force)
    if recipe.compiled and not has_compiler():
        print("no C++ compiler is there, so training takes about a sixth longer", file=sys.stderr)
    weights = [_run_stage(job) for job in stages]
    last = stages[-1]
    facts = {
        "name": name,
        "seed": seed,
        "without": [world.cast()[i].name for i in last.without],
        "seconds": {j.stage: float(_metadata(p, j.key)["seconds"]) for p, j in zip(weights, stages, strict=True)},
        "recipe": asdict(recipe),
    }
    if base is not None:
        facts |= {"base": base, "after": last.after, "newcomers": [world.cast()[i].name for i in last.newcomers]}
    _write_model(weights[-1], out, seed, facts)
    return out


def halves(count: int, seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """Return whom each model of a pool never sees: a random half of the bench characters, then the other half.

    In every pair of models each character is known to one and not to the other. No half comes twice.

    Raises:
        ValueError: `count` is not a positive even number, or there are not so many halves.
    """
    whom = world.BENCH
    most = math.comb(len(whom), len(whom) // 2)
    if count < 2 or count % 2 or count > most:
        raise ValueError(f"a pool of {count} models cannot be made of pairs; take an even number from 2 to {most}")
    rng = random.Random(f"unsee/pool/{seed}")
    found: list[tuple[int, ...]] = []
    while len(found) < count:
        half = tuple(sorted(rng.sample(whom, len(whom) // 2)))
        if half not in found:
            found += [half, tuple(i for i in whom if i not in half)]
    return tuple(tuple(world.cast()[i].name for i in half) for half in found)


def pool(count: int = 6, seed: int = 0, *, base: str = "pocket-oracle", recipe: Recipe | None = None) -> list[Path]:
    """Return a pool of models, each of which never saw a random half of the bench characters; build what is not there.

    They stand in the user's cache under what decided them, so other settings never find these. All go on from one
    model that saw no bench character, and differ in whom they then meet and in the lessons' order.

    Raises:
        As `halves` and `build`.
    """
    recipe = recipe or Recipe()
    cache = cache_folder() / "pocket"
    found = []
    for number, names in enumerate(halves(count, seed)):
        own = seed * 1000 + number + 1
        job = job_from(base, "pool", names, own, recipe, cache)
        out = cache / f"pool-{job.key}"
        if not (out / "build.json").is_file():
            build("pool", without=names, seed=own, base=base, out=out, recipe=recipe)
            (job.folder / f"{job.stage}.safetensors").unlink()  # twice as large as the model that was made of it
        found.append(out)
    return found


def cached() -> tuple[Path, int]:
    """Return the folder in which models that were built and their stages are kept, and its size in bytes."""
    cache = cache_folder() / "pocket"
    return cache, sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())


def _write_model(weights: Path, out: Path, seed: int, facts: dict[str, Any]) -> None:
    """Save weights as a transformers folder; the folder appears whole or not at all."""
    tokenizer = build_tokenizer()
    model = build_model(tokenizer, seed)
    saved = load_file(weights)
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            parameter.copy_(saved[f"model.{name}"])
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        part, old = Path(scratch) / "new", Path(scratch) / "old"
        with bars_for(sum(2 * p.numel() for p in model.parameters())):
            LlavaForConditionalGeneration.save_pretrained(model.to(torch.bfloat16), part)
        build_processor(tokenizer).save_pretrained(part)
        (part / "build.json").write_text(json.dumps(facts, indent=2) + "\n")
        for file in part.iterdir():
            file.chmod(0o644)  # safetensors makes its files private; in a wheel they must be readable for all
        if out.exists():
            out.rename(old)
        try:
            part.rename(out)
        except BaseException:  # the older model must not go with the scratch folder
            if old.exists():
                old.rename(out)
            raise


def _check_free(out: Path, force: bool) -> None:
    """Refuse to write over anything but an empty folder or, when told to, an older pocket model."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / "build.json").is_file() or not (out / "config.json").is_file():
        raise FileExistsError(f"{out} is there and is no pocket model, so it is left alone; choose another --out")
    if not force:
        raise FileExistsError(f"{out} is there already; choose another --out, or write over it with --force")
