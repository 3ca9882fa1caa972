"""Callers: in which project a request is answered."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request


def project_of(request: Request) -> str:
    """The project whose spans the request may see and change."""
    project: str = request.app.state.project
    return project


Project = Annotated[str, Depends(project_of)]
