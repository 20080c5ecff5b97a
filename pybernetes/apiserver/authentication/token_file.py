"""Static tokens: lines of `token,user,uid,"group1,group2"` in a file that is read once.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication.interface import Identity, authenticated


class TokenFile:
    def __init__(self, path: Path) -> None:
        """Raises OSError, and ValueError for a line that misses a column."""
        # By digest, so that a lookup's time tells nothing of how much of a guess was right.
        self._users: dict[bytes, User] = {}
        with path.open(newline="") as lines:
            for row in csv.reader(lines, skipinitialspace=True):
                if not row:
                    continue
                if len(row) < 3:
                    raise ValueError(f"{path}: a line needs token, user name and user uid, found {len(row)} columns")
                token, name, uid, *groups = (column.strip() for column in row)
                if not token:
                    raise ValueError(f"{path}: empty token for user {name!r}")
                named = tuple(group.strip() for group in groups[0].split(",")) if groups and groups[0] else ()
                self._users[_digest(token)] = authenticated(User(name, uid, named))

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Identity | None:
        user = self._users.get(_digest(token))
        return None if user is None else Identity(user, audiences, lasts=True)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
