"""Tables at a terminal in which numbers are whole: where there is little room, names are shortened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

Row = tuple[Sequence[Text], str]  # cells, style


def table(titles: Sequence[str], rows: Iterable[Row]) -> Table:
    """A table without lines. A title is `<name` for text that may be shortened, `name` for text that may not,
    and `>name` for numbers, which stand at the right.
    """
    listed = list(rows)
    made = Table(box=None, pad_edge=False, header_style="bold")
    for n, title in enumerate(titles):
        plain = title.lstrip("<>")
        widest = max([cell_len(plain), *(cell_len(cells[n].plain) for cells, _ in listed)])
        made.add_column(
            plain,
            justify="right" if title.startswith(">") else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=min(widest, 8 if n else 24) if title.startswith("<") else widest,
        )
    for cells, style in listed:
        made.add_row(*cells, style=style)
    return made
