"""Train a pocket model from scratch on two CPU cores.

Two stages. The *warm-up* teaches the vision tower and the projector to keep every visible fact: small heads read
the projector's output (heads that read the tower instead let the projector throw the scene away). The *joint*
stage teaches everything together, with many questions packed behind one picture.

No picture of a bench character is ever part of the warm-up, so `pocket`, `pocket-oracle` and every further oracle
can share one. Training is data-parallel over two processes whatever the number of cores: the same seed gives the
same lessons in the same order, and a run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from unsee.models._files import cache_folder
from unsee.pocket import heads, lessons, world
from unsee.pocket.draw import render
from unsee.pocket.lessons import Lesson
from unsee.pocket.model import (
    ASSISTANT,
    BOS,
    EOS,
    IMAGE,
    IMAGE_SIZE,
    IMAGE_TOKENS,
    PAD,
    USER,
    build_model,
    build_processor,
    build_tokenizer,
)
from unsee.pocket.muon import Muon
from unsee.pocket.world import Picture

RANKS = 2
_IGNORE = heads.IGNORE


@dataclass(frozen=True, slots=True)
class Stage:
    """How long one stage lasts and what a step sees. Batch sizes are per step, over both processes."""

    steps: int
    pictures: int
    mix_first: tuple[float, float, float]  # shares of one known character, strangers, two figures ...
    mix_last: tuple[float, float, float]  # ... and the same in the last two fifths of the stage
    constant: float  # share of the steps before the learning rate falls
    last_rate: float  # learning rate at the end, relative to the start
    text_rows: int = 0
    row_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a build yields, beside the seed and who is left out."""

    warm_up: Stage = Stage(1100, 48, (0.50, 0.26, 0.24), (0.20, 0.56, 0.24), constant=0.40, last_rate=0.05)
    joint: Stage = Stage(
        1250, 20, (0.36, 0.40, 0.24), (0.32, 0.42, 0.26), constant=0.35, last_rate=0.02, text_rows=4, row_tokens=224
    )
    near: float = 0.33  # share of strangers that differ from a known character in three features only
    text_weight: float = 0.5
    heads_weight: float = 0.12
    save_every: int = 100
    compiled: bool = True


@dataclass(frozen=True, slots=True)
class Job:
    """One stage to run: where its files are, what it starts from, who is left out."""

    stage: str  # "warm-up" or "joint"
    folder: Path
    start: Path | None
    without: tuple[int, ...]
    seed: int
    recipe: Recipe

    @property
    def settings(self) -> Stage:
        """The stage's own settings."""
        return self.recipe.warm_up if self.stage == "warm-up" else self.recipe.joint

    @property
    def key(self) -> str:
        """A hash of everything that decides the result; a saved state with another key is not resumed."""
        facts = {"stage": self.stage, "without": self.without, "seed": self.seed, "recipe": asdict(self.recipe)}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


# ---------------------------------------------------------------- batches


def pictures_of_step(job: Job, step: int, rank: int) -> list[Picture]:
    """Return the pictures one process sees in one step. No picture comes twice in a stage."""
    stage = job.settings
    rng = random.Random(f"{job.seed}/{job.stage}/{step}/{rank}/pictures")
    mix = stage.mix_first if step < 0.6 * stage.steps else stage.mix_last
    share = stage.pictures // RANKS
    # Seeds and stages get index ranges of their own, far apart.
    first = (job.seed * 2 + (job.stage == "joint")) * 10_000_000 + step * stage.pictures + rank * share
    out = []
    for index in range(first, first + share):
        kind = rng.choices(("known", "stranger", "pair"), mix)[0]
        if kind == "stranger" and rng.random() < job.recipe.near:
            kind = "near"
        out.append(world.picture("taught", kind, index, without=frozenset(job.without)))
    return out


def pixels(pictures: Sequence[Picture]) -> Tensor:
    """Draw pictures as the processor would hand them over: `(n, 3, 96, 96)` in [-1, 1]."""
    drawn = np.stack([np.asarray(render(picture, IMAGE_SIZE)) for picture in pictures])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


