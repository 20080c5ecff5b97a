"""Answers for what is not there, in upstream's words."""

from __future__ import annotations

from pybernetes.machinery.errors import MethodNotAllowed, NotFound
from pybernetes.machinery.http.messages import Response

TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


def unknown_path() -> NotFound:
    error = NotFound("the server could not find the requested resource")
    error.status["details"] = {}
    return error


def not_allowed() -> MethodNotAllowed:
    error = MethodNotAllowed("the server does not allow this method on the requested resource")
    error.status["details"] = {}
    return error


def page_not_found() -> Response:
    return Response(404, dict(TEXT), b"404 page not found\n")
