"""What a stage has to do: the same blocks for every process, shared without overlap."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covar_gen.core.errors import IncompleteInputError
from covar_gen.core.files import Staging
from covar_gen.core.flow import step_of
from covar_gen.core.journal import Journal
from covar_gen.core.plan import Plan, cut, expected, lacks, make_plan, parents_of, source_of
from covar_gen.core.ranks import Ranks
from covar_gen.core.recipe import Background, Backgrounds, Class, Classes, Masks, Recipe, Scale
from covar_gen.core.rows import Row
from covar_gen.core.store import Run, create_run

MASKS, BACKGROUNDS = step_of("masks_sources"), step_of("backgrounds")

counts_and_block = st.tuples(
    st.lists(st.integers(0, 12), max_size=30).map(lambda c: np.array(c, np.int64)),
    st.integers(1, 10),
)


@settings(max_examples=150, deadline=None)
@given(counts_and_block)
def test_blocks_cover_every_key_in_order_and_none_is_too_large(
    given_: tuple[np.ndarray, int],
) -> None:
    counts, block = given_
    starts = cut(counts, block).tolist()
    assert starts[0] == 0
    assert starts[-1] == counts.sum()
    assert all(0 < stop - start <= block for start, stop in pairwise(starts))


@settings(max_examples=150, deadline=None)
@given(counts_and_block)
def test_siblings_that_fit_into_a_block_are_never_parted(given_: tuple[np.ndarray, int]) -> None:
    counts, block = given_
    starts = set(cut(counts, block).tolist())
    stop = 0
    for count in counts.tolist():
        start, stop = stop, stop + count
        if count <= block:
            assert not starts & set(range(start + 1, stop))


@settings(max_examples=80, deadline=None)
@given(counts_and_block)
def test_neighbouring_blocks_are_only_kept_apart_where_they_would_part_siblings(
    given_: tuple[np.ndarray, int],
) -> None:
    counts, block = given_
    starts = cut(counts, block).tolist()
    ends = set(np.cumsum(counts).tolist())
    for start, middle, _stop in zip(starts, starts[1:], starts[2:], strict=False):
        following = next(end for end in sorted(ends) if end > middle)
        assert following - start > block or middle - start == block


def test_blocks_worked_by_hand() -> None:
    assert cut(np.array([3, 3, 3]), 6).tolist() == [0, 6, 9]
    assert cut(np.array([3, 3, 3]), 5).tolist() == [0, 3, 6, 9]
    assert cut(np.array([1] * 7), 3).tolist() == [0, 3, 6, 7]
    assert cut(np.array([2, 7, 1]), 3).tolist() == [0, 2, 5, 8, 10]
    assert cut(np.array([0, 2, 0, 2]), 4).tolist() == [0, 4]
    assert cut(np.array([], np.int64), 4).tolist() == [0]


def plan(counts: np.ndarray, block: int, missing: list[bool] | None = None) -> Plan:
    total = int(counts.sum())
    return Plan(
        parents=pa.table({"key": [str(n) for n in range(len(counts))]}),
        keys=pa.array([f"k{n:04}" for n in range(total)], pa.string()),
        parent_of=np.repeat(np.arange(len(counts)), counts),
        starts=cut(counts, block),
        missing=np.ones(total, np.bool_) if missing is None else np.array(missing, np.bool_),
    )


@settings(max_examples=80, deadline=None)
@given(counts_and_block, st.integers(1, 7))
def test_the_blocks_of_all_processes_are_a_partition(
    given_: tuple[np.ndarray, int], world: int
) -> None:
    made = plan(*given_)
    blocks = [b for rank in range(world) for b in made.blocks(Ranks(rank, world))]
    assert sorted(n for block in blocks for n in block) == list(range(len(made.keys)))
    assert {(b.start, b.stop) for b in blocks} == set(pairwise(made.starts.tolist()))
    assert sum(made.share(Ranks(rank, world)) for rank in range(world)) == len(made.keys)


@settings(max_examples=80, deadline=None)
@given(counts_and_block, st.data())
def test_blocks_are_shared_first_and_filtered_second(
    given_: tuple[np.ndarray, int], data: st.DataObject
) -> None:
    counts, block = given_
    total = int(counts.sum())
    missing = data.draw(st.lists(st.booleans(), min_size=total, max_size=total))
    world = data.draw(st.integers(1, 5))
    every, some = plan(counts, block), plan(counts, block, missing)
    for rank in range(world):
        ranks = Ranks(rank, world)
        mine = [b for b in every.blocks(ranks) if any(missing[b.start : b.stop])]
        assert list(some.blocks(ranks)) == mine
        assert some.share(ranks) == sum(sum(missing[b.start : b.stop]) for b in mine)


def recipe() -> Recipe:
    classes = [
        Class(class_id=1, class_name="ant", label="ant", folder="ant"),
        Class(class_id=2, class_name="bee", label="bee", folder="bee"),
    ]
    places = [
        Background(background_id=7, description="beach"),
        Background(background_id=3, description="room"),
        Background(background_id=12, description="moon"),
    ]
    return Recipe(
        name="planned",
        block=4,
        classes=Classes(source="folder", classes=classes),
        masks=Masks(segmenter="grabcut"),
        backgrounds=Backgrounds(editor="collage", backgrounds=places),
        scale=Scale(inpainter="telea", factors=[2.0, 8.0]),
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(tmp_path / "run", recipe())


def put(run: Run, table: str, keys: list[str], **same: object) -> None:
    """Rows of a table, written by a process of their own."""
    rows: list[Row] = [{"key": key, "status": "ok", **same} for key in keys]
    staging = Staging(run.root)
    journal = Journal(run.folder(table), table, staging)
    journal.append(rows)
    journal.abandon()
    staging.close()


def outputs(parent: str) -> list[str]:
    return [f"{parent.rpartition('/')[0]}/{number:02d}" for number in (3, 7, 12)]


PHOTOGRAPHS = [f"{c}/p{n}/original" for c, total in (("ant", 5), ("bee", 2)) for n in range(total)]


def test_a_stage_whose_input_was_not_begun_names_the_command(run: Run) -> None:
    with pytest.raises(IncompleteInputError) as error:
        parents_of(run, MASKS)
    assert f"python -m covar_gen.stage_classes --run {run.root}" in error.value.mend


def test_a_stage_whose_input_is_incomplete_says_how_much_is_lacking(
    run: Run,
) -> None:
    put(run, "sources", PHOTOGRAPHS)
    put(run, "masks_sources", PHOTOGRAPHS[:4])
    with pytest.raises(IncompleteInputError, match="lacks 3 rows") as error:
        make_plan(run, BACKGROUNDS, outputs)
    command = f"python -m covar_gen.stage_masks --run {run.root} --of sources"
    assert command in error.value.mend


def test_the_plan_of_a_table_is_every_child_of_every_parent_in_order(
    run: Run,
) -> None:
    put(run, "sources", PHOTOGRAPHS[::-1])
    put(run, "masks_sources", PHOTOGRAPHS)
    made = make_plan(run, BACKGROUNDS, outputs)
    wanted = [f"{p.removesuffix('/original')}/{n}" for p in PHOTOGRAPHS for n in ("03", "07", "12")]
    assert made.keys.to_pylist() == wanted
    assert made.parents["key"].to_pylist() == PHOTOGRAPHS
    assert [made.parents["key"][n].as_py() for n in made.parent_of] == [
        p for p in PHOTOGRAPHS for _ in range(3)
    ]
    # Three siblings to a block of four: a fourth key would part the next three.
    assert made.starts.tolist() == list(range(0, 22, 3))
    assert made.missing.all()


def test_what_is_done_is_not_missing_whatever_its_status(run: Run) -> None:
    put(run, "sources", PHOTOGRAPHS)
    put(run, "masks_sources", PHOTOGRAPHS)
    put(run, "backgrounds", ["ant/p0/03", "bee/p1/12"])
    put(run, "backgrounds", ["ant/p4/07"], status="rejected", reason="tool_failed")
    made = make_plan(run, BACKGROUNDS, outputs)
    done = [
        key for key, missing in zip(made.keys.to_pylist(), made.missing, strict=True) if not missing
    ]
    assert done == ["ant/p0/03", "ant/p4/07", "bee/p1/12"]
    assert lacks(run, "backgrounds") == 18


def test_masks_are_joined_and_refuse_their_parents(run: Run) -> None:
    put(run, "sources", PHOTOGRAPHS[:2])
    put(run, "masks_sources", PHOTOGRAPHS[:1], mask="m0.png")
    put(run, "masks_sources", PHOTOGRAPHS[1:2], status="rejected")
    parents = parents_of(run, BACKGROUNDS).to_pylist()
    assert [(p["mask"], p["status"]) for p in parents] == [("m0.png", "ok"), (None, "rejected")]


def test_expected_rows_follow_from_the_photographs(run: Run) -> None:
    assert lacks(run, "sources") == 1
    put(run, "sources", PHOTOGRAPHS)
    assert lacks(run, "sources") == 0
    tables = ["sources", "masks_sources", "backgrounds", "masks_backgrounds", "scale"]
    assert [expected(run, table) for table in tables] == [7, 7, 21, 21, 42]


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        (1, ["ant/p0"]),
        (2, ["ant/p0", "bee/p0"]),
        (3, ["ant/p0", "ant/p2", "bee/p0"]),
        (5, ["ant/p0", "ant/p2", "ant/p3", "bee/p0", "bee/p1"]),
        (99, ["ant/p0", "ant/p2", "ant/p3", "ant/p4", "bee/p0", "bee/p1"]),
    ],
)
def test_a_limit_takes_good_photographs_evenly_from_the_classes(
    run: Run, limit: int, wanted: list[str]
) -> None:
    put(run, "sources", [key for key in PHOTOGRAPHS if key != "ant/p1/original"])
    put(run, "sources", ["ant/p1/original"], status="rejected", reason="truncated")
    found = parents_of(run, MASKS, limit)["key"].to_pylist()
    assert found == [f"{name}/original" for name in wanted]
    assert expected(run, "backgrounds", limit) == 3 * len(wanted)


def test_a_limit_leaves_every_row_in_its_block(run: Run) -> None:
    put(run, "sources", PHOTOGRAPHS)
    whole = make_plan(run, MASKS, lambda parent: [parent])
    part = make_plan(run, MASKS, lambda parent: [parent], limit=3)
    assert part.keys.equals(whole.keys)
    assert part.starts.tolist() == whole.starts.tolist() == [0, 4, 7]
    assert np.flatnonzero(part.missing).tolist() == [0, 1, 5]
    put(run, "masks_sources", [PHOTOGRAPHS[0]])
    again = make_plan(run, MASKS, lambda parent: [parent], limit=3)
    assert np.flatnonzero(again.missing).tolist() == [1, 5]


def test_a_limited_plan_reaches_as_far_as_its_input(run: Run) -> None:
    put(run, "sources", PHOTOGRAPHS)
    put(run, "masks_sources", [PHOTOGRAPHS[0], PHOTOGRAPHS[3], PHOTOGRAPHS[5]])
    made = make_plan(run, BACKGROUNDS, outputs, limit=2)
    assert made.parents["key"].to_pylist() == [PHOTOGRAPHS[n] for n in (0, 3, 5)]
    missing = [made.keys[n].as_py() for n in np.flatnonzero(made.missing)]
    wanted = ["ant/p0/03", "ant/p0/07", "ant/p0/12", "bee/p0/03", "bee/p0/07", "bee/p0/12"]
    assert missing == wanted
    with pytest.raises(IncompleteInputError, match="lacks 1 rows"):
        make_plan(run, BACKGROUNDS, outputs, limit=3)


def test_every_key_leads_back_to_its_photograph() -> None:
    keys = ["a/b/original", "a/b/07", "a/b/07/scale_8", "a/b.c-1/12/viewpoint_2"]
    found = source_of(pa.chunked_array([keys])).to_pylist()
    assert found == ["a/b/original"] * 3 + ["a/b.c-1/original"]
