"""Makes the SQL of the ingest: from the bytes of a request to the rows of `spans`, in three views.

    ingest         Null table: ClickHouse parses requests into it, as schemas/otlp.proto describes them
      unpack       view: one row a span; what is stored as sent; attributes as parallel arrays
    ingest_rows    Null table
      recognise    view: attributes by type, content apart, the canonical columns of schemas/dialects.py
    ingest_fields  Null table
      price        view: what counts, what it costs, or why that is not known
    spans

`python -m spanledger.schemas.ingest_sql` prints it; what it prints is committed as a migration, and a
test holds the two together. What its shape comes from:

* ClickHouse analyses a view anew for every insert, and that time grows faster than the text: three
  views instead of one, each a pile of stages with short names (an expression that refers to another
  of the same SELECT is analysed as if it were written out). It grows with columns times stages too:
  what is only passed on travels as one tuple (`sent`, `found`) and is taken apart in the last view.
* No lambda refers to an array from outside itself: that array would be copied for every element.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spanledger.schemas.ingest_price import price_view
from spanledger.schemas.ingest_recognise import recognise_view
from spanledger.schemas.ingest_unpack import TABLE, VALUE_JSON, unpack_view
from spanledger.schemas.sql_text import select_list


def ingest_sql() -> str:
    """All statements of the ingest, in the order in which they must be run."""
    sent, arrays, requests = unpack_view()
    found, fields, rows = recognise_view()
    priced, known = price_view()
    unpack = _packed("sent", sent, arrays, requests)
    recognise = _packed("found", found, {"sent": "sent"} | fields, rows)
    price = _taken_apart({"sent": sent, "found": found}, priced, known)
    return "\n".join(
        (
            "-- Made by `python -m spanledger.schemas.ingest_sql`; change that, not this.\n",
            TABLE,
            _null_table("ingest_rows", unpack),
            _null_table("ingest_fields", recognise),
            # The way in is opened last: a row that no view takes up is lost.
            _view("price", "spans", price),
            _view("recognise", "ingest_fields", recognise),
            _view("unpack", "ingest_rows", unpack),
        )
    )


def _packed(name: str, members: Mapping[str, str], beside: Mapping[str, str], source: str) -> str:
    """Select the members as one tuple called `name`, and the columns beside it."""
    values = ",\n    ".join(members.values())
    return (
        f"WITH (v -> {VALUE_JSON}) AS value_json\n"
        f"SELECT\n    {select_list(beside)},\n    tuple(\n    {values}) AS {name}\nFROM\n({source})"
    )


def _taken_apart(packed: Mapping[str, Iterable[str]], columns: Mapping[str, str], source: str) -> str:
    """Select the members of the tuples by their names, and `columns`.

    No expression of `columns` may refer to a source column that has the name of another of them.
    """
    members = {
        name: f"tupleElement({tuple_name}, {n})"
        for tuple_name, names in packed.items()
        for n, name in enumerate(names, start=1)
    }
    return f"SELECT\n    {select_list(members | dict(columns))}\nFROM\n({source})"


def _null_table(name: str, query: str) -> str:
    return f"CREATE TABLE IF NOT EXISTS {name} ENGINE = Null EMPTY AS\n{query};\n"


def _view(name: str, target: str, query: str) -> str:
    return f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} TO {target} AS\n{query};\n"


if __name__ == "__main__":
    print(ingest_sql(), end="")
