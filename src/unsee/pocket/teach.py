"""What happens in one step of training a pocket model: the pictures, the packed lessons, the model and its optimisers.

Two stages. The *warm-up* teaches the vision tower and the projector to keep every visible fact: small heads read
the projector's output (heads that read the tower instead let the projector throw the scene away). The *joint*
stage teaches everything together, with many questions packed behind one picture. A third, *more*, stands alone: it
shows a finished model characters that it never saw, among those it knows. Two processes share every step, whatever
the number of cores, so the same seed gives the same lessons in the same order.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import rotate_half

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
    rate: float = 1.0  # learning rate at its peak, relative to the joint stage's
    newcomers: float = 0.0  # share of pictures in which the only known ones are newcomers and their look-alikes


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a build yields, beside the seed and who is left out."""

    warm_up: Stage = Stage(1100, 48, (0.50, 0.26, 0.24), (0.20, 0.56, 0.24), constant=0.40, last_rate=0.05)
    joint: Stage = Stage(
        1280, 20, (0.42, 0.28, 0.30), (0.40, 0.28, 0.32), constant=0.40, last_rate=0.02, text_rows=4, row_tokens=224
    )
    # No heads: they are not part of a finished model, and new ones would teach it nothing at first.
    more: Stage = Stage(
        240, 20, (0.42, 0.28, 0.30), (0.40, 0.28, 0.32), constant=0.40, last_rate=0.02, text_rows=4, row_tokens=224,
        rate=0.5, newcomers=0.5,
    )  # fmt: skip
    near: float = 0.5  # share of strangers that differ from a known character in three features only
    text_weight: float = 0.5
    heads_weight: float = 0.12
    save_every: int = 100
    compiled: bool = True


@dataclass(frozen=True, slots=True)
class Job:
    """One stage to run: where its files are, what it starts from, who is left out."""

    stage: str  # "warm-up", "joint" or "more"
    folder: Path
    start: Path | None  # a stage's weights, or the folder of a finished model
    without: tuple[int, ...]
    seed: int
    recipe: Recipe
    after: str = ""  # what decided `start`, which decides the result as well
    newcomers: tuple[int, ...] = ()  # who is new to the model that is started from

    @property
    def field(self) -> str:
        """What the stage's settings are called in the recipe."""
        return self.stage.replace("-", "_")

    @property
    def settings(self) -> Stage:
        """The stage's own settings."""
        found: Stage = getattr(self.recipe, self.field)
        return found

    @property
    def key(self) -> str:
        """A hash of everything that decides the result; a saved state with another key is not resumed."""
        facts = {"world": world.VERSION, "stage": self.stage, "without": self.without, "seed": self.seed}
        recipe = asdict(replace(self.recipe, save_every=0, compiled=False))
        for stage in {"warm_up", "joint", "more"} - {self.field}:
            recipe.pop(stage)  # other stages have keys of their own
        if self.stage != "more":
            for name in ("rate", "newcomers"):  # keys of these stages are older than these settings
                recipe[self.field].pop(name)
        if self.after:
            recipe["start"] = self.after
        facts |= {"recipe": recipe}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


# ---------------------------------------------------------------- batches


def pictures_of_step(job: Job, step: int, rank: int) -> list[Picture]:
    """Return the pictures one process sees in one step. No picture comes twice in a stage."""
    stage = job.settings
    rng = random.Random(f"{job.seed}/{job.stage}/{step}/{rank}/pictures")
    mix = stage.mix_first if step < 0.6 * stage.steps else stage.mix_last
    share = stage.pictures // RANKS
    # Seeds and stages get index ranges of their own, far apart.
    own = {"warm-up": 0, "joint": 10_000_000, "more": 15_000_000}[job.stage]
    first = job.seed * 20_000_000 + own + step * stage.pictures + rank * share
    absent = frozenset(job.without)
    # Whom a newcomer looks like must be met beside it, or is taken for it from then on.
    close = {*job.newcomers, *(world.LOOK_ALIKE[i] for i in job.newcomers if i in world.LOOK_ALIKE)}
    all_others = frozenset(world.KNOWN) - close
    out = []
    for index in range(first, first + share):
        kind = rng.choices(("known", "stranger", "pair"), mix)[0]
        if kind == "stranger" and rng.random() < job.recipe.near:
            kind = "near"
        only_new = stage.newcomers > 0 and rng.random() < stage.newcomers
        out.append(world.picture("taught", kind, index, without=absent | all_others if only_new else absent))
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

    def answers(self) -> Tensor:
        """Return which answer each answer token belongs to: `(answer tokens,)`, numbered row by row from 0."""
        row, token = (self.labels[:, 1:] != _IGNORE).nonzero().unbind(1)
        before = torch.tensor([0, *map(len, self.kinds)]).cumsum(0)
        return before[row] + self.branch[row, token + 1] - 1


