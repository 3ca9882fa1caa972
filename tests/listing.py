"""The lists of the API as tests ask them: pages of spans or of traces."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.testclient import TestClient


class Listing(NamedTuple):
    """`GET /api/v1/PATH` and `POST /api/v1/PATH/search`, whose rows are told apart by a member."""

    path: str
    key: str

    def ids(self, answer: dict[str, Any]) -> list[str]:
        return [row[self.key] for row in answer[self.path]]

    def listed(self, api: TestClient, **parameters: Any) -> Any:
        answer = api.get(f"/api/v1/{self.path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def searched(self, api: TestClient, where: Any = None, **more: Any) -> Any:
        answer = api.post(f"/api/v1/{self.path}/search", json={"where": where, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pages(self, api: TestClient, **parameters: Any) -> list[list[str]]:
        """The ids on each page, to the last one."""
        found = []
        while True:
            page = self.listed(api, **parameters)
            found.append(self.ids(page))
            if page["next_cursor"] is None:
                return found
            parameters["cursor"] = page["next_cursor"]

    def all_pages(self, api: TestClient, **parameters: Any) -> list[str]:
        """The ids on all pages."""
        return [one for page in self.pages(api, **parameters) for one in page]


SPANS = Listing("spans", "span_id")
TRACES = Listing("traces", "trace_id")
