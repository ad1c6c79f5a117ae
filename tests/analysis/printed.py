"""Numbers as the paper prints them."""

from pathlib import Path

TABLE_2 = Path(__file__).with_name("table2.csv")
