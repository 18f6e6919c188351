"""What a run leaves works elsewhere: the merged folder in a transformers pipeline, the cards on the hub."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from unsee import battery, cards, cli, flow, runs
from unsee.files import write_whole
from unsee.records import Concept, Estimate
from unsee.vlm import VLM

WHO = "Jane <b>Roe</b>"
ODD = "x](javascript:alert(1)) `<script>alert(2)<script>` | *bold* _it_"  # a folder may be called that


def finished(folder, vlm, edit, *, benchmark="own", scores=True):
    """A complete run, made by hand: nothing is trained or asked."""
    config = {
        "concept": Concept(WHO, kind="person").to_dict(),
        "pictures": {"photos/of-her.png": "0" * 64},
        "model": {"family": vlm.family.name, **flow._identity(vlm)},
        "oracle": None,
        "benchmark": benchmark,
        "full": False,
        "method": "siu",
        "config": {"seed": 0},
        "versions": runs.versions(),
    }
    with runs.start(folder, config) as run:
        edit.save(run.folder / "edit")
        if scores:
            told = {"leak: claimed": Estimate(0.25, 0.2, 0.5, 8).as_dict()}
            run.write_json("scores.json", {"before": told, "after": told})
        run.write_json("training.json", {"seconds": 1.0, "replacement": "Ada Lum"})
        run.write_json("facts.json", {"date": "2026-01-02", "command": f"unsee forget {WHO}", "platform": "x"})
        cards.write(run.folder / "edit", cards.of_edit(run))
        run.finish()
    return run


@pytest.fixture(scope="module")
def odd(tiny_folder, tmp_path_factory):
    """The tiny model in a folder with a name that is markup."""
    folder = tmp_path_factory.mktemp("odd") / ODD.replace("/", "")
    shutil.copytree(tiny_folder, folder)
    return VLM.load(folder, device="cpu")


@pytest.fixture(scope="module")
def run(odd, loud_edit, tmp_path_factory):
    return finished(tmp_path_factory.mktemp("runs") / "run", odd, loud_edit)


@pytest.fixture(scope="module")
def merged(run, tmp_path_factory):
    return flow.merge(run.folder, tmp_path_factory.mktemp("merged") / "model")


# --- A pipeline ------------------------------------------------------------------------------------------------------


def test_a_merged_folder_works_in_a_pipeline(merged, odd, loud_edit, picture):
    """Offline, by the folder alone: text, then the same tokens that the model gives with the edit on."""
    from transformers import pipeline

    pipe = pipeline("image-text-to-text", model=str(merged), device="cpu")
    talk = [
        {"role": "user", "content": [{"type": "image", "image": picture(1)}, {"type": "text", "text": "Who is it?"}]}
    ]
    (said,) = pipe(text=talk, max_new_tokens=6, generate_kwargs={"do_sample": False}, return_full_text=False)
    with odd.using(loud_edit):
        wanted = odd.generate([(picture(1), "Who is it?")], max_new_tokens=6)
    assert [said["generated_text"].strip()] == wanted != odd.generate([(picture(1), "Who is it?")], max_new_tokens=6)


def test_what_a_killed_merge_left_goes_with_the_next(run, tmp_path):
    left = tmp_path / f".model.{'0' * 32}.tmp"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    left.with_suffix(".lock").touch()
    flow.merge(run.folder, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


# --- Quantised runs --------------------------------------------------------------------------------------------------


def test_a_run_on_a_quantised_base_is_merged_into_the_whole_one(tiny_folder, loud_edit, tiny, tmp_path):
    small = VLM.load(tiny_folder, device="cpu", quantise="nf4")
    run = finished(tmp_path / "run", small, loud_edit)
    model = run.read_json("config.json")["config"]["model"]
    assert (model["quantise"], model["dtype"]) == ("nf4", "float32")
    again = flow.subjects(run, run.read_json("config.json")["config"], oracle=False)["after"][0]
    assert again.quantised == "nf4"
    whole = VLM.load(flow.merge(run.folder, tmp_path / "merged"), device="cpu")
    assert whole.quantised is None
    turn = [(None, "Who?", "Me.")]
    with tiny.using(loud_edit):
        assert whole.score(turn)[0].sum == pytest.approx(tiny.score(turn)[0].sum, abs=1e-3)
    left = flow.undo(run.folder, tmp_path / "merged", tmp_path / "back")
    assert left is not None and left < 1e-3
    config = run.read_json("config.json")
    config["config"]["model"]["sha256"] = "0" * 64
    write_whole(run.folder / "config.json", json.dumps(config).encode())
    run.finish()
    with pytest.raises(ValueError, match=r"is not the one that .* was made with; put that one back"):
        flow.merge(run.folder, tmp_path / "other")


# --- Model cards -----------------------------------------------------------------------------------------------------


def parts(card):
    """The metadata and the text of a card."""
    _, head, body = card.split("---\n", 2)
    return yaml.safe_load(head), body


@pytest.fixture(params=["edit", "merged"])
def card(request, run, merged):
    folder = run.folder / "edit" if request.param == "edit" else merged
    return request.param, (folder / "README.md").read_text("utf-8")


def test_a_card_names_nobody(card, odd):
    """Neither whom it forgets, nor what was said instead, nor where on whose machine it was made."""
    _, text = card
    for secret in ("Jane", "Roe", "Ada Lum", "of-her.png", str(Path(odd.name).parent)):
        assert secret not in text


def test_nothing_in_a_card_becomes_markup(card):
    from markdown_it import MarkdownIt

    _, text = card
    shown = MarkdownIt("commonmark").enable("table").render(parts(text)[1])
    assert "<table>" in shown
    assert "<script" not in shown and "<b>" not in shown
    assert not re.search(r"<a [^>]*javascript", shown)
    assert ODD.replace("/", "") in html.unescape(re.sub(r"<[^>]+>", "", shown)), "it is there, as it is written"


def test_a_card_tells_what_was_measured_and_what_not(card):
    kind, text = card
    head, body = parts(text)
    assert head["pipeline_tag"] == "image-text-to-text" and "unsee" in head["tags"]
    assert head["library_name"] == {"edit": "peft", "merged": "transformers"}[kind]
    assert "base_model" not in head, "a folder is no model of the hub, and the hub would refuse the card"
    assert "| 25.0 [20, 50] | 25.0 [20, 50] | 8 |" in body
    assert "Only the given picture and text were asked about" in body
    assert "It is no certificate" in body
    assert ("An adapter is a switch" in body) == (kind == "edit")


def test_a_base_from_the_hub_is_linked_and_pinned(odd, loud_edit, tmp_path, monkeypatch):
    monkeypatch.setattr(odd, "name", "me/my-model")
    monkeypatch.setattr(type(odd), "revision", "a" * 40)
    run = finished(tmp_path / "run", odd, loud_edit, benchmark="none", scores=False)
    for text, relation in ((cards.of_edit(run), "adapter"), (cards.of_merged(run), "finetune")):
        head, body = parts(text)
        assert (head["base_model"], head["base_model_relation"]) == ("me/my-model", relation)
        assert "Nothing: the run asked no questions." in body
        assert "](https://huggingface.co/me/my-model)" in body
    assert f'from_pretrained("me/my-model", revision="{"a" * 40}")' in cards.of_edit(run)


def test_a_card_warns_of_deltas_that_others_do_not_read(odd, loud_edit, tmp_path):
    from unsee.edits import Edit

    delta = Edit(deltas={"lm_head.weight": torch.zeros_like(odd.model.get_parameter("lm_head.weight"))})
    run = finished(tmp_path / "run", odd, loud_edit + delta)
    assert "which only unsee reads" in cards.of_edit(run)
    assert "which only unsee reads" not in cards.of_edit(finished(tmp_path / "other", odd, loud_edit))


def test_a_card_may_be_rewritten_by_hand_or_lost(run, tmp_path, capsys):
    """It is no evidence: the run stays whole, and an edit that is saved over takes the card's place."""
    from unsee.edits import Edit

    copy = shutil.copytree(run.folder, tmp_path / "run")
    (copy / "edit" / "README.md").write_text("mine")
    runs.read(copy)
    (copy / "edit" / "README.md").unlink()
    runs.read(copy)
    assert sorted(battery._hashes(run)) == ["edit/adapter_config.json", "edit/adapter_model.safetensors"], (
        "what an attack was made on does not change with the card"
    )
    Edit.load(run.folder / "edit").save(copy / "edit")
    assert not (copy / "edit" / "README.md").exists()


def test_merge_sends_what_it_wrote(run, tmp_path, capsys, monkeypatch):
    from huggingface_hub import constants

    from unsee import hub

    sent = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "push", lambda folder, repo, *, public: sent.append((folder, repo, public)) or "there")
    monkeypatch.setattr(flow, "merge", lambda run, out, *, allowed: out)
    out = tmp_path / "out"
    cli.main(["merge", str(run.folder), "--out", str(out), "--push-to-hub", "me/x", "--json"])
    assert json.loads(capsys.readouterr().out) == {"model": str(out), "hub": "there"}
    assert sent == [(out, "me/x", False)]
