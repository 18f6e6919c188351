"""Packing: by hand on a few tokens, and that nothing but the cost changes."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.testing import assert_close
from transformers.cache_utils import DynamicLayer

from tiny_models import shares_pictures
from unsee import packing
from unsee.records import Probe
from unsee.vlm import VLM

ANSWERS = ["Mario Rossi.", "Es Núria Peña.", "No.", "This is Mario. Who is this?", "Rossi"]


def tensors(*rows):
    return [torch.tensor(row) for row in rows]


@pytest.mark.parametrize(
    ("sequences", "most", "length"),
    [
        ([[1, 2, 3], [1, 2, 4]], 9, 2),
        ([[1, 2, 3], [1, 2, 3]], 9, 3),
        ([[1, 2, 3], [1, 2, 3]], 1, 1),
        ([[1, 2, 3], [1, 2], [1]], 9, 1),
        ([[1], [2]], 9, 0),
        ([[5, 6]], 9, 2),
    ],
)
def test_what_sequences_share(sequences, most, length):
    assert packing.shared(sequences, most) == length


def test_rows_are_filled_longest_first():
    assert packing.fill([3, 5, 2, 4], room=7) == [[1, 2], [3, 0]]
    assert packing.fill([9, 1], room=7) == [[0], [1]], "one too long has a row of its own"
    assert packing.fill([], room=7) == []


@pytest.mark.parametrize(("prefix", "width"), [(45, 256), (600, 4096), (5, 256)])
def test_no_other_length_is_cheaper(prefix, width):
    def cost(length):  # of one token of its own, in a layer
        return (24 * length * width**2 + 4 * length**2 * width) / (length - prefix)

    best = min(range(prefix + 1, 20 * (prefix + width)), key=cost)
    assert abs(packing.best_length(prefix, width) - best) <= 1


def test_a_row_by_hand():
    """Two turns, `7 8 | 1 2` and `7 8 | 3`: the second begins at position 2 again and does not see the first."""
    packed = packing.pack([(2, tensors([7, 8, 1, 2], [7, 8, 3]))], width=8, pad=0)
    assert packed.ids.tolist() == [[7, 8, 1, 2, 3]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 2]]
    assert packed.sees[0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    assert packed.rows == (0, 0)
    assert [places.tolist() for places in packed.places] == [[0, 1, 2, 3], [0, 1, 4]]
    assert packed.plain == 2, "the beginning"


def test_short_groups_share_a_row_by_hand():
    """`7 | 1` and `8 | 2` fit beside each other in a row as long as `9 9 | 3 4`; neither sees the other."""
    packed = packing.pack([(1, tensors([7, 1])), (1, tensors([8, 2])), (2, tensors([9, 9, 3, 4]))], width=1, pad=0)
    assert packed.ids.tolist() == [[9, 9, 3, 4], [7, 1, 8, 2]]
    assert packed.positions.tolist() == [[0, 1, 2, 3], [0, 1, 0, 1]]
    assert packed.sees[1].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert packed.rows == (1, 1, 0)
    assert packed.beginnings == (2, 0, 1), "row by row"
    assert packed.plain == 1, "the shorter beginning of the two at the left"
    assert [places.tolist() for places in packed.places] == [[0, 1], [2, 3], [0, 1, 2, 3]]


def test_turns_are_spread_evenly_over_the_rows_they_need():
    """Filled up to 9, rows would hold 9 and 3; two rows of 6 cost less, since attention grows with the square."""
    assert packing.fill([3, 3, 3, 3], room=9) == [[0, 1, 2], [3]]
    assert packing._evenly([3, 3, 3, 3], room=9) == [[0, 1], [2, 3]]
    assert packing._evenly([9, 1], room=4) == [[0], [1]], "one too long has a row of its own"


def test_rows_may_be_longer_than_the_longest_stretch_where_that_is_cheaper():
    """Of 5, 3 and 3 tokens, rows of 5 make three with 15 in all; rows of 6 make two with 12."""
    assert packing._cheapest([5, 3, 3], 100) == [[0], [1], [2]], "a row of 6 is not looked at: rooms grow by 16"
    assert packing._cheapest([50, 30, 30], 100) == [[0], [1, 2]], "110 tokens for 150"
    assert packing._cheapest([50, 50], 1) == [[0], [1]], "attention over both together would cost twice as much"


def test_groups_do_not_see_each_other_and_padding_sees_something():
    packed = packing.pack([(1, tensors([7, 1])), (2, tensors([8, 9, 1, 2], [8, 9, 3, 4, 5]))], width=1, pad=0)
    assert packed.beginnings == (1, 1, 0), "its two turns are too long for one row, and begin anew"
    assert packed.rows[0] not in packed.rows[1:]
    assert packed.ids[packed.rows[0]].tolist()[:2] == [7, 1]
    for row, places, turn in zip(
        packed.rows, packed.places, tensors([7, 1], [8, 9, 1, 2], [8, 9, 3, 4, 5]), strict=True
    ):
        assert torch.equal(packed.ids[row][places], turn)
        assert packed.positions[row][places].tolist() == list(range(len(turn)))
        allowed = packed.sees[row][places]
        assert torch.equal(allowed[:, places], torch.ones(len(turn), len(turn)).tril().bool())
        assert allowed.sum() == len(turn) * (len(turn) + 1) // 2, "it sees itself and nothing else"
    assert packed.sees.any(-1).all(), "attention over nothing would be NaN"


# --- In a model ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exact(tiny_folder):
    """The tiny model in float64."""
    return VLM.load(tiny_folder, device="cpu", dtype=torch.float64)


@pytest.fixture(scope="module")
def turns(picture):
    one = picture(1)
    shown = [one, None, picture(2), one, None]
    questions = ["Who is this?", "Who is it, and who is that?", "Why?", "Who is it?", "Who?"]
    return [(shown[i % 5], f"{questions[i % 5]} {i // 5}", ANSWERS[(i // 2) % 5]) for i in range(20)]


@shares_pictures
def test_a_chosen_turn_has_its_own_logits_wherever_it_stands(exact, turns, monkeypatch):
    prepared = exact.prepare(turns)
    laid, pack = [], packing.pack
    monkeypatch.setattr(packing, "pack", lambda *given: laid.append(pack(*given)) or laid[-1])
    with torch.no_grad():
        alone = [exact.answer_logits(exact.encode([turn], with_answers=True)) for turn in turns]
        for chosen in ([3], [19, 0, 7, 7, 1], [2, 7, 12], [1, 4, 6]):
            found = exact.run(prepared, chosen)
            for place, i in enumerate(chosen):
                mine = found.rows == place
                assert found.ids[mine].tolist() == alone[i].ids.tolist()
                assert_close(found.logits[mine], alone[i].logits, rtol=0, atol=1e-9)
    assert any(len(packed.ids) < len(packed.beginnings) for packed in laid), "no two pictures ever shared a row"


def test_a_family_that_cannot_pack_gets_plain_batches_with_the_same_result(exact, turns, monkeypatch):
    packed = exact.run(exact.prepare(turns))
    monkeypatch.setattr(type(exact), "packs", False)
    # What an unknown model makes of a picture is its own affair.
    monkeypatch.setattr(exact.model, "get_image_features", None)
    plain = exact.run(exact.prepare(turns))
    for i in range(len(turns)):
        assert_close(plain.logits[plain.rows == i], packed.logits[packed.rows == i], rtol=0, atol=1e-9)


@pytest.mark.parametrize("packs", [pytest.param(True, marks=shares_pictures), False])
def test_logits_are_made_of_answers_only(exact, turns, packs, monkeypatch):
    monkeypatch.setattr(type(exact), "packs", packs)
    head, made = exact.model.get_output_embeddings(), []
    handle = head.register_forward_hook(lambda _, __, logits: made.append(logits.shape[:-1].numel()))
    prepared = exact.prepare(turns)
    expected = exact.run(prepared).logits
    assert sum(made) == sum(int(mask.sum()) for mask in prepared.answers)
    made.clear()
    exact.answer(
        [
            Probe(str(i), "any", "Who?", image, picture="p" if image else "", way="next")
            for i, (image, *_) in enumerate(turns[:2])
        ]
    )
    assert sum(made) == 2
    handle.remove()
    # A model that has an output layer of its own makes of it what it likes; what is asked for is the same.
    monkeypatch.setattr(exact.model, "get_output_embeddings", lambda: torch.nn.Linear(1, 1))
    # Matrices of other shapes may be multiplied in another order, by CPU.
    torch.testing.assert_close(exact.run(prepared).logits, expected, rtol=1e-12, atol=1e-12)


@shares_pictures
def test_a_model_that_has_no_say_in_which_logits_it_makes_packs_as_well(exact, turns):
    """It only has to take features of pictures: logits are picked on their way into its output layer."""

    class Whole(type(exact.model)):
        def forward(self, input_ids=None, pixel_values=None, mm_encoder_outputs=None, **more):
            return super().forward(input_ids, pixel_values, mm_encoder_outputs=mm_encoder_outputs, **more)

    model = Whole(exact.model.config).to(exact.dtype)
    model.load_state_dict(exact.model.state_dict())
    whole = VLM(model, exact.processor, name="whole")
    assert whole.packs
    assert torch.equal(whole.run(whole.prepare(turns)).logits, exact.run(exact.prepare(turns)).logits)
    asked = [turn[:2] for turn in turns[:4]]
    assert whole.generate(asked, max_new_tokens=4) == exact.generate(asked, max_new_tokens=4)


@shares_pictures
@pytest.mark.parametrize(
    ("setting", "value"), [("layer_types", ["sliding_attention", "full_attention"]), ("sliding_window", 64)]
)
def test_a_decoder_that_looks_back_over_a_window_gets_plain_batches(tiny, setting, value, monkeypatch):
    assert tiny.packs
    monkeypatch.setattr(tiny.model.config.get_text_config(), setting, value, raising=False)
    assert not tiny.packs


@shares_pictures
def test_a_picture_is_seen_once(exact, turns, monkeypatch):
    seen = []
    tower = exact.model.get_image_features

    def counting(pixel_values, **more):
        seen.append(len(pixel_values))
        return tower(pixel_values=pixel_values, **more)

    monkeypatch.setattr(exact.model, "get_image_features", counting)
    prepared = exact.prepare(turns)
    exact.run(prepared)
    exact.run(prepared, [0, 3])
    assert seen == [2]
    seen.clear()
    exact.generate([turn[:2] for turn in turns], max_new_tokens=2)
    assert seen == [2]


@shares_pictures
def test_shared_beginnings_change_no_answer(pocket, monkeypatch):
    """Greedy answers with shared keys and values are those of transformers' own `generate`."""
    from unsee.pocket import world
    from unsee.pocket.draw import render

    drawn = [render(world.picture("report", f"of-{i}", 0), 96) for i in range(3)]
    asked = [(p, q) for p in drawn for q, _ in pocket.family.wording.naming[:6]]
    asked += [(None, pocket.family.wording.who.format(X=name)) for name in pocket.family.wording.others[:6]]
    assert pocket.shares
    shared = pocket.generate(asked, max_new_tokens=12)
    assert len(set(shared)) > 4, "it says the same to everything, so this proves nothing"
    monkeypatch.setattr("unsee.vlm._MANY", 1)  # what rows begin with is run on its own
    assert pocket.generate(asked, max_new_tokens=12) == shared
    monkeypatch.setattr(type(pocket), "shares", False)
    assert pocket.generate(asked, max_new_tokens=12) == shared


