"""Holds Parquet files against rules with Great Expectations over pandas: python checks_great_expectations.py <
{"files", "rules"}; prints which fail. It has no dialect for DuckDB; pandas is what it reads files with."""
import datetime
import json
import os
import sys

os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx  # noqa: E402
import great_expectations.expectations as gxe  # noqa: E402
import pyarrow.dataset  # noqa: E402


def expectation(rule, frame):
    column = rule.get("column")
    match rule["kind"]:
        case "required":
            return gxe.ExpectColumnValuesToNotBeNull(column=column)
        case "range":
            return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=rule["min"], max_value=rule["max"])
        case "length":
            return gxe.ExpectColumnValueLengthsToBeBetween(column=column, min_value=rule.get("min"), max_value=rule["max"])
        case "accepted_values":
            return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=rule["values"])
        case "pattern":
            return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=rule["pattern"])
        case "since":
            since = datetime.datetime.fromisoformat(rule["min"])
            return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=since)
        case _:
            # Conditions over rows have no expectation with pandas: a column that says whether one holds stands for it.
            frame[rule["name"]] = frame.eval(rule["holds"])
            return gxe.ExpectColumnValuesToBeInSet(column=rule["name"], value_set=[True])


def main():
    asked = json.load(sys.stdin)
    columns = ["event_id", "user_id", "kind", "amount", "url", "ts"]
    table = pyarrow.dataset.dataset(asked["files"]).to_table(columns=columns)
    # Decimals are objects of Python in pandas, which would cost it more than everything else.
    place = table.schema.get_field_index("amount")
    table = table.set_column(place, "amount", table.column("amount").cast("double"))
    frame = table.to_pandas(self_destruct=True, split_blocks=True)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite = context.suites.add(gx.ExpectationSuite(name="rules"))
    # Of rules that ask the same it keeps one.
    names = {}
    for rule in asked["rules"]:
        what = json.dumps({key: value for key, value in rule.items() if key != "name"}, sort_keys=True)
        names.setdefault(what, []).append(rule["name"])
        if len(names[what]) == 1:
            one = expectation(rule, frame)
            one.meta = {"what": what}
            suite.add_expectation(one)
    source = context.data_sources.add_pandas("bench").add_dataframe_asset("events").add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="rules", data=source, suite=suite))
    result = definition.run(batch_parameters={"dataframe": frame}, result_format="BOOLEAN_ONLY")
    broken = [one for one in result.results if one.exception_info and one.exception_info.get("raised_exception")]
    assert not broken, broken[0]
    assert len(result.results) == len(names), f"{len(result.results)} results"
    failing = [names[one.expectation_config.meta["what"]] for one in result.results if not one.success]
    print(json.dumps({"failing": sorted(name for some in failing for name in some)}))


main()