@dataclass(frozen=True, slots=True)
class Rows:
    """Packed lessons: one row is a prefix followed by question-answer branches that cannot see each other.

    `ids`, `labels`, `positions`, `branch`: `(rows, tokens)`; `branch` is 0 in the prefix, -1 in the padding.
    `visible`: `(rows, 1, tokens, tokens)`, who may attend to whom. `kinds[row][i]` names branch i + 1.
    """

    ids: Tensor
    labels: Tensor
    positions: Tensor
    branch: Tensor
    visible: Tensor
    kinds: list[list[str]]


class Packer:
    """Turns lessons into rows of a fixed number of tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, row_tokens: int) -> None:
        self.tokenizer, self.row_tokens = tokenizer, row_tokens
        ids = tokenizer.convert_tokens_to_ids
        self.pad, self.end, self.assistant = ids(PAD), ids(EOS), ids(ASSISTANT)
        self.text_prefix = [ids(BOS), ids(USER)]
        self.picture_prefix = [*self.text_prefix, *[ids(IMAGE)] * IMAGE_TOKENS]

    def branch(self, lesson: Lesson) -> tuple[list[int], list[int]]:
        """Return the token ids of a question (with the assistant's mark) and of its answer (with the end)."""
        question, answer = self.tokenizer([f" {lesson.question}", f" {lesson.answer}"], add_special_tokens=False)[
            "input_ids"
        ]
        return [*question, self.assistant], [*answer, self.end]

    def row(self, prefix: list[int], draw: Any) -> tuple[list[list[int]], list[str]]:
        """Fill one row with lessons from `draw()` until two in a row do not fit."""
        ids, labels = list(prefix), [_IGNORE] * len(prefix)
        positions, branch = list(range(len(prefix))), [0] * len(prefix)
        kinds: list[str] = []
        misses = 0
        while misses < 2:
            lesson = draw()
            question, answer = self.branch(lesson)
            length = len(question) + len(answer)
            if len(ids) + length > self.row_tokens:
                misses += 1
                continue
            kinds.append(lesson.kind)
            ids += question + answer
            labels += [_IGNORE] * len(question) + answer
            positions += range(len(prefix), len(prefix) + length)
            branch += [len(kinds)] * length
        missing = self.row_tokens - len(ids)
        padding = ((ids, self.pad), (labels, _IGNORE), (positions, 0), (branch, -1))
        return [values + [filler] * missing for values, filler in padding], kinds

    def rows(self, job: Job, step: int, rank: int, pictures: Sequence[Picture]) -> Rows:
        """Return the rows of one step: one per picture, then the text rows of this process."""
        rng = random.Random(f"{job.seed}/{job.stage}/{step}/{rank}/lessons")
        packed = [self.row(self.picture_prefix, lambda p=p: lessons.picture_lesson(rng, p)) for p in pictures]
        packed += [
            self.row(self.text_prefix, lambda: lessons.text_lesson(rng)) for _ in range(job.settings.text_rows // RANKS)
        ]
        ids, labels, positions, branch = torch.tensor([values for values, _ in packed]).unbind(1)
        causal = torch.ones(self.row_tokens, self.row_tokens, dtype=torch.bool).tril()
        same = branch[:, :, None] == branch[:, None, :]
        visible = ((same | (branch[:, None, :] == 0)) & causal)[:, None]
        return Rows(ids, labels, positions, branch, visible, [kinds for _, kinds in packed])


# ---------------------------------------------------------------- one process of a stage


class Learner:
    """The model, its heads and its optimisers in one process."""

    def __init__(self, job: Job, rank: int) -> None:
        self.job, self.rank = job, rank
        self.tokenizer = build_tokenizer()
        self.packer = Packer(self.tokenizer, job.settings.row_tokens)
        self.model: Any = build_model(self.tokenizer, job.seed)
        self.vision, self.projector = self.model.model.vision_tower, self.model.model.multi_modal_projector
        self.language = self.model.model.language_model
        self.heads = heads.Heads(self.language.config.hidden_size)
        if job.start:
            self.load_weights(load_file(job.start))
        self.warm_up = job.stage == "warm-up"
        self.muon, self.adam = self._optimisers()
        self.adam_rates = [group["lr"] for group in self.adam.param_groups]
        self.hidden = torch.compile(self._hidden, dynamic=False) if job.recipe.compiled else self._hidden
        self.right: dict[str, list[int]] = defaultdict(lambda: [0, 0])

    def _optimisers(self) -> tuple[Muon, torch.optim.AdamW]:
        """Muon for the matrices inside the blocks, AdamW for embeddings, biases, norms and heads."""
        matrix_rate, rest_rate = (1.5e-3, 1e-3) if self.warm_up else (0.8e-3, 0.3e-3)
        plan: list[tuple[nn.Module, float, float]] = [
            (self.vision, matrix_rate, rest_rate),
            (self.projector, matrix_rate * (1 if self.warm_up else 2), rest_rate * (1 if self.warm_up else 1.7)),
        ]
        if not self.warm_up:
            plan.append((self.language, 2e-3, 1.5e-3))
        matrices, rest = [], []
        for module, muon_rate, adam_rate in plan:
            named = list(module.named_parameters())
            inner = [p for n, p in named if p.ndim == 2 and "embed" not in n]
            matrices.append((inner, muon_rate))
            chosen = set(map(id, inner))
            others = [p for _, p in named if id(p) not in chosen]
            rest.append({"params": [p for p in others if p.ndim > 1], "lr": adam_rate, "weight_decay": 0.02})
            rest.append({"params": [p for p in others if p.ndim < 2], "lr": adam_rate, "weight_decay": 0.0})
        rest.append({"params": list(self.heads.parameters()), "lr": 1.5e-3 if self.warm_up else 0.5e-3})
        adam = torch.optim.AdamW([g for g in rest if g["params"]], betas=(0.9, 0.98), weight_decay=0.0)
        return Muon(matrices, rank=self.rank, ranks=RANKS), adam

    def trained(self) -> list[nn.Parameter]:
        """Return every parameter this stage changes, in a fixed order."""
        modules = [self.vision, self.projector, self.heads] + ([] if self.warm_up else [self.language])
        return [p for m in modules for p in m.parameters()]

    def _see(self, images: Tensor) -> Tensor:
        features: Tensor = self.projector(self.vision(images).last_hidden_state[:, 1:])
        return features

    def _hidden(self, embedded: Tensor, visible: Tensor, positions: Tensor) -> Tensor:
        output = self.language(inputs_embeds=embedded, attention_mask=visible, position_ids=positions, use_cache=False)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def loss(self, step: int) -> Tensor:
        """Return the loss of one step on this process's share of the batch."""
        pictures = pictures_of_step(self.job, step, self.rank)
        patches = self._see(pixels(pictures))
        wanted = heads.targets(pictures)
        scores = self.heads(patches)
        seen = heads.loss(scores, wanted)
        if self.warm_up:
            self._count_heads(scores, wanted)
            return seen
        rows = self.packer.rows(self.job, step, self.rank, pictures)
        embedded = self.language.embed_tokens(rows.ids)
        first = len(self.packer.text_prefix)
        n = len(pictures)
        with_picture = torch.cat([embedded[:n, :first], patches, embedded[:n, first + IMAGE_TOKENS :]], dim=1)
        hidden = self.hidden(torch.cat([with_picture, embedded[n:]]), rows.visible, rows.positions)
        shifted = rows.labels[:, 1:]
        answer = shifted != _IGNORE
        logits = F.linear(hidden[:, :-1][answer], self.language.embed_tokens.weight)
        each = F.cross_entropy(logits, shifted[answer], reduction="none")
        of_picture = answer.nonzero()[:, 0] < n
        self._count_answers(rows, answer, logits, shifted)
        told = self.job.recipe.text_weight * each[~of_picture].mean() if n < len(rows.ids) else 0.0
        return each[of_picture].mean() + told + self.job.recipe.heads_weight * seen

    @torch.no_grad()
    def _count_heads(self, scores: Sequence[Tensor], wanted: Tensor) -> None:
        for name, logits, target in zip(heads.QUESTIONS, scores, wanted.T, strict=True):
            asked = target != _IGNORE
            self.right[name][0] += int((logits.argmax(-1)[asked] == target[asked]).sum())
            self.right[name][1] += int(asked.sum())

    @torch.no_grad()
    def _count_answers(self, rows: Rows, answer: Tensor, logits: Tensor, shifted: Tensor) -> None:
        """Count whole answers that are right token by token (teacher-forced), by kind."""
        branches = int(rows.branch.max()) + 1
        slot = answer.nonzero()[:, 0] * branches + rows.branch[:, 1:][answer]
        wrong = torch.zeros(len(rows.kinds) * branches, dtype=torch.long)
        wrong.index_add_(0, slot, (logits.argmax(-1) != shifted[answer]).long())
        for row, kinds in enumerate(rows.kinds):
            for i, kind in enumerate(kinds):
                self.right[kind][0] += int(wrong[row * branches + i + 1] == 0)
                self.right[kind][1] += 1

    def step(self, step: int) -> float:
        """Do one step together with the other process; return this process's loss."""
        loss = self.loss(step)
        parameters = self.trained()
        for p in parameters:
            p.grad = None
        torch.autograd.backward(loss)
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        if RANKS > 1:
            dist.all_reduce(flat)
        flat /= RANKS
        flat *= min(1.0, 1.0 / (float(flat.norm()) + 1e-6))
        for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            p.grad = part.view_as(p)
        factor = rate_factor(self.job.settings, step)
        self.muon.step(factor)
        for group, rate in zip(self.adam.param_groups, self.adam_rates, strict=True):
            group["lr"] = rate * factor
        self.adam.step()
        return loss.item()

    # ------------------------------------------------ state

    def weights(self) -> dict[str, Tensor]:
        """Return all weights by name; the tied output matrix is left out."""
        named = {f"model.{n}": p.detach() for n, p in self.model.model.named_parameters()}
        return named | {f"heads.{n}": p.detach() for n, p in self.heads.named_parameters()}

    @torch.no_grad()
    def load_weights(self, saved: dict[str, Tensor]) -> None:
        """Copy saved weights into the model and the heads."""
        for name, parameter in self.weights().items():
            parameter.copy_(saved[name])

    def state(self) -> dict[str, Tensor]:
        """Return everything needed to go on: weights, Muon's momenta, Adam's moments."""
        state = self.weights() | {f"muon.{i}": b for i, b in enumerate(self.muon.buffers)}
        for i, p in enumerate(p for g in self.adam.param_groups for p in g["params"]):
            state |= {f"adam.{i}.{k}": torch.as_tensor(v) for k, v in self.adam.state[p].items()}
        return {name: tensor.contiguous().clone() for name, tensor in state.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over a state saved by `state()`."""
        self.load_weights(state)
        for i, buffer in enumerate(self.muon.buffers):
            buffer.copy_(state[f"muon.{i}"])
        for i, p in enumerate(p for g in self.adam.param_groups for p in g["params"]):
            prefix = f"adam.{i}."
            self.adam.state[p] = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def rate_factor(stage: Stage, step: int) -> float:
    """Return the learning rate relative to its peak: 40 steps up, constant, then a cosine down."""
    warm = min(1.0, (step + 1) / 40)
    done = step / stage.steps
    if done < stage.constant:
        return warm
    fall = 0.5 * (1 + math.cos(math.pi * (done - stage.constant) / (1 - stage.constant)))
    return warm * (stage.last_rate + (1 - stage.last_rate) * fall)


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


def _run_process(rank: int, job: Job, rendezvous: str) -> None:
    """Run one stage in one of the two processes (started by `_run_stage`)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    torch.set_num_threads(max(1, (os.cpu_count() or RANKS) // RANKS))
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=RANKS)
    learner = Learner(job, rank)
    state_file = job.folder / f"{job.stage}.state.safetensors"
    saved = _metadata(state_file, job.key)
    done = int(saved.get("step", 0))
    if done:
        learner.load_state(load_file(state_file))
    report = _Report(job, done, float(saved.get("seconds", 0))) if rank == 0 else None
    for step in range(done, job.settings.steps):
        loss = learner.step(step)
        if not math.isfinite(loss):
            raise FloatingPointError(f"loss is {loss} at step {step} of {job.settings.steps} ({job.stage})")
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
        report.close()
    dist.barrier()
    dist.destroy_process_group()


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
    # Two single-threaded processes use two cores fully; one process with two threads waits a third of the time.
    with tempfile.TemporaryDirectory() as scratch:
        processes = spawn(_run_process, (job, str(Path(scratch) / "rendezvous")), nprocs=RANKS, join=False)
        try:
            while not processes.join():
                pass
        except BaseException:  # Ctrl-C above all: nothing of ours may go on running unseen
            for process in processes.processes:
                process.terminate()
                process.join()
            raise
    (job.folder / f"{job.stage}.state.safetensors").unlink(missing_ok=True)
    return result


def left_out(name: str, without: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of the characters whose pictures a build leaves out.

    Raises:
        LookupError: a name in `without` is nobody's, or `name` is no bundled model and nobody is left out.
    """
    indices = {world.find(n).index for n in without}
    if name == "pocket-oracle":
        indices |= set(world.BENCH)
    elif name != "pocket" and not indices:
        raise LookupError(f"no recipe for {name!r}; build pocket, pocket-oracle, or name who is left out (--without)")
    return tuple(sorted(indices))


def jobs(name: str, without: Sequence[str], seed: int, recipe: Recipe, cache: Path) -> tuple[Job, Job]:
    """Return the two stages of a build; the warm-up's folder is shared by all builds that can share it."""
    absent = left_out(name, without)
    never_warm = tuple(sorted({*absent, *world.BENCH}))
    warm_up = Job("warm-up", cache, None, never_warm, seed, recipe)
    warm_up = Job("warm-up", cache / f"warm-up-{warm_up.key}", None, never_warm, seed, recipe)
    joint = Job("joint", cache, warm_up.folder / "warm-up.safetensors", absent, seed, recipe)
    # The path of the cache must not decide whether a stopped run can go on, so it is not part of the key.
    return warm_up, Job("joint", cache / f"{name}-{joint.key}", joint.start, absent, seed, recipe)


def build(
    name: str,
    *,
    without: Sequence[str] = (),
    seed: int = 0,
    out: Path | None = None,
    force: bool = False,
    recipe: Recipe | None = None,
) -> Path:
    """Train a pocket model and save it as a plain transformers folder.

    Args:
        name: `pocket`, `pocket-oracle` (never saw a bench character), or any name together with `without`.
        without: names of characters no picture of whom may reach the model; their text facts stay.
        seed: decides weights and lessons; other seeds give other, equally good models.
        out: the folder to write; default `<cache>/pocket/<name>`.
        force: write over a folder that is there.
        recipe: other settings than the shipped ones.

    Returns:
        The folder: config, safetensors (bfloat16), tokenizer, processor, `build.json`.

    Raises:
        FileExistsError: the folder is there and `force` is not set.
        LookupError: nobody is called like that.
    """
    recipe = recipe or Recipe()
    cache = cache_folder() / "pocket"
    out = out or cache / name
    if out.exists() and not force:
        raise FileExistsError(f"{out} is there already; choose another --out, or write over it with --force")
    warm_up, joint = jobs(name, without, seed, recipe, cache)
    weights = [_run_stage(warm_up), _run_stage(joint)]
    seconds = [float(_metadata(path, job.key)["seconds"]) for path, job in zip(weights, (warm_up, joint), strict=True)]
    facts = {
        "name": name,
        "seed": seed,
        "without": [world.cast()[i].name for i in joint.without],
        "seconds": {"warm-up": seconds[0], "joint": seconds[1]},
        "recipe": asdict(recipe),
    }
    _write_model(weights[1], out, seed, facts)
    return out


def _write_model(weights: Path, out: Path, seed: int, facts: dict[str, Any]) -> None:
    """Save weights as a transformers folder; the folder appears whole or not at all."""
    tokenizer = build_tokenizer()
    model = build_model(tokenizer, seed)
    saved = load_file(weights)
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            parameter.copy_(saved[f"model.{name}"])
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    LlavaForConditionalGeneration.save_pretrained(model.to(torch.bfloat16), part)
    build_processor(tokenizer).save_pretrained(part)
    (part / "build.json").write_text(json.dumps(facts, indent=2) + "\n")
    part.chmod(0o755)
    if out.exists():
        shutil.rmtree(out)
    part.rename(out)
