"""The series that are declared have different names, and their number is bounded."""

import importlib
from pathlib import Path

ROOT = Path(__file__).parents[3]
MODULES = ["plancton.metrics.series", "vobox.metrics.series"]


def test_no_two_series_and_no_two_fields_have_one_name() -> None:
    names = []
    for module in MODULES:
        for series in importlib.import_module(module).ALL:
            names.append(series.name)
            fields = [field.name for field in series.fields]
            assert len(set(fields)) == len(fields) > 0, series.name
    assert len(set(names)) == len(names)


#: What a tag may be at a large site. A tag that is not here must not be added in passing.
VALUES = {
    "hostname": 2000,
    "site": 1,
    "schedd": 4,
    "pool": 8,
    "started": 2,
    "killed": 2,
    "reason": 5,
    "kind": 4,
    "target": 2,
    "state": 7,
    "class": 4,
}


def test_a_large_site_has_few_series_and_none_of_its_million_jobs_is_one() -> None:
    total = 0
    for module in MODULES:
        for series in importlib.import_module(module).ALL:
            number = 1
            for tag in series.tags:
                number *= VALUES[tag]
            total += number
    assert total < 50_000, "one InfluxDB bears a million; 2,000 nodes are to leave room for others"
