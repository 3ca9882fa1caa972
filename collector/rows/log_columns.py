"""The columns of `logs`."""

from __future__ import annotations

import numpy as np
from xxhash import xxh3_128_digest

from spanledger.collector.rows import logs
from spanledger.collector.rows.columns import LOW, TEXT, TIME, Column, Columns


class LogColumns(Columns):
    """Those of `logs`."""

    def all(self) -> list[Column]:
        """Name, type and values of every column that is written."""
        c = logs
        return [
            *self.shared(),
            ("id", "FixedString(16)", [self._ids()]),
            ("time", TIME, self.numbers(c.C_TIME)),
            ("observed_time", TIME, self.numbers(c.C_OBSERVED)),
            ("severity_number", "Int32", self.numbers(c.C_SEVERITY, np.int32)),
            ("severity_text", LOW, self.distinct(c.L_SEVERITY_TEXT, c.C_SEVERITY_TEXT)),
            ("event_name", LOW, self.distinct(c.L_EVENT_NAME, c.C_EVENT_NAME)),
            ("body", TEXT, self.strings(c.C_BODY)),
        ]

    def _ids(self) -> bytes:
        """XXH3 of what was sent, 128 bits: of the record, behind those of its resource and its scope.

        Without a seed, so that the same record is the same in every process.
        """
        arena = memoryview(self.m.arena)
        known: dict[tuple[int, ...], bytes] = {}  # resource and scope are the same for many records
        ids = bytearray()
        cells = range(logs.C_RECORD, logs.C_SCOPE_SIZE + 1)
        for at, size, *above in zip(*(self.cell(cell).tolist() for cell in cells), strict=True):
            place = tuple(above)
            if place not in known:
                resource, resource_size, scope, scope_size = place
                known[place] = xxh3_128_digest(arena[resource : resource + resource_size]) + xxh3_128_digest(
                    arena[scope : scope + scope_size]
                )
            ids += xxh3_128_digest(known[place] + arena[at : at + size])
        return bytes(ids)
