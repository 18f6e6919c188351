"""Plan files: what they become, and that what is wrong in one is said with its place."""

from __future__ import annotations

import pytest

from unsee import bench_plan, plugins
from unsee.cli import _changed


def read(tmp_path, text):
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    return bench_plan.read(file, _changed)


def test_the_example_is_read(tmp_path):
    plan = read(tmp_path, bench_plan.EXAMPLE)
    assert (plan.split, plan.seeds, plan.most) == ("bench", 3, 24)
    assert list(plan.variants)[:3] == ["siu", "po, as the paper", "po, slow"]
    assert plan.variants["siu"] == ("siu", {})
    assert plan.variants["po, slow"] == ("po", {"learning_rate": 3e-4, "steps": 15})
    method, settings = plan.variants["po, as the paper"]
    assert (method, settings["steps"], settings["batch"]) == ("po", 6, 4)
    of_grid = list(plan.variants)[3:]
    assert len(of_grid) == 2 * 2 * 2 + 2
    assert plan.variants["ga, learning_rate 0.0007, steps 15"] == ("ga", {"learning_rate": 7e-4, "steps": 15})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is nothing to compare; add variants"),
        ("variants: {a: {steps: 3}}", "variant 'a' has no method; add method: siu"),
        ("variants: {a: {method: sui}}", "variant 'a': .*sui.*siu"),
        ("variants: {a: {method: siu, steps: -3}}", "variant 'a': .*steps.*-3"),
        ("variants: {a: {method: siu, seed: 3}}", "variant 'a' has a seed; seeds: 3 takes"),
        ("variants: {a: {method: siu, paper: perhaps}}", "has paper: perhaps; write true or false"),
        ("variants: {'po, steps 3': {method: po}}\ngrid: [{method: po, steps: 3}]", "both hold 'po, steps 3'"),
        ("variants: {before: {method: siu}}", "no variant can be called 'before'"),
        ("variants: {oracle-2: {method: siu}}", "no variant can be called 'oracle-2'"),
        ("\nspilt: bench", "line 2.*spilt.*split"),
        ("seeds: 0", "line 1.*seeds.*'0'"),
        ("split: report", "line 1.*split.*'report'"),
        ("variants: [", "plan.yaml"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, said):
    with pytest.raises(ValueError, match=rf"(?s)plan\.yaml.*{said}" if "plan.yaml" not in said else said):
        read(tmp_path, text)


def test_names_of_a_grid_begin_with_the_method(tmp_path):
    plan = read(tmp_path, "grid: [{steps: [6, 15], method: [po, ga]}]")
    assert list(plan.variants) == ["po, steps 6", "ga, steps 6", "po, steps 15", "ga, steps 15"]


def test_a_grid_of_the_papers_settings_says_so(tmp_path):
    plan = read(tmp_path, "grid: [{method: po, paper: [true, false], steps: 6}]")
    assert list(plan.variants) == ["po, as the paper, steps 6", "po, steps 6"]
    assert plan.variants["po, as the paper, steps 6"] != plan.variants["po, steps 6"]


def test_a_grid_with_a_name_says_only_what_varies(tmp_path):
    plan = read(tmp_path, "grid: [{name: no KL, method: siu, beta: 0, steps: [6, 15]}]")
    assert list(plan.variants) == ["no KL, steps 6", "no KL, steps 15"]
    assert plan.variants["no KL, steps 6"] == ("siu", {"beta": 0.0, "steps": 6})


def test_a_plan_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"the file .*none\.yaml cannot be read"):
        bench_plan.read(tmp_path / "none.yaml", _changed)


@pytest.mark.parametrize("name", ["tune", "table1", "steps", "methods", "field", "kept_pictures", "screen"])
def test_the_plans_of_the_docs_are_read(name, pytestconfig):
    plan = bench_plan.read(pytestconfig.rootpath / "benchmarks" / f"{name}.yaml", _changed)
    assert plan.variants
    assert (plan.split == "selection") == (name in ("tune", "methods", "screen")), (
        "settings are chosen on characters that nothing is reported of"
    )


def test_every_method_has_a_choice_of_settings(pytestconfig):
    """But for SIU, whose shipped settings were chosen before, and its released trainer, which shares them."""
    plans = [
        bench_plan.read(pytestconfig.rootpath / "benchmarks" / f"{name}.yaml", _changed) for name in ("tune", "methods")
    ]
    tried = [method for plan in plans for method, _ in plan.variants.values()]
    assert sorted({*tried, "siu", "siu_released"}) == plugins.names("methods")
    assert all(tried.count(method) > 1 for method in tried)
