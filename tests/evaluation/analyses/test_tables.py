"""All tables of the report alike."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from covar_gen.evaluation.analyses import TABLES
from covar_gen.evaluation.analyses.columns import REAL, TEXT, columns, stack, table
from covar_gen.evaluation.results import Results

Writer = Callable[..., Results]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_what_its_columns_mean(name: str, little_benchmark: Results) -> None:
    found = TABLES[name].make(little_benchmark)
    assert TABLES[name].title
    assert len(found) or TABLES[name].needs
    for field in found.schema:
        assert field.metadata[b"meaning"].decode()


@pytest.mark.parametrize("name", TABLES)
def test_the_same_folder_gives_the_same_table(name: str, little_benchmark: Results) -> None:
    make = TABLES[name].make
    assert make(little_benchmark).equals(make(little_benchmark))


@pytest.mark.parametrize("name", TABLES)
def test_data_about_which_little_is_known_makes_the_same_columns(
    name: str, evaluation: Writer, little_benchmark: Results
) -> None:
    found = TABLES[name].make(evaluation([{"label": 0}, {"label": 1}], {"m": [0, 0]}))
    assert found.schema == TABLES[name].make(little_benchmark).schema
    if TABLES[name].needs:
        assert not len(found)


@pytest.mark.parametrize("name", TABLES)
def test_intervals_enclose_what_they_are_of(name: str, little_benchmark: Results) -> None:
    found = TABLES[name].make(little_benchmark)
    for column in found.column_names:
        if f"{column}_low" not in found.column_names:
            continue
        for row in found.select([column, f"{column}_low", f"{column}_high"]).to_pylist():
            value, low, high = row.values()
            assert (low is None) == (high is None)
            # The maximum over subsets leans upwards in every replicate.
            if low is not None and name != "class_drops":
                assert low - 1e-9 <= value <= high + 1e-9


def test_what_is_not_a_number_is_null() -> None:
    schema = columns(name=(TEXT, "a name"), value=(REAL, "a value"))
    found = table(schema, {"name": ["a", None], "value": [float("nan"), 2.0]})
    assert found.to_pylist() == [{"name": "a", "value": None}, {"name": None, "value": 2.0}]


def test_parts_are_stacked_and_single_values_repeated() -> None:
    schema = columns(name=(TEXT, "a name"), value=(REAL, "a value"))
    found = stack(schema, [{"name": "a", "value": [1, 2]}, {"name": ["b"], "value": 3}])
    assert found["name"].to_pylist() == ["a", "a", "b"]
    assert found["value"].to_pylist() == [1, 2, 3]
    assert stack(schema, []).equals(pa.table({"name": [], "value": []}, schema=schema))
