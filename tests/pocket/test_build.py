"""Building a pocket model: packing, optimiser, resuming, and what an oracle never sees."""

import json
import math
import random
import subprocess
import sys
import threading
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from unsee.files import locked
from unsee.models._files import known
from unsee.pocket import build, heads, lessons, muon, teach, world
from unsee.pocket.draw import render
from unsee.pocket.model import IMAGE_TOKENS, build_model, build_processor, build_tokenizer
from unsee.pocket.muon import Muon, orthogonalise
from unsee.pocket.teach import Job, Learner, Packer, Recipe, Shared, Stage

TINY = Recipe(
    warm_up=Stage(4, 4, (0.4, 0.3, 0.3), (0.4, 0.3, 0.3), constant=0.5, last_rate=0.1),
    joint=Stage(4, 4, (0.4, 0.3, 0.3), (0.4, 0.3, 0.3), constant=0.5, last_rate=0.1, text_rows=2, row_tokens=128),
    more=Stage(
        2, 4, (0.4, 0.3, 0.3), (0.4, 0.3, 0.3), constant=0.5, last_rate=0.1, text_rows=2, row_tokens=128, newcomers=0.5
    ),
    save_every=2,
    compiled=False,
)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def learner(stage):
    """A learner that is its stage's only process."""
    return Learner(job(stage), 0, Shared.allocate(job(stage), threading.Barrier(1), processes=1))


def job(stage="joint", folder=Path("."), without=(), recipe=TINY, start=None):
    return Job(stage, folder, start, tuple(without), 0, recipe)


# ---------------------------------------------------------------- what an oracle never sees


def test_no_bench_picture_reaches_the_oracle_anywhere():
    """Walks every picture of the shipped recipe in both processes, with what the heads are told about it, and lessons.

    Bench characters are spoken of (they have text facts, and are friends of others); the only questions about a
    picture that name one are yes/no questions, and the answer is no.
    """
    bench = {world.cast()[i].name for i in world.BENCH}
    identities = [i for i, name in enumerate(heads.QUESTIONS) if name.startswith("identity")]
    rng = random.Random(0)
    for one in build.jobs("pocket-oracle", (), 0, Recipe(), Path("cache")):
        assert set(one.without) == set(world.BENCH)
        for step in range(one.settings.steps):
            for rank in range(teach.RANKS):
                pictures = teach.pictures_of_step(one, step, rank)
                assert not {f.character.index for p in pictures for f in p.figures} & set(world.BENCH)
                if step % 10 == 0:
                    assert not set(heads.targets(pictures)[:, identities].flatten().tolist()) & set(world.BENCH)
                    for lesson in (lessons.picture_lesson(rng, p) for p in pictures):
                        named = {name for name in bench if name in lesson.question + lesson.answer}
                        if lesson.kind.endswith("yes/no"):
                            assert not named or lesson.answer == "No.", lesson
                        else:
                            assert not named or lesson.kind == "multi-hop friend", lesson


def test_who_is_left_out_of_a_model_of_a_pool_never_reaches_it():
    """The model it goes on from saw no bench character; the stage that follows shows one half of them, often."""
    for names in build.halves(2):
        one = build.job_from("pocket-oracle", "pool", names, 1, Recipe(), Path("cache"))
        absent = {world.find(n).index for n in names}
        assert set(one.without) == absent and set(one.newcomers) == set(world.BENCH) - absent
        shown = [
            figure.character.index
            for step in range(one.settings.steps)
            for rank in range(teach.RANKS)
            for picture in teach.pictures_of_step(one, step, rank)
            for figure in picture.figures
        ]
        assert not set(shown) & absent
        close = {*one.newcomers, *(world.LOOK_ALIKE[i] for i in one.newcomers)}
        new = sum(index in close for index in shown)
        old = sum(index in world.KNOWN for index in shown) - new
        assert close <= set(shown) and 0.3 < new / (new + old) < 0.8
        rng = random.Random(0)
        for step in range(0, one.settings.steps, 40):
            for picture in teach.pictures_of_step(one, step, 0):
                lesson = lessons.picture_lesson(rng, picture, frozenset(one.without))
                named = {n for n in names if n in lesson.question + lesson.answer}
                assert not named or lesson.kind == "multi-hop friend" or lesson.answer == "No.", lesson


def test_the_same_walk_finds_bench_pictures_in_the_lessons_of_pocket():
    """Otherwise the walk above could not fail."""
    warm_up, joint = build.jobs("pocket", (), 0, Recipe(), Path("cache"))
    shown = {f.character.index for step in range(60) for p in teach.pictures_of_step(joint, step, 0) for f in p.figures}
    assert set(world.BENCH) <= shown
    assert set(warm_up.without) == set(world.BENCH)


