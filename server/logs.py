"""Logs: one line an event on standard error, for a person or as JSON, and nothing in it of what was sent.

Whoever logs says what happened in words and numbers of our own. What comes from elsewhere can hold a prompt:
the text of an exception, the locals in its frames, the message of another library. Of exceptions a line has
what `in_words` lets through, of other libraries their warnings without their arguments.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from spanledger.server.log_errors import in_words, whole_story

LogFormat = Literal["auto", "console", "json"]
_OURS = "spanledger"
_FOREIGN_CHARACTERS = 300
# What would begin another line, or steer the terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def configure_logs(level: str, log_format: LogFormat = "auto") -> None:
    """Send our events of `level` and above, and warnings of other libraries, to standard error.

    `auto` is `console` where standard error is a terminal, and `json` elsewhere.
    """
    console = sys.stderr.isatty() if log_format == "auto" else log_format == "console"
    stamped: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Processor] = (
        [_on_one_line, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if console
        else [structlog.processors.JSONRenderer()]
    )
    # Both ways to log, structlog's and the standard library's, end in this one formatter.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_message_without_data, *stamped],
            processors=[
                _errors_in_words,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *rendered,
            ],
            use_get_message=False,
            pass_foreign_args=True,
        )
    )
    structlog.configure(
        processors=[*stamped, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    # Other libraries tell of every request once they may: addresses with queries in them, headers, bodies.
    logging.basicConfig(level=max(logging.WARNING, _number(level)), handlers=[handler], force=True)
    logging.getLogger(_OURS).setLevel(_number(level))


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _message_without_data(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The message of a record of the standard library, with its arguments as far as they may be seen."""
    record: logging.LogRecord = event["_record"]
    ours = f"{record.name}.".startswith(f"{_OURS}.")
    template = str(event["event"])
    arguments = event.pop("positional_args", None) or ()
    if isinstance(arguments, dict):
        shown: object = {name: _shown(value, ours=ours) for name, value in arguments.items()}
    else:
        shown = tuple(_shown(value, ours=ours) for value in arguments)
    try:
        text = template % shown if arguments else template
    except (TypeError, ValueError, KeyError):  # a %d that was given no number
        text = template
    # asyncio adds lines about the task, with its exception as text.
    event["event"] = text if ours else text.partition("\n")[0][:_FOREIGN_CHARACTERS]
    return event


def _shown(value: object, *, ours: bool) -> object:
    if isinstance(value, BaseException):
        return in_words(value)
    return value if ours or isinstance(value, int | float) else "…"


def _errors_in_words(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Exceptions as words, wherever they stand; a traceback as the places it went through."""
    for name, value in event.items():
        if isinstance(value, BaseException):
            event[name] = in_words(value)
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()
    error = raised[1] if isinstance(raised, tuple) else raised
    if isinstance(error, BaseException):
        event["error"] = whole_story(error)
    event.pop("stack_info", None)
    return event


def _on_one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    def escaped(found: re.Match[str]) -> str:
        return found.group().encode("unicode_escape").decode()

    return {
        name: _CONTROL.sub(escaped, value) if isinstance(value, str) else value
        for name, value in event.items()
    }
