"""The tables of docs/chaos.md are those of the recorded campaign."""

from campaigns.chaos import tables


def test_the_tables_are_those_of_the_record() -> None:
    text = tables.PAGE.read_text(encoding="utf-8")
    assert sorted(name for _, name, _ in tables.TABLE.findall(text)) == sorted(tables.TABLES)
    assert tables.written(text) == text, "run `python -m campaigns.chaos.tables`"