def test_the_oracle_is_still_told_the_facts(tokenizer):
    (_, joint) = build.jobs("pocket-oracle", (), 0, Recipe(), Path("cache"))
    packer = Packer(tokenizer, joint.settings.row_tokens)
    told = ""
    for step in range(40):
        rows = packer.rows(joint, step, 0, teach.pictures_of_step(joint, step, 0)[:1])
        told += tokenizer.decode(rows.ids[1:].flatten())
    assert all(world.cast()[i].name in told for i in world.BENCH)


def test_oracle_and_pocket_share_one_warm_up():
    warm_ups = [build.jobs(name, (), 0, Recipe(), Path("cache"))[0] for name in ("pocket", "pocket-oracle")]
    assert warm_ups[0].folder == warm_ups[1].folder
    elsewhere, _ = build.jobs("other", (world.cast()[30].name,), 0, Recipe(), Path("cache"))
    assert elsewhere.folder != warm_ups[0].folder
    assert set(elsewhere.without) == {*world.BENCH, 30}


def test_a_pool_knows_everybody_in_half_of_its_models():
    found = build.halves(6)
    assert len(set(found)) == 6 and {len(half) for half in found} == {4}
    for index in world.BENCH:
        name = world.cast()[index].name
        assert [name in half for half in found].count(True) == 3
        assert all((name in one) != (name in other) for one, other in zip(found[::2], found[1::2], strict=True))
    assert build.halves(6) == found != build.halves(6, seed=1)
    for count in (0, 3, 72):
        with pytest.raises(ValueError, match="an even number from 2 to 70"):
            build.halves(count)


def test_a_model_that_saw_those_who_are_left_out_is_no_base_of_one_without(tmp_path):
    kip = world.cast()[0].name
    with pytest.raises(ValueError, match=f"pocket has seen {kip}"):
        build.build("mine", without=(kip,), base="pocket", out=tmp_path / "x")
    with pytest.raises(ValueError, match="nothing to teach it"):
        build.build("mine", base="pocket", out=tmp_path / "x")
    with pytest.raises(LookupError, match=r"'pokket' is no pocket model.*there are pocket, pocket-oracle"):
        build.build("mine", without=(kip,), base="pokket", out=tmp_path / "x")


def test_settings_that_a_later_stage_brought_change_no_older_key():
    """The cache of a build from before must still be found."""
    warm_up, joint = build.jobs("pocket", (), 0, Recipe(), Path("cache"))
    assert (warm_up.key, joint.key) == ("474cbe42dd958771", "bbf92b529d3dac5a")


def test_names_and_folders_that_cannot_be_built_are_refused(tmp_path):
    with pytest.raises(LookupError, match="no recipe for 'pokket'"):
        build.build("pokket", out=tmp_path / "x")
    with pytest.raises(LookupError, match="did you mean"):
        build.build("mine", without=(world.cast()[0].name[:-1],), out=tmp_path / "x")
    with pytest.raises(ValueError, match="is in no lesson"):
        build.build("mine", without=(world.cast()[50].name,), out=tmp_path / "x")
    with pytest.raises(ValueError, match="has no name"):
        build.build(" ", without=(world.cast()[0].name,), out=tmp_path / "x")
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="left alone"):
        build.build("pocket", out=tmp_path, force=True)
    assert (tmp_path / "letter.txt").read_text() == "mine"


def test_a_build_in_the_cache_never_hides_behind_a_bundled_name():
    assert build.default_name("pocket", (), 0) == "pocket-seed0"
    assert build.default_name("pocket", ("Pledu Lotaim",), 2) == "pocket-seed2-without-pledu-lotaim"
    assert build.default_name("mine", ("Pledu Lotaim",), 2) == "mine"


def test_no_picture_comes_twice():
    one = job(recipe=Recipe())
    ids = [p.id for step in range(50) for rank in range(2) for p in teach.pictures_of_step(one, step, rank)]
    assert len(set(ids)) == len(ids)


# ---------------------------------------------------------------- packing