class Packer:
    """Turns lessons into rows of a fixed number of tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, row_tokens: int) -> None:
        self.tokenizer, self.row_tokens = tokenizer, row_tokens
        ids = tokenizer.convert_tokens_to_ids
        self.pad, self.end, self.assistant = ids(PAD), ids(EOS), ids(ASSISTANT)
        self.text_prefix = [ids(BOS), ids(USER)]
        self.picture_prefix = [*self.text_prefix, *[ids(IMAGE)] * IMAGE_TOKENS]
        self.encode = lru_cache(maxsize=1 << 14)(self._encode)  # the same sentences come again and again

    def _encode(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer.encode(f" {text}", add_special_tokens=False)
        return found

    def branch(self, lesson: Lesson) -> tuple[list[int], list[int]]:
        """Return the token ids of a question (with the assistant's mark) and of its answer (with the end)."""
        return [*self.encode(lesson.question), self.assistant], [*self.encode(lesson.answer), self.end]

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
        without = frozenset(job.without)
        packed = [self.row(self.picture_prefix, lambda p=p: lessons.picture_lesson(rng, p, without)) for p in pictures]
        packed += [
            self.row(self.text_prefix, lambda: lessons.text_lesson(rng)) for _ in range(job.settings.text_rows // RANKS)
        ]
        ids, labels, positions, branch = torch.tensor([values for values, _ in packed]).unbind(1)
        causal = torch.ones(self.row_tokens, self.row_tokens, dtype=torch.bool).tril()
        same = branch[:, :, None] == branch[:, None, :]
        visible = ((same | (branch[:, None, :] == 0)) & causal)[:, None]
        return Rows(ids, labels, positions, branch, visible, [kinds for _, kinds in packed])


# ---------------------------------------------------------------- one process of a stage


@dataclass(frozen=True, slots=True)
class Shared:
    """What the processes of a stage have in common; they all live on one machine, so this is plain memory.

    `weights` and `momenta` (Muon's): `(n,)`; `gradients`: `(processes, n)`; `norms`: `(processes,)`, squared norms of
    the parts of the gradient each process has averaged.
    """

    weights: Tensor
    momenta: Tensor
    gradients: Tensor
    norms: Tensor
    barrier: Any

    @classmethod
    def allocate(cls, job: Job, barrier: Any, processes: int = RANKS) -> Shared:
        """Make room for all weights of a stage."""
        model: Any = build_model(build_tokenizer(), job.seed)
        n = sum(p.numel() for m in (model.model, _new_heads(model)) for p in m.parameters())

        def room(*size: int) -> Tensor:
            memory: Tensor = torch.zeros(size).share_memory_()
            return memory

        return cls(room(n), room(n), room(processes, n), room(processes), barrier)


def _new_heads(model: Any) -> heads.Heads:
    return heads.Heads(model.model.language_model.config.hidden_size)


class Learner:
    """The model, its heads and its optimisers in one process."""

    def __init__(self, job: Job, rank: int, shared: Shared) -> None:
        self.job, self.rank, self.shared = job, rank, shared
        self.tokenizer = build_tokenizer()
        self.packer = Packer(self.tokenizer, job.settings.row_tokens)
        self.model: Any = build_model(self.tokenizer, job.seed)
        self.vision, self.projector = self.model.model.vision_tower, self.model.model.multi_modal_projector
        self.language = self.model.model.language_model
        self.heads = _new_heads(self.model)
        if job.start:
            self.load_weights(_weights_in(job.start))
        self.warm_up = job.stage == "warm-up"
        self._move_into_shared_memory()
        self.muon, self.adam = self._optimisers()
        self.adam_rates = [group["lr"] for group in self.adam.param_groups]
        self.hidden = (
            torch.compile(self._hidden, dynamic=False) if job.recipe.compiled and has_compiler() else self._hidden
        )
        self.right: dict[str, list[int]] = defaultdict(lambda: [0, 0])

    def _move_into_shared_memory(self) -> None:
        """Let all processes compute with the same weights; they were made from the same seed."""
        self.sizes = [p.numel() for p in self.trained()]
        for p, place in zip(self.trained(), self.shared.weights[: sum(self.sizes)].split(self.sizes), strict=True):
            place.copy_(p.detach().flatten())
            p.data = place.view_as(p)
        self.shared.barrier.wait()

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
        ranks = len(self.shared.gradients)
        return Muon(matrices, rank=self.rank, ranks=ranks, momenta=self.shared.momenta), adam

    def trained(self) -> list[nn.Parameter]:
        """Return every parameter this stage changes, in a fixed order."""
        modules = [self.vision, self.projector, self.heads] + ([] if self.warm_up else [self.language])
        return [p for m in modules for p in m.parameters()]

    def _see(self, images: Tensor) -> Tensor:
        features: Tensor = self.projector(self.vision(images).last_hidden_state[:, 1:])
        return features

    def _hidden(self, embedded: Tensor, visible: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the language model up to the last block; return what goes into it, and its keys and values.

        `(rows, tokens, width)`, and twice `(rows, heads, tokens, head width)`. From there on only the tokens of answers
        are looked at, one in three: `_finished`.
        """
        *layers, last = self.language.layers
        cos, sin = self.language.rotary_emb(embedded, positions)
        hidden = embedded
        for layer in layers:
            hidden = layer(hidden, attention_mask=visible, position_embeddings=(cos, sin))
        normed, attention = last.input_layernorm(hidden), last.self_attn
        keys, values = (
            project(normed).unflatten(-1, (-1, attention.head_dim)) for project in (attention.k_proj, attention.v_proj)
        )
        return hidden, _turned(keys, cos, sin).transpose(1, 2), values.transpose(1, 2)

    def _finished(
        self, hidden: Tensor, keys: Tensor, values: Tensor, answer: Tensor, visible: Tensor, positions: Tensor
    ) -> Tensor:
        """Do the last block and the norm for some tokens: `answer` is `(rows, tokens)`; returns `(chosen, width)`."""
        last, attention = self.language.layers[-1], self.language.layers[-1].self_attn
        hidden = hidden[answer]
        cos, sin = self.language.rotary_emb(hidden, positions[answer][None])
        asked = attention.q_proj(last.input_layernorm(hidden)).unflatten(-1, (-1, attention.head_dim))
        counts = answer.sum(1)
        filled = torch.arange(int(counts.max())) < counts[:, None]  # rows have different numbers of chosen tokens
        queries = asked.new_zeros(*filled.shape, *asked.shape[1:])
        queries[filled] = _turned(asked, cos[0], sin[0])
        seen = torch.ones(*filled.shape, answer.shape[1], dtype=torch.bool)
        seen[filled] = visible[:, 0][answer]
        mixed = F.scaled_dot_product_attention(queries.transpose(1, 2), keys, values, seen[:, None])
        hidden = hidden + attention.o_proj(mixed.transpose(1, 2)[filled].flatten(1))
        done: Tensor = self.language.norm(hidden + last.mlp(last.post_attention_layernorm(hidden)))
        return done

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
        given = self.hidden(torch.cat([with_picture, embedded[n:]]), rows.visible, rows.positions)
        shifted = rows.labels.roll(-1, 1)  # every row begins with a prefix, so nothing comes round
        answer = shifted != _IGNORE
        finished = self._finished(*given, answer, rows.visible, rows.positions)
        logits = F.linear(finished, self.language.embed_tokens.weight)
        each = F.cross_entropy(logits, shifted[answer], reduction="none")
        place = rows.answers()
        self._count_answers(rows, place, logits.argmax(-1) != shifted[answer])
        # A yes is one token and a name ten: by tokens alone, short answers would hardly count.
        weight = place.bincount()[place].float().rsqrt()
        of_picture = answer.nonzero()[:, 0] < n
        total = F.normalize(weight * of_picture, p=1, dim=0) @ each
        if self.job.stage != "more":
            total = total + self.job.recipe.heads_weight * seen
        if n < len(rows.ids):
            total = total + self.job.recipe.text_weight * F.normalize(weight * ~of_picture, p=1, dim=0) @ each
        return total

    @torch.no_grad()
    def _count_heads(self, scores: Sequence[Tensor], wanted: Tensor) -> None:
        for name, logits, target in zip(heads.QUESTIONS, scores, wanted.T, strict=True):
            asked = target != _IGNORE
            self.right[name][0] += int((logits.argmax(-1)[asked] == target[asked]).sum())
            self.right[name][1] += int(asked.sum())

    def _count_answers(self, rows: Rows, place: Tensor, wrong: Tensor) -> None:
        """Count whole answers that are right token by token (teacher-forced), by kind."""
        mistakes = torch.zeros(sum(map(len, rows.kinds))).index_add_(0, place, wrong.float())
        for kind, n in zip((kind for kinds in rows.kinds for kind in kinds), mistakes.tolist(), strict=True):
            self.right[kind][0] += n == 0
            self.right[kind][1] += 1

    def step(self, step: int) -> float:
        """Do one step together with the other processes; return this process's loss."""
        loss = self.loss(step)
        parameters = self.trained()
        for p in parameters:
            p.grad = None
        torch.autograd.backward(loss)
        self._average_gradients(parameters)
        factor = rate_factor(self.job.settings, step)
        self.muon.step(factor)
        if self.rank == 0:  # what AdamW updates is little, and its state stays in one process
            for group, rate in zip(self.adam.param_groups, self.adam_rates, strict=True):
                group["lr"] = rate * factor
            self.adam.step()
        self.shared.barrier.wait()  # nobody looks at the weights before everybody has done their share
        return loss.item()

    @torch.no_grad()
    def _average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by the mean over processes, clipped to a norm of 1; each process averages a part."""
        n, shared = sum(self.sizes), self.shared
        own = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters]
        torch.cat(own, out=shared.gradients[self.rank, :n])
        shared.barrier.wait()
        ranks = len(shared.gradients)
        part = slice(self.rank * n // ranks, (self.rank + 1) * n // ranks)
        mean = shared.gradients[0, part]
        for other in shared.gradients[1:, part]:
            mean.add_(other)
        mean.div_(ranks)
        shared.norms[self.rank] = mean.dot(mean)
        shared.barrier.wait()
        factor = min(1.0, 1.0 / (float(shared.norms.sum().sqrt()) + 1e-6))
        for p, gradient in zip(parameters, shared.gradients[0, :n].split(self.sizes), strict=True):
            p.grad = (gradient * factor).view_as(p)

    # ------------------------------------------------ state

    def weights(self) -> dict[str, Tensor]:
        """Return all weights by name; the tied output matrix is left out."""
        named = {f"model.{n}": p.detach() for n, p in self.model.model.named_parameters()}
        return named | {f"heads.{n}": p.detach() for n, p in self.heads.named_parameters()}

    @torch.no_grad()
    def load_weights(self, saved: dict[str, Tensor]) -> None:
        """Copy saved weights into the model and, where they are among them, the heads."""
        for name, parameter in self.weights().items():
            if name in saved or not name.startswith("heads."):
                parameter.copy_(saved[name])

    def state(self) -> dict[str, Tensor]:
        """Return everything needed to go on: weights, Muon's momenta, Adam's moments."""
        state = self.weights() | {f"muon.{i}": b for i, b in enumerate(self.muon.buffers)}
        for i, p in enumerate(p for g in self.adam.param_groups for p in g["params"]):
            state |= {f"adam.{i}.{k}": torch.as_tensor(v) for k, v in self.adam.state[p].items()}
        return {name: tensor.contiguous().clone() for name, tensor in state.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over a state saved by `state()`; for the first process to do, before any step."""
        self.load_weights(state)
        for i, buffer in enumerate(self.muon.buffers):
            buffer.copy_(state[f"muon.{i}"])
        for i, p in enumerate(p for g in self.adam.param_groups for p in g["params"]):
            prefix = f"adam.{i}."
            self.adam.state[p] = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _weights_in(start: Path) -> dict[str, Tensor]:
    """Return the weights that a stage left, or those of a finished model, by the names of `Learner.weights`."""
    if start.is_file():
        return load_file(start)
    finished: Any = LlavaForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
    return {f"model.{n}": p.detach() for n, p in finished.model.named_parameters()}


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Give queries or keys their positions: `x` is `(..., tokens, heads, width)`, the others `(..., tokens, width)`."""
    turned: Tensor = x * cos[..., None, :] + rotate_half(x) * sin[..., None, :]
    return turned


def rate_factor(stage: Stage, step: int) -> float:
    """Return the learning rate relative to the joint stage's peak: 40 steps up, constant, then a cosine down."""
    warm = stage.rate * min(1.0, (step + 1) / 40)
    done = step / stage.steps
    if done < stage.constant:
        return warm
    fall = 0.5 * (1 + math.cos(math.pi * (done - stage.constant) / (1 - stage.constant)))
    return warm * (stage.last_rate + (1 - stage.last_rate) * fall)


def has_compiler() -> bool:
    """Return whether `torch.compile` would find the C++ compiler it needs on a CPU."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None
