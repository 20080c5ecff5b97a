"""Failed exchanges in client-go's sentences: people look for those, in events and logs and answers."""

from __future__ import annotations

import os
import ssl

import orjson

from pybernetes.client.transport import ConnectionFailed

_SHOWN_BYTES_MAX = 2048
_BY_STATUS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


def explain(error: ConnectionFailed, name: str) -> str:
    """Go's sentence for what went wrong on the way to a server called `name`."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        prefix = "tls: failed to verify certificate: x509: "
        if cause.verify_code in (62, 64):  # hostname mismatch, IP address mismatch
            return f"{prefix}certificate is not valid for any names, but wanted to match {name}"
        if cause.verify_code in (9, 10):
            return f"{prefix}certificate has expired or is not yet valid: {cause.verify_message}"
        return f"{prefix}certificate signed by unknown authority"
    text = str(error.strerror or error)
    if isinstance(cause, ssl.SSLError):
        return f"tls: {cause.reason or cause}"
    if isinstance(cause, OSError) and cause.errno and cause.errno > 0 and text.startswith("dial tcp "):
        address = text.removeprefix("dial tcp ").rpartition(": ")[0]
        return f"dial tcp {address}: connect: {os.strerror(cause.errno).lower()}"
    return "EOF" if text == "unexpected EOF" else text


def refusal(status: int, content_type: str, body: bytes) -> str:
    """What client-go makes of an answer that is an error: its Status, or a sentence about the code."""
    if content_type.startswith("application/json"):
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            found = None
        if isinstance(found, dict) and found.get("kind") == "Status" and found.get("message"):
            return str(found["message"])
    message = "unknown"
    if content_type.startswith("text/"):
        message = body[:_SHOWN_BYTES_MAX].decode(errors="replace").strip()
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status in (403, 406, 415):
        return message
    if status >= 500:
        quoted = orjson.dumps(message).decode()
        return f"an error on the server ({quoted}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"
