"""Which flow a request belongs to: the first schema that matches, remembered per user and target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.flow_control import rules
from pybernetes.apiserver.flow_control.flows import Flow

REMEMBERED_MOST: Final = 20_000
PATH_MOST: Final = 200  # characters of a path that is remembered: strangers choose them


class Classifier:
    """`flows` in the order in which they are tried; the last one takes whatever is left."""

    def __init__(self, flows: Sequence[Flow]) -> None:
        self._flows = flows
        self._by_namespace = any(rules.names_namespaces(flow.spec) for flow in flows)
        self._known: dict[tuple[object, ...], Flow] = {}

    def classify(self, user: User, info: RequestInfo) -> Flow:
        key: tuple[object, ...]
        if info.is_resource:
            namespace = info.namespace if self._by_namespace else bool(info.namespace)
            key = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, namespace)
        else:
            key = (user.name, user.groups, info.verb, info.path)
        flow = self._known.get(key)
        if flow is None:
            flow = self._first(user, info)
            if len(info.path) <= PATH_MOST:
                if len(self._known) >= REMEMBERED_MOST:
                    self._known.clear()
                self._known[key] = flow
        return flow

    def _first(self, user: User, info: RequestInfo) -> Flow:
        for flow in self._flows:
            if rules.matches(flow.spec, user, info):
                return flow
        return self._flows[-1]