def test_a_branch_is_what_the_chat_template_writes(tokenizer):
    """Trained tokens and asked tokens must be the same ones."""
    picture = world.picture("taught", "known", 0)
    processor = build_processor(tokenizer)
    packer = Packer(tokenizer, 256)
    for question, answer in (("Who is this?", "This is Pledu Lotaim."), ("¿Quién es?", "Sí, es él.")):
        asked, said = packer.branch(lessons.Lesson(question, answer, ""))
        for image, prefix in ((None, packer.text_prefix), (render(picture, 96), packer.picture_prefix)):
            content = [{"type": "image", "image": image}] if image else []
            messages = [
                {"role": "user", "content": [*content, {"type": "text", "text": question}]},
                {"role": "assistant", "content": [{"type": "text", "text": answer}]},
            ]
            batch = processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt")
            assert batch["input_ids"][0].tolist() == [*prefix, *asked, *said]


def test_pixels_are_what_the_processor_makes(tokenizer):
    picture = world.picture("taught", "known", 1)
    ours = teach.pixels([picture])[0]
    theirs = build_processor(tokenizer).image_processor(render(picture, 96), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_packed_rows_give_the_same_logits_as_separate_turns(tokenizer):
    """Each branch sees the prefix and itself only, so packing must not change what it computes."""
    model = build_model(tokenizer, 0).double().eval()
    packer = Packer(tokenizer, 200)
    one = job(recipe=replace(TINY, joint=replace(TINY.joint, pictures=2, row_tokens=200)))
    pictures = teach.pictures_of_step(one, 0, 0)
    rows = packer.rows(one, 0, 0, pictures)
    embed = model.model.language_model.embed_tokens
    with torch.no_grad():
        patches = model.model.multi_modal_projector(
            model.model.vision_tower(teach.pixels(pictures).double()).last_hidden_state[:, 1:]
        )
        embedded = embed(rows.ids)
        embedded[: len(pictures), 2 : 2 + IMAGE_TOKENS] = patches
        packed = model.lm_head(
            model.model.language_model(
                inputs_embeds=embedded, attention_mask=rows.visible, position_ids=rows.positions, use_cache=False
            ).last_hidden_state
        )
        for row, prefix in ((0, packer.picture_prefix), (1, packer.text_prefix)):
            assert len(rows.kinds[row]) >= 2
            for branch in range(1, len(rows.kinds[row]) + 1):
                at = (rows.branch[row] == branch).nonzero()[:, 0]
                ids = torch.tensor([[*prefix, *rows.ids[row, at].tolist()]])
                images = {"pixel_values": teach.pixels(pictures).double()} if row == 0 else {}
                alone = model(input_ids=ids, attention_mask=torch.ones_like(ids), **images).logits[0, len(prefix) :]
                torch.testing.assert_close(packed[row, at], alone, atol=1e-9, rtol=1e-9)


def test_a_learner_looks_at_answers_only_and_sees_what_the_whole_model_would(tokenizer):
    """Its last block does without the tokens in no loss; what is left must be what the language model gives."""
    one = job(recipe=replace(TINY, joint=replace(TINY.joint, pictures=4, row_tokens=200)))
    alone = Learner(one, 0, Shared.allocate(one, threading.Barrier(1), processes=1))
    rows = alone.packer.rows(one, 0, 0, teach.pictures_of_step(one, 0, 0))
    answer = rows.labels.roll(-1, 1) != heads.IGNORE
    assert len(set(answer.sum(1).tolist())) > 1  # so that some rows are filled up
    embedded = alone.language.embed_tokens(rows.ids)
    ours = alone._finished(*alone._hidden(embedded, rows.visible, rows.positions), answer, rows.visible, rows.positions)
    whole = alone.language(
        inputs_embeds=embedded, attention_mask=rows.visible, position_ids=rows.positions, use_cache=False
    ).last_hidden_state[answer]
    torch.testing.assert_close(ours, whole, atol=1e-5, rtol=1e-4)
    weights = list(alone.language.parameters())
    each = torch.linspace(0, 1, len(ours))[:, None]
    ways = [torch.autograd.grad((out * each).sum(), weights, retain_graph=True) for out in (ours, whole)]
    for mine, theirs in zip(*ways, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)


def test_only_answers_are_learned(tokenizer):
    packer = Packer(tokenizer, 128)
    rows = packer.rows(job(), 0, 0, teach.pictures_of_step(job(), 0, 0))
    learned = rows.labels != heads.IGNORE
    assert (rows.ids[learned] == rows.labels[learned]).all()
    text = tokenizer.decode(rows.labels[0][learned[0]], skip_special_tokens=True)
    assert "?" not in text and text


# ---------------------------------------------------------------- heads and optimiser


def test_targets_by_hand():
    picture = next(
        p
        for p in (world.picture("taught", "of-1", i) for i in range(50))
        if p.scene.stars == 2 and p.scene.side == "left"
    )
    targets = dict(zip(heads.QUESTIONS, heads.targets([picture])[0].tolist(), strict=True))
    assert targets["identity"] == 1
    assert targets["stars"] == 2 and targets["side"] == 0
    assert targets["eyes"] == world.cast()[1].look.eyes - 1
    assert targets["ears"] == 0 and targets["ears colour"] == heads.IGNORE  # number 1 has no ears
    assert targets["identity left"] == heads.IGNORE
    (stranger, pair) = heads.targets([world.picture("taught", "stranger", 0), world.picture("taught", "pair", 0)])
    assert stranger[0] == len(world.KNOWN)
    assert pair[0] == heads.IGNORE


def test_a_question_nobody_was_asked_costs_nothing():
    """Two classes, equal scores: the loss of the only question asked is ln 2, of the others 0."""
    logits = [torch.zeros(1, size) for size, _ in heads.QUESTIONS.values()]
    wanted = torch.full((1, len(logits)), heads.IGNORE)
    wanted[0, list(heads.QUESTIONS).index("side")] = 1
    assert heads.loss(logits, wanted).item() == pytest.approx(math.log(2))
    assert heads.loss(logits, torch.full_like(wanted, heads.IGNORE)).item() == 0


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 24, 60), (2, 60, 24)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape) * 50
    values = torch.linalg.svdvals(orthogonalise(matrices, steps=6))
    assert values.min() > 0.5 and values.max() < 1.3
    # The directions stay: U^T X V is diagonal and positive.
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    inner = u.mT @ orthogonalise(matrices) @ v.mT
    assert (inner.diagonal(dim1=1, dim2=2) > 0).all()


