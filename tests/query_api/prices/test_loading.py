"""Price lists from files and from an address: taken whole, or not at all."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from genai_prices.update_prices import DEFAULT_UPDATE_URL

from spanledger.query_api.prices import fetch
from spanledger.schemas.errors import Misconfigured
from spanledger.schemas.price_api import PricesTaken
from spanledger.schemas.prices import PRICE_VERSION
from spanledger.schemas.settings import Settings, read_settings

IMPORT = "/api/v1/prices/import"
UPDATE = "/api/v1/prices/update"


def genai_list(price=0.5, **more):
    model = {
        "id": "acme-1",
        "match": {"starts_with": "acme-1"},
        "prices": {"input_mtok": price, "output_mtok": 2, "surprise_mtok": 1},
    }
    return [
        {"id": "acme", "name": "Acme", "api_pattern": "https://api\\.acme\\.test", "models": [model | more]}
    ]


LITELLM = {
    "acme/acme-2": {
        "litellm_provider": "acme",
        "input_cost_per_token": 1.5e-07,
        "output_cost_per_token": 6e-07,
        "some_cost_per_thing": 1,
    }
}


def versions(api):
    return [row["price_version"] for row in api.get("/api/v1/prices/lists").json()["lists"]]


def match(api, **names):
    return api.get("/api/v1/prices/match", params=names).json()


@pytest.mark.usefixtures("own_lists")
def test_a_list_of_genai_prices_is_in_use_once_it_is_imported(api):
    answer = api.post(IMPORT, params={"source": "genai-prices"}, content=json.dumps(genai_list()))
    assert answer.status_code == 200, answer.text
    taken = answer.json()
    PricesTaken.model_validate(taken)
    assert taken["loaded"] is True
    assert taken["list"]["not_understood"] == ["surprise_mtok"]
    assert (taken["list"]["models"], taken["list"]["rates"], taken["list"]["in_use"]) == (1, 2, True)
    assert (
        match(api, provider="acme", model="acme-1-large")["entry"]["price_version"]
        == taken["list"]["price_version"]
    )
    states = {row["price_version"]: row["in_use"] for row in api.get("/api/v1/prices/lists").json()["lists"]}
    assert states[PRICE_VERSION] is False
    again = api.post(IMPORT, params={"source": "genai-prices"}, content=json.dumps(genai_list()))
    assert again.json() == taken | {"loaded": False}


@pytest.mark.usefixtures("own_lists")
def test_a_list_of_litellm_prices_what_the_other_does_not(api):
    assert match(api, model="acme-2", provider="acme")["entry"] is None
    taken = api.post(IMPORT, params={"source": "litellm"}, content=json.dumps(LITELLM)).json()
    assert taken["list"]["not_understood"] == ["some_cost_per_thing"]
    found = match(api, provider="acme", model="acme-2")
    assert (found["entry"]["source"], found["entry"]["name"]) == ("litellm", "acme:acme/acme-2")
    assert found["rates"][0]["prices"][0]["price"] == "0.15"
    assert match(api, provider="openai", model="gpt-4o-mini")["entry"]["source"] == "genai-prices"


@pytest.mark.parametrize(
    ("source", "body", "words"),
    [
        ("genai-prices", b"{", "not JSON"),
        ("genai-prices", b"{}", "not a list of providers"),
        ("genai-prices", b"[]", "no model with a price"),
        ("genai-prices", json.dumps(genai_list(price=-1)).encode(), "acme-1"),
        ("genai-prices", json.dumps(genai_list(match={"like": "x"})).encode(), "there is no clause 'like'"),
        ("litellm", b"[]", "not an object of models"),
        ("openrouter", b"{}", "allowed: genai-prices, litellm"),
        (None, b"{}", "query.source"),
    ],
)
def test_of_a_wrong_list_nothing_is_stored(api, source, body, words):
    before = versions(api)
    answer = api.post(IMPORT, params={"source": source} if source else {}, content=body)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
    assert versions(api) == before


def test_a_list_beyond_the_bound_is_refused(api, monkeypatch):
    monkeypatch.setattr("spanledger.query_api.prices.routes.MOST_BYTES", 1 << 20)
    answer = api.post(IMPORT, params={"source": "litellm"}, content=b" " * ((1 << 20) + 1))
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


@contextmanager
def serving(body=b"", status=200, **headers):
    """A server of one file on loopback; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/data.json"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.usefixtures("own_lists")
def test_the_current_list_is_fetched_and_loaded_where_it_is_another(make_api):
    with serving(json.dumps(genai_list(price=0.25)).encode()) as url:
        api = make_api(prices_url=url)
        first = api.post(UPDATE)
        assert first.status_code == 200, first.text
        assert first.json()["loaded"] is True
        assert api.post(UPDATE).json() == first.json() | {"loaded": False}
    assert match(api, provider="acme", model="acme-1")["rates"][0]["prices"][0]["price"] == "0.25"


@pytest.mark.parametrize(
    ("body", "status", "headers", "words"),
    [
        (b"no", 404, {}, "it answers 404"),
        (b"<html>", 200, {}, "not JSON"),
        (b"", 302, {"Location": "http://list.example/data.json"}, "leads to an address that is not https"),
        (b"x" * 2000, 200, {}, "it has more than"),
    ],
)
def test_where_it_cannot_be_had_that_is_said_and_nothing_is_stored(  # noqa: PLR0917
    make_api, monkeypatch, body, status, headers, words
):
    monkeypatch.setattr(fetch, "MOST_BYTES", 1999)
    with serving(body, status, **headers) as url:
        api = make_api(prices_url=url)
        before = versions(api)
        answer = api.post(UPDATE)
    assert answer.status_code == 502
    assert words in answer.json()["detail"]
    assert versions(api) == before


def test_a_server_that_is_not_there_is_said_with_a_way_out(make_api):
    with serving() as url:
        pass
    answer = make_api(prices_url=url).post(UPDATE)
    assert answer.status_code == 502
    assert "cannot be had" in answer.json()["detail"]
    assert "spanledger prices import FILE" in answer.json()["detail"]


def test_the_address_is_that_of_genai_prices_itself():
    assert Settings().prices_url == DEFAULT_UPDATE_URL


@pytest.mark.parametrize("url", ["http://list.example/data.json", "file:///etc/hostname", "https://", "x"])
def test_an_address_is_https_or_on_this_machine(url):
    with pytest.raises(Misconfigured, match=r"need https://\.\.\., or http://\.\.\. on loopback"):
        read_settings(prices_url=url)
