"""What the tags of a row of the paper say."""

from types import SimpleNamespace
from typing import Any

from tracking import published, schema


def row(**values: float) -> Any:
    return SimpleNamespace(table=4, steps=(), values=values)


def test_what_diverged_on_the_way_is_named_in_order() -> None:
    inf = float("inf")
    last = row(g=inf, c=-inf, h=1.0)
    tags = published._tags(last, [row(f=inf, b=inf, d=0.0), row(a=inf, e=inf), last])
    assert tags[schema.DIVERGED] == "a,b,c,e,f,g"
    assert tags[schema.NOTE].startswith("Printed in Table 4 of ")
    assert schema.DIVERGED not in published._tags(row(d=0.5), [row(d=0.5)])