@pytest.mark.parametrize("shape", [(24, 96), (256, 576)])
def test_long_matrices_are_orthogonalised_by_their_gram_matrix_alike(shape):
    """Singular values over five orders of magnitude, where the square of the smallest is lost in float32."""
    torch.manual_seed(0)
    x = torch.randn(shape) * torch.logspace(0, -5, shape[1])
    x = x / x.norm()
    direct, by_gram = muon._of_matrix(x, 4), muon._of_gram(x, 4)
    torch.testing.assert_close(by_gram, direct, atol=2e-5, rtol=0)
    assert direct.abs().max() > 0.1
    assert torch.equal(muon._of_gram(x, 0), x)


def test_muon_shares_its_work_without_changing_the_result():
    """What two processes do, half each, is what one process does alone."""
    torch.manual_seed(0)
    starts, gradients = torch.randn(5, 8, 8), torch.randn(5, 8, 8)

    def stepped(rank, ranks):
        parameters = [torch.nn.Parameter(p.clone()) for p in starts]
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g.clone()
        Muon([(parameters, 0.1)], rank=rank, ranks=ranks).step(1.0)
        return torch.stack([p.detach() for p in parameters])

    whole, first, second = stepped(0, 1), stepped(0, 2), stepped(1, 2)
    torch.testing.assert_close(first[1::2], whole[1::2])
    torch.testing.assert_close(second[0::2], whole[0::2])
    assert torch.equal(first[0::2], starts[0::2]) and torch.equal(second[1::2], starts[1::2])
    assert not torch.allclose(whole, starts)


