"""The rooms of the API: the routes of each, and the words that say what its parameters may be."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from fastapi import APIRouter
from fastapi.routing import APIRoute

from spanledger.query_api.access.parameters import ALLOWED_IN_KEY_PATHS, ALLOWED_OF_KEYS
from spanledger.query_api.access.routes import access
from spanledger.query_api.parameters import ALLOWED, ALLOWED_IN_PATH
from spanledger.query_api.prices.parameters import ALLOWED_IN_PRICE_PATHS, ALLOWED_OF_PRICES
from spanledger.query_api.prices.routes import prices
from spanledger.query_api.search.parameters import ALLOWED_IN_SEARCH
from spanledger.query_api.search.routes import search
from spanledger.query_api.sessions.parameters import ALLOWED_IN_SESSION_PATHS, ALLOWED_IN_SESSIONS
from spanledger.query_api.sessions.routes import sessions
from spanledger.query_api.sql.routes import sql
from spanledger.query_api.stats.parameters import ALLOWED_IN_STATS
from spanledger.query_api.stats.routes import stats
from spanledger.query_api.trees.parameters import ALLOWED_OF_TREES
from spanledger.query_api.trees.routes import trees
from spanledger.query_api.upkeep.deletion_parameters import ALLOWED_IN_DELETION_PATHS, ALLOWED_OF_DELETION
from spanledger.query_api.upkeep.deletion_routes import deletion
from spanledger.query_api.upkeep.export_parameters import ALLOWED_OF_EXPORT
from spanledger.query_api.upkeep.export_routes import export

_NONE: Mapping[str, str] = MappingProxyType({})


class Room(NamedTuple):
    """`allowed`, `in_path`: what each parameter of the query or body, and of the path, may be."""

    routes: APIRouter
    allowed: Mapping[str, str] = _NONE
    in_path: Mapping[str, str] = _NONE


ROOMS = (
    Room(trees, ALLOWED_OF_TREES),
    Room(search, ALLOWED_IN_SEARCH),
    Room(prices, ALLOWED_OF_PRICES, ALLOWED_IN_PRICE_PATHS),
    Room(stats, ALLOWED_IN_SEARCH | ALLOWED_IN_STATS),
    Room(sessions, ALLOWED_IN_SEARCH | ALLOWED_IN_SESSIONS, ALLOWED_IN_SESSION_PATHS),
    Room(export, ALLOWED_OF_EXPORT),
    Room(deletion, ALLOWED_OF_DELETION, ALLOWED_IN_DELETION_PATHS),
    Room(sql),
    Room(access, ALLOWED_OF_KEYS, ALLOWED_IN_KEY_PATHS),
)


_ROOM_OF: dict[object, Room] = {
    route.endpoint: room for room in ROOMS for route in room.routes.routes if isinstance(route, APIRoute)
}


def allowed_for(endpoint: object) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """What is allowed in the queries and bodies, and in the paths, of the room that has this endpoint."""
    room = _ROOM_OF.get(endpoint)
    if room is None:
        return ALLOWED, ALLOWED_IN_PATH
    return {**ALLOWED, **room.allowed}, {**ALLOWED_IN_PATH, **room.in_path}
