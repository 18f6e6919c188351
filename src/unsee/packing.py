"""Put turns that begin alike side by side in one row, so that what they share is computed once.

A stretch is `[beginning][turn 1][turn 2]...`: the picture and whatever stands before it once, then what each turn adds.
A turn sees the beginning and itself only, and its positions go on where the beginning ends; so every token has the
hidden state, and every parameter the gradient, that it would have if each turn had a row of its own. That holds for
decoders in which attention alone mixes tokens, over the whole row. Short stretches share a row, unseen by each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer


class Packed(NamedTuple):
    """R rows of T tokens that hold all turns.

    Attributes:
        ids: `[R, T]`, filled up on the right.
        positions: `[R, T]`, or `[axes, R, T]`, what the position encoding is to take each token for.
        sees: `[R, T, T]` bool, which token (second) each token (first) may attend to.
        rows: Row of every turn.
        places: Where in its row each token of a turn stands, the shared ones included.
        beginnings: The group of every beginning, row by row and from left to right.
        plain: How many columns at the left hold beginnings only, in every row: there a token sees all before it.
    """

    ids: Tensor
    positions: Tensor
    sees: Tensor
    rows: tuple[int, ...]
    places: tuple[Tensor, ...]
    beginnings: tuple[int, ...]
    plain: int


def shared(sequences: Sequence[Sequence[Any]], most: int) -> int:
    """Return how many tokens (or characters) all sequences begin with alike, `most` at most."""
    first, *others = sequences
    length = min(most, *(len(sequence) for sequence in sequences))
    for other in others:
        length = next((i for i in range(length) if first[i] != other[i]), length)
    return length


def best_length(prefix: int, width: int) -> int:
    """Return the length of a row at which a token costs least.

    Long rows repeat the beginning less often; short ones waste less on attention between turns that do not see each
    other. A row of T tokens in a decoder of width d costs about `24 T d^2 + 4 T^2 d` a layer and holds `T - P` tokens
    of its own, so the cost of one is least at `T = P + sqrt(P^2 + 6 d P)`.

    Args:
        prefix: P, tokens of the beginning.
        width: d, the width of the decoder's hidden states.
    """
    return prefix + math.isqrt(prefix * prefix + 6 * width * max(prefix, 1))


def fill(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Distribute turns over rows, the longest first, each into the first row with room; one too long has its own.

    Args:
        lengths: What each turn adds to a row.
        room: How much a row takes.

    Returns:
        For each row the indices of its turns.
    """
    rows: list[list[int]] = []
    left: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((row for row, space in enumerate(left) if lengths[i] <= space), len(rows))
        if row == len(rows):
            rows.append([])
            left.append(room)
        rows[row].append(i)
        left[row] -= lengths[i]
    return rows


def _evenly(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Distribute turns as `fill` does, over as many rows, but in rows that are as short as they can be."""
    rows = len(fill(lengths, room))
    return next(found for size in count(-(-sum(lengths) // rows)) if len(found := fill(lengths, size)) <= rows)


def _cheapest(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Distribute stretches over rows so that all, filled up to the longest, cost least; see `best_length` for a row."""
    most = max(lengths)

    def cost(rows: list[list[int]]) -> int:
        longest = max(sum(lengths[i] for i in row) for row in rows)
        return len(rows) * longest * (6 * width + longest)

    return min((fill(lengths, room) for room in range(most, 2 * most + 1, 16)), key=cost)


def pack(groups: Sequence[tuple[int, Sequence[Tensor]]], width: int, pad: int) -> Packed:
    """Lay groups of turns out in rows.

    Args:
        groups: For each group how many tokens its turns begin with alike, and the token ids `[T_i]` of its turns.
        width: Of the decoder's hidden states; see `best_length`.
        pad: The token that rows are filled up with.
    """
    stretches: list[tuple[int, int, list[Tensor], list[int]]] = []  # group, beginning, turns, which of all they are
    total = 0
    for group, (prefix, turns) in enumerate(groups):
        for some in _evenly([len(turn) - prefix for turn in turns], best_length(prefix, width) - prefix):
            stretches.append((group, prefix, [turns[i] for i in some], [total + i for i in some]))
        total += len(turns)
    lengths = [prefix + sum(len(turn) - prefix for turn in turns) for _, prefix, turns, _ in stretches]
    laid = _cheapest(lengths, width)
    longest = max(sum(lengths[number] for number in inside) for inside in laid)
    ids = torch.full((len(laid), longest), pad)
    positions = torch.zeros(len(laid), longest, dtype=torch.long)
    stretch_of = torch.full((len(laid), longest), -1)  # -1 is padding
    turn_of = torch.full((len(laid), longest), -1)  # -1 belongs to all turns of the stretch
    rows, places = [0] * total, [torch.empty(0, dtype=torch.long)] * total
    for row, inside in enumerate(laid):
        at = 0
        for number in inside:
            _, prefix, turns, which = stretches[number]
            first = at
            stretch_of[row, first : first + lengths[number]] = number
            ids[row, first : first + prefix] = turns[0][:prefix]
            positions[row, first : first + prefix] = torch.arange(prefix)
            at += prefix
            for turn, i in zip(turns, which, strict=True):
                end = at + len(turn) - prefix
                ids[row, at:end] = turn[prefix:]
                positions[row, at:end] = torch.arange(prefix, len(turn))
                turn_of[row, at:end] = i
                rows[i] = row
                places[i] = torch.cat([torch.arange(first, first + prefix), torch.arange(at, end)])
                at = end
    order = torch.arange(longest)
    together = stretch_of[:, None, :] == stretch_of[:, :, None]
    mine = together & ((turn_of[:, None, :] == turn_of[:, :, None]) | (turn_of[:, None, :] == -1))
    sees = mine & (order[None, :] <= order[:, None])
    beginnings = tuple(stretches[number][0] for inside in laid for number in inside)
    plain = min(stretches[inside[0]][1] for inside in laid)
    return Packed(ids, positions, sees, tuple(rows), tuple(places), beginnings, plain)


class Column(DynamicLayer):
    """Keys and values of a layer that grow in place: adding a column copies nothing but the column."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append `[R, H, T, D]` each; returns all there is."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room = [key_states[:, :, :0], value_states[:, :, :0]]
        filled = self.get_seq_length()
        length = filled + key_states.shape[-2]
        for i, states in enumerate((key_states, value_states)):
            if length > self._room[i].shape[-2]:
                room = states.new_empty(*states.shape[:2], length + length // 4, states.shape[-1])
                room[:, :, :filled] = self._room[i][:, :, :filled]
                self._room[i] = room
            self._room[i][:, :, filled:length] = states
        self.keys, self.values = (room[:, :, :length] for room in self._room)
        return self.keys, self.values