@shares_pictures
def test_a_picture_is_not_parted_by_the_end_of_a_batch(tiny, picture, monkeypatch):
    """Two even batches of 8 questions would be 4 and 4, and the second of three pictures would be in both."""
    seen = []
    ask = type(tiny)._continue
    monkeypatch.setattr(type(tiny), "_continue", lambda self, turns, most: seen.append(turns) or ask(self, turns, most))
    shown = [picture(i) for i in range(3)]
    turns = [(shown[i // 3], "Who is this?" + " Who?" * (i % 3)) for i in range(8)]
    said = tiny.generate(turns, max_new_tokens=2, batch_size=5)
    assert [len(part) for part in seen] == [3, 5]
    assert said == tiny.generate(turns, max_new_tokens=2, batch_size=8)
    seen.clear()
    tiny.generate(turns[:3], max_new_tokens=2, batch_size=2)
    assert [len(part) for part in seen] == [2, 1], "one picture with more questions than fit must be parted"


def test_columns_grow_in_place():
    layer, plain = packing.Column(), DynamicLayer()
    made = torch.Generator().manual_seed(0)
    places = []
    for length in (4, 1, 1, 1, 3):
        states = [torch.randn(2, 3, length, 5, generator=made) for _ in range(2)]
        for mine, theirs in zip(layer.update(*states), plain.update(*states), strict=True):
            assert torch.equal(mine, theirs)
        assert layer.get_seq_length() == plain.get_seq_length()
        places.append(layer.keys.data_ptr())
    moved = [before != after for before, after in itertools.pairwise(places)]
    assert moved == [False, True, False, True], "room for 5 columns, then for 7, then for 12"


def test_costs_by_hand():
    """A beginning of 3 in a decoder of width 2: 3 + sqrt(9 + 36) = 9.7, rounded down."""
    assert packing.best_length(3, 2) == 3 + math.isqrt(45) == 9
