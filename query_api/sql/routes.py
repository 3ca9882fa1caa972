"""The routes of SQL."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from spanledger.query_api.access.callers import Project
from spanledger.query_api.parameters import TAKES_NONE
from spanledger.query_api.sql.clients import MOST_ROWS
from spanledger.query_api.sql.parameters import FORMATS, LIMIT_FORM, PARAMETER_FORM
from spanledger.query_api.sql.runs import MEDIA_TYPES, Answer, Question, Sql
from spanledger.query_api.sql.views import VIEWS
from spanledger.query_api.times import TIME_FORM, parse_time
from spanledger.schemas.errors import BadData
from spanledger.schemas.sql_api import NewQuestion, SqlResult, SqlSchema, SqlView, SqlViewColumn

sql = APIRouter(tags=["sql"])

_OTHERS: dict[str, Any] = {
    kind.partition(";")[0]: {} for kind in MEDIA_TYPES.values() if kind != "application/json"
}


@sql.post(
    "/sql",
    summary="Ask a question in SQL",
    response_class=StreamingResponse,
    responses={200: {"model": SqlResult, "content": _OTHERS, "description": "The result in the `format`."}},
    dependencies=TAKES_NONE,
)
async def ask(request: Request, project: Project, asked: NewQuestion) -> Response:
    """One SELECT over the views of the project, with ClickHouse's functions. 400 with what is wrong where the
    query cannot be run; 422 where it needs more time, memory or rows than one may take. Nothing is left out
    silently: a result of more rows than the limit is an error, unless `limit` asks for the first ones.
    """
    question = _question(project, asked)
    runs: Sql = request.app.state.sql
    return _Kept(await runs.answer(question))


@sql.get(
    "/sql/schema",
    summary="Views and columns that SQL may read",
    response_model=SqlSchema,
    dependencies=TAKES_NONE,
)
async def schema() -> SqlSchema:
    """The same for every project."""
    return SqlSchema(
        views=[
            SqlView(
                name=view.name,
                comment=view.comment,
                columns=[
                    SqlViewColumn(name=column.name, type=column.type, comment=column.comment)
                    for column in view.columns
                ],
            )
            for view in VIEWS
        ]
    )


class _Kept(StreamingResponse):
    """An answer that is complete; whoever goes away before its end, it is gone then."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(
            answer.pieces(),
            media_type=answer.media_type,
            headers={"Content-Length": str(answer.size)},
        )
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.close()


def _question(project: str, asked: NewQuestion) -> Question:
    """What is asked for; BadData names what is wrong with it."""
    since, until = _time("start", asked.start), _time("end", asked.end)
    if since is not None and until is not None and since >= until:
        raise BadData("start must be before end")
    if asked.limit is not None and not 1 <= asked.limit <= MOST_ROWS:
        raise BadData(f"limit: {asked.limit} is out of bounds; allowed: {LIMIT_FORM}")
    form = next((known for known in FORMATS if known == asked.format), None)
    if form is None:
        raise BadData(f"format: {asked.format[:100]!r} is not known; allowed: {', '.join(FORMATS)}")
    if not _is_text(asked.query):
        raise BadData("query: it has half of a character (a lone surrogate)")
    for name, value in asked.parameters.items():
        if not _is_value(value):
            raise BadData(
                f"parameters: {name[:100]!r} is no value that can be sent; allowed: {PARAMETER_FORM}"
            )
    return Question(project, asked.query, asked.parameters, form, since, until, asked.limit)


def _time(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise BadData(f"{name}: {error}; allowed: {TIME_FORM}") from None


def _is_value(value: Any, depth: int = 0) -> bool:
    if isinstance(value, list):
        return depth < 8 and all(_is_value(item, depth + 1) for item in value)
    return (
        _is_text(value) if isinstance(value, str) else value is None or isinstance(value, bool | int | float)
    )


def _is_text(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)
