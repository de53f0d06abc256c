"""Areas and times of a study by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from covar_gen.evaluation.analyses.cluster_study import CLUSTER_STUDY, cluster_study
from covar_gen.evaluation.metrics.intervals import bootstrap
from covar_gen.evaluation.results import MADE_WITH, Results, open_results, part_name
from covar_gen.evaluation.studied import STUDIED

SETTINGS = {
    "images": 2,
    "target": "predicted",
    "points": 3,
    "steps": 100,
    "share": 0.005,
    "ties": "random",
    "seed": 0,
}


def row(key: str, deletion: list[int], insertion: list[int], **more: Any) -> dict[str, Any]:
    times = {"seconds": 0.06, "forward": 0.01, "device": "cpu"}
    return {
        "key": key,
        "target": 0,
        "flat": False,
        "deletion": deletion,
        "insertion": insertion,
        **times,
        **more,
    }


def write(
    results: Results, model: str, case: tuple[str, int], *blocks: list[dict[str, Any]]
) -> Path:
    folder = results.folder(model) / f"clusters-{case[0]}-{case[1]}-01234567"
    folder.mkdir()
    about = {"case": case, "settings": SETTINGS, "count": sum(map(len, blocks))}
    (folder / MADE_WITH).write_text(json.dumps(about))
    at = 0
    for block in blocks:
        table = pa.Table.from_pylist(block, schema=STUDIED)
        pq.write_table(table, folder / part_name(at, at + len(block)))
        at += len(block)
    return folder


@pytest.fixture
def keys(little_benchmark: Results) -> list[str]:
    found: list[str] = little_benchmark.images(["key"])["key"].to_pylist()
    return found


def test_areas_are_means_over_images_and_times_medians_over_what_was_timed(
    little_benchmark: Results, keys: list[str]
) -> None:
    first = row(keys[0], [1, 1, 9], [9, 6, 5])
    second = row(keys[30], [1, 3, 6], [7, 1, 1], seconds=0.08)
    third = row(keys[31], [1, 1, 1], [1, 1, 1], seconds=None, forward=None, device=None)
    write(little_benchmark, "weak/test", ("all", 7), [first, second], [third])
    (found,) = cluster_study(open_results(little_benchmark.root), replicates=200).to_pylist()
    assert (found["model"], found["layers"], found["clusters"]) == ("weak/test", "all", 7)
    assert (found["n_images"], found["points"], found["target"]) == (3, 3, "predicted")
    # Of three evenly spaced points the middle one counts twice.
    assert found["deletion_top1"] == pytest.approx((0.75 + 0.25 + 1) / 3)
    assert found["deletion_top5"] == pytest.approx((0.75 + 0.75 + 1) / 3)
    assert found["insertion_top1"] == pytest.approx((0 + 0.75 + 1) / 3)
    assert found["insertion_top5"] == pytest.approx((0.25 + 0.75 + 1) / 3)
    assert found["seconds"] == pytest.approx(0.07)
    assert found["forwards"] == pytest.approx(7)
    assert found["deletion_top1_low"] < found["deletion_top1"] < found["deletion_top1_high"]


def test_images_of_one_photograph_give_no_interval(
    little_benchmark: Results, keys: list[str]
) -> None:
    sources = little_benchmark.images(["source"])["source"].to_pylist()
    one = [key for key, source in zip(keys, sources, strict=True) if source == sources[0]]
    write(
        little_benchmark, "weak/test", ("all", 7), [row(key, [1, 1, 2], [2, 1, 1]) for key in one]
    )
    (found,) = cluster_study(open_results(little_benchmark.root), replicates=20).to_pylist()
    assert found["deletion_top1"] == pytest.approx(0.75)
    assert found["deletion_top1_low"] is None


def test_only_photographs_of_the_sample_are_drawn(
    little_benchmark: Results, keys: list[str]
) -> None:
    sources = little_benchmark.images(["source"])["source"].to_pylist()
    firsts = [sources.index(source) for source in sorted(set(sources))][:9:2]
    right = [3, 1, 0, 2, 0]
    rows = [
        row(keys[at], [1] * good + [2] * (3 - good), [1] * 3)
        for at, good in zip(firsts, right, strict=True)
    ]
    write(little_benchmark, "weak/test", ("all", 7), rows)
    (found,) = cluster_study(open_results(little_benchmark.root), replicates=100).to_pylist()
    # Five photographs of one image each, with areas by the trapezoid rule.
    areas = np.array([1, 0.25, 0, 0.75, 0])
    sums = np.stack([np.ones(5), areas, np.ones(5), np.ones(5), np.ones(5)], axis=1)
    wanted = bootstrap(sums, lambda s: s[:, 1:] / s[:, :1], replicates=100)
    for name, values in zip(("", "_low", "_high"), wanted, strict=True):
        assert found[f"deletion_top1{name}"] == pytest.approx(values[0], abs=1e-12)


def test_times_on_two_devices_are_no_time(little_benchmark: Results, keys: list[str]) -> None:
    blocks = [[row(keys[0], [1, 1, 1], [1, 1, 1])], [row(keys[1], [1] * 3, [1] * 3, device="GPU")]]
    write(little_benchmark, "weak/test", ("last", 3), *blocks)
    (found,) = cluster_study(open_results(little_benchmark.root), replicates=1).to_pylist()
    assert found["seconds"] is found["forwards"] is None
    assert found["deletion_top1"] == 1


def test_rows_are_sorted_and_shuffled_maps_have_no_time_of_their_own(
    little_benchmark: Results, keys: list[str]
) -> None:
    block = [row(keys[0], [1, 1, 2], [2, 1, 1])]
    for model in ("weak/test", "strong/test"):
        for case in (("shuffled", 3), ("all", 10), ("last", 7), ("all", 3)):
            write(little_benchmark, model, case, block)
    table = cluster_study(open_results(little_benchmark.root), replicates=1)
    assert table.schema.equals(CLUSTER_STUDY)
    found = list(zip(*(table[name].to_pylist() for name in ("layers", "clusters")), strict=True))
    assert found == [("all", 3), ("all", 10), ("last", 7), ("shuffled", 3)] * 2
    assert table["model"].to_pylist() == ["strong/test"] * 4 + ["weak/test"] * 4
    empty = np.array([value is None for value in table["seconds"].to_pylist()])
    assert empty.tolist() == [False, False, False, True] * 2


def test_an_evaluation_that_nobody_studied_has_an_empty_table(little_benchmark: Results) -> None:
    assert len(cluster_study(little_benchmark)) == 0
