"""Put turns that begin alike side by side in one row, so that what they share is computed once.

A row is `[beginning][turn 1][turn 2]...`: the picture and whatever stands before it once, then what each turn adds. A
turn sees the beginning and itself only, and its positions go on where the beginning ends; so every token has the
hidden state, and every parameter the gradient, that it would have if each turn had a row of its own. That holds for
decoders in which attention alone mixes tokens, over the whole row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Packed(NamedTuple):
    """R rows of T tokens that hold all turns.

    Attributes:
        ids: `[R, T]`, filled up on the right.
        positions: `[R, T]`, what the position encoding is to take each token for.
        sees: `[R, T, T]` bool, which token (second) each token (first) may attend to.
        rows: Row of every turn.
        places: Where in its row each token of a turn stands, the shared ones included.
    """

    ids: Tensor
    positions: Tensor
    sees: Tensor
    rows: tuple[int, ...]
    places: tuple[Tensor, ...]


def shared(sequences: Sequence[Sequence[int]], most: int) -> int:
    """Return how many tokens all sequences begin with alike, `most` at most."""
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


def pack(groups: Sequence[tuple[int, Sequence[Tensor]]], width: int, pad: int) -> Packed:
    """Lay groups of turns out in rows; no row holds turns of two groups.

    Args:
        groups: For each group how many tokens its turns begin with alike, and the token ids `[T_i]` of its turns.
        width: Of the decoder's hidden states; see `best_length`.
        pad: The token that rows are filled up with.
    """
    laid: list[tuple[int, list[Tensor], list[int]]] = []  # beginning, its turns, and which of all they are
    first = 0
    for prefix, turns in groups:
        added = [len(turn) - prefix for turn in turns]
        for some in fill(added, best_length(prefix, width) - prefix):
            laid.append((prefix, [turns[i] for i in some], [first + i for i in some]))
        first += len(turns)
    longest = max(prefix + sum(len(t) - prefix for t in turns) for prefix, turns, _ in laid)
    ids = torch.full((len(laid), longest), pad)
    positions = torch.zeros(len(laid), longest, dtype=torch.long)
    turn_of = torch.full((len(laid), longest), -2)  # -1 belongs to all turns of the row, -2 is padding
    rows, places = [0] * first, [torch.empty(0, dtype=torch.long)] * first
    for row, (prefix, turns, which) in enumerate(laid):
        ids[row, :prefix] = turns[0][:prefix]
        positions[row, :prefix] = torch.arange(prefix)
        turn_of[row, :prefix] = -1
        at = prefix
        for number, (turn, i) in enumerate(zip(turns, which, strict=True)):
            end = at + len(turn) - prefix
            ids[row, at:end] = turn[prefix:]
            positions[row, at:end] = torch.arange(prefix, len(turn))
            turn_of[row, at:end] = number
            rows[i], places[i] = row, torch.cat([torch.arange(prefix), torch.arange(at, end)])
            at = end
    order = torch.arange(longest)
    mine = (turn_of[:, None, :] == turn_of[:, :, None]) | (turn_of[:, None, :] == -1)
    return Packed(ids, positions, mine & (order[None, :] <= order[:, None]), tuple(rows), tuple(places))
