"""One run of Great Expectations over one narrow table.

In: a table, the column that names its rows, and a suite. Out: findings in the order of the suite. In between: the
context lives in memory and tells nobody; results never hold values, only the places of failing rows; an expectation
that could not be evaluated is a finding that says so, and is not met.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import great_expectations as gx
import polars as pl
from great_expectations.expectations.expectation import Expectation

from components.core.progress import Progress
from components.validate.verdict import Finding

_MESSAGE_CHARACTERS = 300


def judge(table: pl.DataFrame, key: str, suite: Sequence[Expectation]) -> list[Finding]:
    """Hold ``table`` against ``suite``; rows are named by column ``key``."""
    wanted = {"result_format": "COMPLETE", "exclude_unexpected_values": True}
    with Progress(f"checking {table.height:,} rows", total=len(suite), unit="expectations") as progress:
        expectations = gx.ExpectationSuite(name="suite", expectations=list(suite))
        outcome = _batch(table.with_columns(_numbered(table[key]))).validate(expectations, result_format=wanted)
        progress.advance(len(suite))
    results = {result["expectation_config"]["meta"]["name"]: result for result in map(_as_dict, outcome.results)}
    names = [(expectation.meta or {})["name"] for expectation in suite]
    return [_finding(results[name], table[key]) for name in names]


def _batch(table: pl.DataFrame) -> Any:
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("table")
    definition = asset.add_batch_definition_whole_dataframe("whole")
    return definition.get_batch({"dataframe": table.to_pandas(split_blocks=True)})


def _numbered(names: pl.Series) -> pl.Series:
    """A number for each name, equal for equal ones and null for none: strings the library would copy and hash twice."""
    return names.cast(pl.Categorical).to_physical()


def _as_dict(result: Any) -> dict[str, Any]:
    return dict(result.to_json_dict())


def _finding(result: dict[str, Any], keys: pl.Series) -> Finding:
    config, details = result["expectation_config"], result["result"]
    failing = tuple(map(str, keys.gather(details.get("unexpected_index_list") or [])))
    is_per_row = "element_count" in details
    return Finding(
        name=config["meta"]["name"],
        title=config["description"],
        column=config["kwargs"].get("column"),
        severity=config["severity"],
        limit=config["meta"]["limit"],
        settings=tuple(config["meta"]["settings"]),
        is_met=bool(result["success"]),
        observed=len(failing) if is_per_row else details.get("observed_value"),
        is_share=config["meta"]["is_share"],
        num_rows=len(keys) if is_per_row else None,
        failing=failing,
        fault=_fault(result["exception_info"]),
    )


def _fault(exception_info: dict[str, Any]) -> str:
    """Why an expectation could not be evaluated, in one line without the traceback; empty when it could be."""
    entries = [exception_info] if "raised_exception" in exception_info else list(exception_info.values())
    raised = [str(entry["exception_message"]) for entry in entries if entry.get("raised_exception")]
    return " ".join("; ".join(raised).split())[:_MESSAGE_CHARACTERS]
