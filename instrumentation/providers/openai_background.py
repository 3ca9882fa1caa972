"""Responses that are made in the background: their usage comes with a later request, and belongs to the call.

The span of such a call stays open until a request of this process sees that the response has ended, and
ends without usage where none does.
"""

import atexit
import os
import threading
from collections import OrderedDict

from spanledger.instrumentation.calls import Response
from spanledger.instrumentation.invocation import Invocation
from spanledger.instrumentation.providers.openai_responses import FetchAccumulator, ResponsesAccumulator
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.streams import Recording

# More open spans than this are not kept: the oldest ends without usage.
_MOST = 1_000


class OpenCalls:
    """The calls whose responses are still being made, by response id."""

    def __init__(self) -> None:
        self._registered = False
        self._begin()
        if hasattr(os, "register_at_fork"):
            # The calls are the parent's, and a lock that is held while forking would stay locked.
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._calls: OrderedDict[str, ResponseRecording] = OrderedDict()

    def hold(self, response_id: str, call: "ResponseRecording") -> None:
        with self._lock:
            if not self._registered:
                # Later than the exit of the tracer provider, which is why it runs before that.
                atexit.register(self.end_all)
                self._registered = True
            self._calls[response_id] = call
            oldest = self._calls.popitem(last=False)[1] if len(self._calls) > _MOST else None
        if oldest is not None:
            oldest.end()

    def settle(self, response_id: str | None, response: Response, failure: str | None) -> None:
        with self._lock:
            call = self._calls.pop(response_id or "", None)
        if call is not None:
            call.settle(response, failure)

    def end_all(self) -> None:
        with self._lock:
            calls, self._calls = list(self._calls.values()), OrderedDict()
        for call in calls:
            call.end()


OPEN_CALLS = OpenCalls()


class ResponseRecording(Recording):
    """One call of the Responses API; one in the background is not over when its request is."""

    def __init__(
        self, invocation: Invocation, accumulator: ResponsesAccumulator, *, background: bool
    ) -> None:
        super().__init__(invocation, accumulator)
        self._call = invocation
        self._answer = accumulator
        self._background = background
        self._held = False

    def finish(self) -> None:
        if self._answer.failure is not None:
            self.fail(self._answer.failure)
        elif not self._hold():
            super().finish()

    def abandon(self) -> None:
        if not self._held and not self._hold():
            super().abandon()

    def _hold(self) -> bool:
        if not self._background or self._answer.ended or self._answer.id is None:
            return False
        self._held = True
        OPEN_CALLS.hold(self._answer.id, self)
        return True

    def settle(self, response: Response, failure: str | None) -> None:
        """The response has ended, as a later request saw."""
        if failure is None:
            self._call.finish(response)
        else:
            self._call.fail(failure, response)

    def end(self) -> None:
        """Nobody saw the end of the response: what it used is not known."""
        super().finish()


class FetchRecording(Recording):
    """A response is looked up: a call that waits for its end gets it, this request has no usage."""

    def __init__(self, invocation: Invocation, accumulator: FetchAccumulator) -> None:
        super().__init__(invocation, accumulator)
        self._answer = accumulator

    def finish(self) -> None:
        super().finish()
        with quietly("settling a background response"):
            settle(self._answer)


def settle(answer: FetchAccumulator) -> None:
    if answer.ended:
        OPEN_CALLS.settle(answer.id, answer.fetched(), answer.failure)
