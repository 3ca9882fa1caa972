"""An answer in parts is one answer: its length is told first, and every byte of it arrives in order."""

from starlette.testclient import TestClient

from spanledger.query_api.trees.routes import InParts


def test_all_of_many_parts_arrive_in_their_order_with_the_length_in_front():
    whole = b"".join(b"%d," % n for n in range(5_000))
    view = memoryview(whole)
    parts = [b"[", *(view[at : at + 7] for at in range(0, len(whole), 7)), b"]"]
    answer = TestClient(InParts(parts, media_type="application/json")).get("/")
    assert answer.content == b"[" + whole + b"]"
    assert answer.headers["content-length"] == str(len(whole) + 2)
    assert answer.headers["content-type"] == "application/json"
    assert "transfer-encoding" not in answer.headers
