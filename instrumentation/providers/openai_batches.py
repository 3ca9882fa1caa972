"""Batches of OpenAI's API: each line of the file of answers is a call, recorded when the user fetches it.

Which files hold answers is known from the batches that this process saw. A file is read once, behind the
user's back: a thread makes the spans, slowly enough for an exporter to keep up.
"""

import atexit
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace

from spanledger.instrumentation.calls import Accumulator, Request, Response
from spanledger.instrumentation.invocation import Invocation, current
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.reading import field, items
from spanledger.instrumentation.streams import Recording
from spanledger.schemas import attributes as names

# Files that are remembered, waiting to be fetched or read already.
_MOST_FILES = 1_000
# The queue of an exporter holds some 2,000 spans by default.
_BURST, _PAUSE_S = 500, 0.2
_EXIT_S = 3.0
_TIER = "batch"


@dataclass(frozen=True, slots=True)
class Batch:
    id: str
    path: str
    model: str | None


class Files:
    """The files of answers that were heard of; each is given out once."""

    def __init__(self) -> None:
        self._unlock()
        if hasattr(os, "register_at_fork"):
            # A lock that another thread holds while forking would stay locked in the child.
            os.register_at_fork(after_in_child=self._unlock)
        self._files: OrderedDict[str, Batch | None] = OrderedDict()

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def learn(self, answer: Any) -> None:
        """Hear of a batch, or of a page of batches."""
        for batch in items(field(answer, "data")) or (answer,):
            file, endpoint = field(batch, "output_file_id"), field(batch, "endpoint")
            if isinstance(file, str) and isinstance(endpoint, str):
                known = Batch(str(field(batch, "id")), endpoint.removeprefix("/v1"), field(batch, "model"))
                with self._lock:
                    self._files.setdefault(file, known)
                    while len(self._files) > _MOST_FILES:
                        self._files.popitem(last=False)

    def get(self, file: str) -> Batch | None:
        return self._files.get(file)

    def take(self, file: str) -> Batch | None:
        with self._lock:
            batch = self._files.get(file)
            if batch is not None:
                self._files[file] = None
        return batch


FILES = Files()
_threads: list[threading.Thread] = []


def settle(timeout: float = _EXIT_S) -> None:
    """Wait for the files that are being read, at most so many seconds."""
    deadline = time.monotonic() + timeout
    for thread in _threads:
        thread.join(max(deadline - time.monotonic(), 0))


class FileAccumulator:
    """The bytes of a file as they come."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.data: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        self.data.append(chunk)

    def response(self) -> Response:
        return Response(id=self._batch.id)


@dataclass(frozen=True, slots=True)
class Line:
    """How the answers of a batch are recorded: the request of each, and who reads its body."""

    operation: str
    api_type: str | None
    accumulator: Callable[[bool], Accumulator]


class FileRecording(Recording):
    """A file of answers is fetched: read to its end, its lines are calls below this request."""

    def __init__(
        self, invocation: Invocation, file: str, batch: Batch, line: Line, start: Callable[..., Invocation]
    ) -> None:
        self._file = FileAccumulator(batch)
        super().__init__(invocation, self._file)
        self._call, self._id, self._batch, self._line, self._start = invocation, file, batch, line, start
        # Taken now: the end may come in another task.
        self._around = trace.set_span_in_context(invocation.span)

    def finish(self) -> None:
        super().finish()
        with quietly("reading a batch"):
            if FILES.take(self._id) is not None:
                self._read_in_thread()

    def _read_in_thread(self) -> None:
        if not _threads:
            atexit.register(settle)
        _threads[:] = [thread for thread in _threads if thread.is_alive()]
        thread = threading.Thread(target=self._read, name="spanledger-batch", daemon=True)
        _threads.append(thread)
        thread.start()

    def _read(self) -> None:
        data, self._file.data = b"".join(self._file.data), []
        with current(self._around):
            for number, line in enumerate(data.splitlines()):
                if number and number % _BURST == 0:
                    time.sleep(_PAUSE_S)
                with quietly("reading a line of a batch"):
                    self._record(json.loads(line))

    def _record(self, line: Any) -> None:
        answer = field(line, "response") or {}
        body = field(answer, "body")
        if field(answer, "status_code") != 200 or not isinstance(body, Mapping):
            return
        invocation = self._start(self._request(line))
        accumulator = self._line.accumulator(invocation.policy.any)
        accumulator.add(body)
        response = accumulator.response()
        response.service_tier = _TIER
        response.attributes[names.OPENAI_RESPONSE_SERVICE_TIER] = _TIER
        invocation.finish(response)

    def _request(self, line: Any) -> Request:
        asked = self._call.request
        described = {
            names.OPENAI_API_TYPE: self._line.api_type,
            names.METADATA_BATCH_ID: self._batch.id,
            names.METADATA_CUSTOM_ID: field(line, "custom_id"),
        }
        known = {key: value for key, value in described.items() if value is not None}
        return Request(
            operation=self._line.operation,
            provider=asked.provider,
            model=self._batch.model,
            attributes={**asked.attributes, **known},
        )
