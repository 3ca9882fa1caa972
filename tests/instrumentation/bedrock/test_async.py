"""aiobotocore's clients are recorded as boto3's are."""

import asyncio
import gc
import json
from typing import Any

import pytest
import wrapt
from aiobotocore.config import AioConfig
from aiobotocore.eventstream import AioEventStream
from aiobotocore.session import get_session
from botocore.exceptions import ClientError, EventStreamError
from opentelemetry.trace import StatusCode

from spanledger.instrumentation.providers import bedrock
from tests.instrumentation.bedrock.asking import ACCESS, converse, invoke
from tests.instrumentation.bedrock.test_calls import assert_billed

pytestmark = pytest.mark.usefixtures("by_the_conventions")


@pytest.fixture
def make_client(url: str) -> Any:
    config = AioConfig(retries={"total_max_attempts": 1})
    return lambda: get_session().create_client("bedrock-runtime", endpoint_url=url, config=config, **ACCESS)


def test_every_operation_is_one_span_with_its_usage(spans, make_client, stub):
    async def run() -> None:
        async with make_client() as client:
            await client.converse(**converse())
            body = (await client.invoke_model(**invoke()))["body"]
            assert json.loads(await body.read())["type"] == "message"
            stream = (await client.converse_stream(**converse()))["stream"]
            assert isinstance(stream, AioEventStream)
            assert len([event async for event in stream]) > 4
            chunks = (await client.invoke_model_with_response_stream(**invoke()))["body"]
            assert [chunk async for chunk in chunks]

    asyncio.run(run())
    assert len(spans.all()) == 4
    for span, billed in zip(spans.all(), stub.bills, strict=True):
        assert_billed(span, billed)


def test_a_body_read_as_a_context_or_in_pieces(spans, make_client, stub):
    async def run() -> None:
        async with make_client() as client:
            async with (await client.invoke_model(**invoke()))["body"] as body:
                assert await body.read()
            body = (await client.invoke_model(**invoke()))["body"]
            assert [chunk async for chunk in body.iter_chunks(64)]

    asyncio.run(run())
    for span, billed in zip(spans.all(), stub.bills, strict=True):
        assert_billed(span, billed)


def test_errors_at_once_and_in_a_stream(spans, make_client):
    async def run() -> None:
        async with make_client() as client:
            with pytest.raises(ClientError):
                await client.converse(**converse(status=429, code="ThrottlingException"))
            stream = (await client.converse_stream(**converse(error_after=2)))["stream"]
            with pytest.raises(EventStreamError):
                async for _event in stream:
                    pass

    asyncio.run(run())
    assert [span.attributes["error.type"] for span in spans.all()] == [
        "botocore.errorfactory.ThrottlingException",
        "throttlingException",
    ]


def test_cancelled_while_waiting_and_in_mid_stream_case_23(spans, make_client):
    """Case 23: one error span each, and the task stays cancelled."""

    async def waiting(client: Any) -> None:
        await client.converse(**converse(delay_ms=3000))

    async def reading(client: Any) -> None:
        async for _event in (await client.converse_stream(**converse(chunk_delay_ms=100)))["stream"]:
            pass

    async def run() -> None:
        async with make_client() as client:
            for work in (waiting, reading):
                task = asyncio.create_task(work(client))
                await asyncio.sleep(0.4)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(run())
    gc.collect()
    assert [span.attributes["error.type"] for span in spans.all()] == [
        "asyncio.exceptions.CancelledError"
    ] * 2


def test_a_stream_left_early_is_one_span_case_3(spans, make_client):
    """Case 3, async."""

    async def run() -> None:
        async with make_client() as client:
            stream = (await client.converse_stream(**converse()))["stream"]
            async for _event in stream:
                break
            stream.close()

    asyncio.run(run())
    gc.collect()
    span = spans.one()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["gen_ai.response.finish_reasons"] == ("error",)


class Heard:
    """Stands for a recording."""

    def __init__(self) -> None:
        self.chunks: list[Any] = []
        self.ended = 0
        self.producing = False

    def chunk(self, chunk: Any) -> None:
        self.chunks.append(chunk)

    def finish(self) -> None:
        self.ended += 1

    fail = abandon = closed = finish


class StreamOfVersion2:
    """As an event stream of aiobotocore 2 is made: its frames are awaited, and parsed without waiting."""

    def __init__(self) -> None:
        self._event_generator = self._frames()

    async def _frames(self) -> Any:
        yield "one"
        yield "two"

    async def __aiter__(self) -> Any:
        async for frame in self._event_generator:
            yield self._parse_event(frame)

    def _parse_event(self, frame: str) -> dict[str, str]:
        return {"event": frame}

    def close(self) -> None:
        return


def test_events_of_aiobotocore_2_stay_what_they_are():
    """The user of a version that parses without waiting must not get coroutines."""
    heard: Any = Heard()
    stream = StreamOfVersion2()
    bedrock._watch_events(stream, heard)

    async def read() -> list[Any]:
        return [event async for event in stream]

    events = asyncio.run(read())
    assert events == heard.chunks == [{"event": "one"}, {"event": "two"}]
    assert heard.ended == 1


class Connection:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class BodyOfVersion2(wrapt.ObjectProxy):
    """As a body of aiobotocore 2 is made: a proxy of the connection."""

    def __init__(self, connection: Connection, data: bytes) -> None:
        super().__init__(connection)
        self._self_data = data
        self._self_content_length = str(len(data))
        self._self_amount_read = 0

    async def read(self, amt: int | None = None) -> bytes:
        data, self._self_data = self._self_data[:amt], b"" if amt is None else self._self_data[amt:]
        self._self_amount_read += len(data)
        return data


def test_a_body_of_aiobotocore_2_gets_its_methods_back():
    heard: Any = Heard()
    connection = Connection()
    body = BodyOfVersion2(connection, b'{"type": "message"}')
    bedrock._WatchedBody(body, heard)

    async def read() -> bytes:
        return b"".join([await body.read(10), await body.read(9)])

    assert json.loads(asyncio.run(read())) == {"type": "message"}
    assert (heard.chunks, heard.ended) == ([{"type": "message"}], 1)
    assert body.read.__self__ is body
    assert vars(connection) == {"closed": False}
    body.close()
    assert connection.closed
