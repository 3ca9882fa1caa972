"""Which LoggerProvider our events go to: our own where our exporter is, otherwise the application's.

Events are few: evaluations, and content where it was asked for in events. So our own provider is made with
the first of them.
"""

import atexit
import os
import threading
from collections.abc import Mapping
from typing import Any

from opentelemetry import _logs
from opentelemetry._logs import Logger

from spanledger.instrumentation.export import BoundedEvents, exporter_for
from spanledger.instrumentation.quiet import quietly
from spanledger.instrumentation.tracers import package_version

_SCOPE = "spanledger.instrumentation"


class _Own:
    """Our own provider, as far as it was made."""

    def __init__(self) -> None:
        self._unlock()
        if hasattr(os, "register_at_fork"):
            # A lock that another thread holds while forking would stay locked in the child.
            os.register_at_fork(after_in_child=self._unlock)
        self.where: tuple[str | None, Mapping[str, str] | None, Any] | None = None
        self.provider: Any = None

    def _unlock(self) -> None:
        self.lock = threading.Lock()


_own = _Own()


def export_to(endpoint: str | None, headers: Mapping[str, str] | None, resource: Any) -> None:
    """From now on events go where our spans go."""
    with _own.lock:
        if _own.where is None:
            _own.where = (endpoint, headers, resource)


def stop() -> None:
    """Send what is left; later events go to the application's provider, if it has one."""
    with _own.lock:
        _own.where = None
        provider, _own.provider = _own.provider, None
    if provider is not None:
        with quietly("sending the last events"):
            provider.shutdown()


def flush() -> None:
    """Send what was recorded so far."""
    provider = _own.provider
    if provider is not None:
        provider.force_flush()


def logger() -> Logger:
    """Looked up for every event, so a provider that is set later is found."""
    provider = _own.provider
    if provider is None and _own.where is not None:
        with quietly("setting up the export of events"):
            provider = _made()
    return _logs.get_logger(_SCOPE, package_version(), logger_provider=provider)


def _made() -> Any:
    from opentelemetry.sdk._logs import LoggerProvider

    with _own.lock:
        if _own.provider is None and _own.where is not None:
            endpoint, headers, resource = _own.where
            exporter: Any = exporter_for(endpoint, headers, "logs")
            if exporter is None:
                _own.where = None
                return None
            provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
            provider.add_log_record_processor(BoundedEvents(exporter))
            _own.provider = provider
            atexit.register(stop)
        return _own.provider