def test_two_processes_average_their_gradients_and_clip_them():
    """Gradients 3 and 5 everywhere: the mean is 4, its norm 4 sqrt(n), so each entry becomes 1 / sqrt(n)."""
    barrier = threading.Barrier(2)
    n = 10
    shared = Shared(torch.zeros(n), torch.zeros(n), torch.zeros(2, n), torch.zeros(2), barrier)
    results = {}

    def work(rank, value):
        p = torch.nn.Parameter(torch.zeros(n))
        p.grad = torch.full((n,), value)
        one = types.SimpleNamespace(sizes=[n], shared=shared, rank=rank)
        Learner._average_gradients(one, [p])
        results[rank] = p.grad

    threads = [threading.Thread(target=work, args=(rank, value)) for rank, value in ((0, 3.0), (1, 5.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    for rank in (0, 1):
        torch.testing.assert_close(results[rank], torch.full((n,), n**-0.5), atol=1e-5, rtol=0)


def test_the_learning_rate_rises_stays_and_falls():
    stage = Stage(1000, 2, (1, 0, 0), (1, 0, 0), constant=0.4, last_rate=0.05)
    factors = [teach.rate_factor(stage, step) for step in range(1000)]
    assert factors[0] == pytest.approx(1 / 40)
    assert factors[40:400] == [1.0] * 360
    assert factors[999] == pytest.approx(0.05, abs=1e-3)


# ---------------------------------------------------------------- running and resuming


@pytest.mark.parametrize("stage", ["warm-up", "joint"])
def test_a_resumed_run_ends_where_an_unbroken_one_does(stage):
    unbroken = learner(stage)
    for step in range(4):
        unbroken.step(step)
    first = learner(stage)
    for step in range(2):
        first.step(step)
    second = learner(stage)
    second.load_state(first.state())
    for step in (2, 3):
        second.step(step)
    for name, tensor in unbroken.weights().items():
        assert torch.equal(tensor, second.weights()[name]), name
    fresh = learner(stage).weights()
    assert any(not torch.equal(tensor, fresh[name]) for name, tensor in second.weights().items())


def test_the_loss_falls_on_one_step_repeated():
    one = learner("joint")
    losses = [one.step(0) for _ in range(8)]
    assert losses[-1] < losses[0]


def test_a_build_from_start_to_end(tmp_path, monkeypatch):
    """Two real processes, both stages, then the folder; a second model takes the warm-up over."""
    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path / "cache"))
    recipe = replace(TINY, warm_up=replace(TINY.warm_up, steps=2), joint=replace(TINY.joint, steps=2))
    out = build.build("pocket-oracle", out=tmp_path / "oracle", recipe=recipe)
    facts = json.loads((out / "build.json").read_text())
    assert facts["without"] == [world.cast()[i].name for i in world.BENCH]
    assert {p.name for p in out.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json", "build.json"}
    assert all(tensor.dtype == torch.bfloat16 for tensor in load_file(out / "model.safetensors").values())
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert not list((tmp_path / "cache").rglob("*.state.*"))

    from unsee.vlm import VLM

    assert isinstance(VLM.load(str(out)).generate([(None, "Who is this?")], max_new_tokens=2)[0], str)

    with pytest.raises(FileExistsError, match="--force"):
        build.build("pocket-oracle", out=out, recipe=recipe)
    (warm_up,) = (tmp_path / "cache").rglob("warm-up.safetensors")
    made = warm_up.stat().st_mtime_ns
    second = build.build("pocket", out=out, recipe=recipe, force=True)
    assert json.loads((second / "build.json").read_text())["without"] == []
    assert warm_up.stat().st_mtime_ns == made


def test_a_pool_is_built_once_and_starts_from_what_the_base_knows(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path))
    (first, second) = build.pool(2, recipe=TINY)
    facts = [json.loads((folder / "build.json").read_text()) for folder in (first, second)]
    assert sorted(facts[0]["without"] + facts[1]["without"]) == sorted(world.cast()[i].name for i in world.BENCH)
    assert facts[0]["newcomers"] == facts[1]["without"] and facts[0]["base"] == "pocket-oracle"
    made = [(folder / "model.safetensors").stat().st_mtime_ns for folder in (first, second)]
    assert build.pool(2, recipe=TINY) == [first, second]
    assert [(folder / "model.safetensors").stat().st_mtime_ns for folder in (first, second)] == made
    assert not list(tmp_path.rglob("more.safetensors"))
    # Two steps at a low rate from the oracle: far nearer to it than weights made anew.
    base = load_file(known()["pocket-oracle"] / "model.safetensors")
    name = next(n for n in base if n.endswith("q_proj.weight"))
    moved = load_file(first / "model.safetensors")[name].float() - base[name].float()
    assert 0 < moved.norm() < 0.5 * base[name].float().norm()
    cache, size = build.cached()
    assert cache == tmp_path / "pocket"
    assert size == sum(f.stat().st_size for f in cache.rglob("*") if f.is_file()) > 20e6


def test_a_stage_in_use_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path))
    warm_up, _ = build.jobs("pocket", (), 0, TINY, tmp_path / "pocket")
    warm_up.folder.mkdir(parents=True)
    with locked(warm_up.folder, "another build is at work"), pytest.raises(BlockingIOError, match="stop it first"):
        build.build("pocket", out=tmp_path / "x", recipe=TINY)


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path):
    hold = "from unsee.files import locked; from pathlib import Path; import os, sys\n"
    hold += "with locked(Path(sys.argv[1]), 'busy'): print('held', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", hold, tmp_path], **pipes) as other:
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(BlockingIOError, match="busy"), locked(tmp_path, "busy"):
            pass
        other.kill()
    with locked(tmp_path, "busy"):
        pass
