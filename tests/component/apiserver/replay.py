"""Replay the recorded answers of an upstream API server against ours, and say what differs.

    python tests/component/apiserver/replay.py [--area table] [--id smp-merge-list] [-v] [--server https://… --token …]

The recordings are `reference/api-answers.json` (its `explanation` says how to read it); they are no part of the repository:
PYBERNETES_REFERENCE names the directory, else `shared/reference` next to the checkout. Without `--server` the requests go to an
in-process server on a fresh store in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pybernetes.machinery.http.messages import Handler, Repeated, Request, Response

ADMIN_TOKEN = "replay-admin"
_VOLATILE = {"uid": "<uid>", "resourceVersion": "<rv>", "creationTimestamp": "<time>", "deletionTimestamp": "<time>"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def reference_directory() -> Path | None:
    given = os.environ.get("PYBERNETES_REFERENCE")
    if given:
        return Path(given)
    found = Path(__file__).resolve().parents[4] / "shared" / "reference"
    return found if found.is_dir() else None


def scenarios(area: str = "", identifier: str = "") -> list[dict[str, Any]]:
    directory = reference_directory()
    if directory is None:
        raise FileNotFoundError("the reference directory is not there (set PYBERNETES_REFERENCE)")
    found: list[dict[str, Any]] = json.loads((directory / "api-answers.json").read_bytes())["scenarios"]
    return [
        scenario for scenario in found
        if (not area or scenario["area"] in area.split(",")) and (not identifier or scenario["id"] == identifier)
    ]  # fmt: skip


@dataclass
class Difference:
    scenario: str
    step: int
    request: str
    what: str


@dataclass
class Replay:
    """One scenario against a handler."""

    handler: Handler
    scenario: dict[str, Any]
    number: int
    differences: list[Difference] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    steps: int = 0

    async def run(self) -> list[Difference]:
        self.values["ns"] = f"r{self.number}-{re.sub('[^a-z0-9]', '', self.scenario['id'])[:20]}"
        if self.scenario.get("namespace", True) is not False:
            await self._prepare_namespace()
        for number, step in enumerate(self.scenario["steps"]):
            if "sleep" in step:
                await asyncio.sleep(step["sleep"])
            if not step.get("path"):
                continue
            self.steps += 1
            what = await self._step(step)
            for _ in range(3):
                if not what or step["method"] != "GET":
                    break
                # The recorded steps came over a network: what controllers wrote meanwhile is in the answers.
                await asyncio.sleep(0.05)
                what = await self._step(step)
            if what:
                text = f"{step['method']} {self._fill(step['path'])}"
                self.differences.append(Difference(self.scenario["id"], number, text, what))
        return self.differences

    async def clean_up(self) -> None:
        """Definitions are seen in discovery by the scenarios that follow."""
        if "customresourcedefinitions" in json.dumps(self.scenario["steps"]):
            await self._send("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", None)
            await asyncio.sleep(0.05)

    async def _prepare_namespace(self) -> None:
        name = self.values["ns"]
        labels = self.scenario.get("namespaceLabels")
        await self._send("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        await self._send("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})

    async def _step(self, step: dict[str, Any]) -> str:
        expected = step.get("answer")
        until = step.get("until")
        for attempt in range(40):
            if "watch" in step:
                code, body, headers = await self._watch(step)
            else:
                code, body, headers = await self._request(step)
            if not until or ("code" in until and until["code"] == code):
                break
            if "path" in until and _at(body, until["path"]) == until.get("value"):
                break
            await asyncio.sleep(min(0.05 * (attempt + 1), 0.5))
        for name, path in (step.get("save") or {}).items():
            value = _at(body, path)
            if value is not None:
                self.values[name] = str(value)
        if expected is None:
            return ""
        if code != expected["code"]:
            return f"code {code}, upstream {expected['code']}: {_short(body)} | upstream: {_short(expected.get('body'))}"
        if step.get("nobody") or "body" not in expected:
            return ""
        warnings = expected.get("warnings") or []
        given = _warnings(headers.get("Warning", ""))
        if warnings != given:
            return f"warnings {given}, upstream {warnings}"
        wanted = expected["body"]
        body = self._picked(step, body)
        ours = _sorted_causes(self._normalized(body))
        wanted = _sorted_causes(copy.deepcopy(wanted))
        for path in step.get("mayDiffer") or ():
            _forget(wanted, path), _forget(ours, path)
        if step.get("unordered") and isinstance(ours, list) and isinstance(wanted, list):
            ours, wanted = sorted(ours, key=json.dumps), sorted(wanted, key=json.dumps)
        found = _difference(ours, wanted, "$")
        return found or ""

    async def _request(self, step: Mapping[str, Any]) -> tuple[int, Any, Mapping[str, str]]:
        response = await self._send(
            step["method"], self._fill(step["path"]), self._filled(step.get("body")),
            headers=step.get("headers") or {}, authenticated=not step.get("noauth"),
        )  # fmt: skip
        body = b"" if step["method"] == "HEAD" else await _whole(response)  # which a server does not send
        return response.status, _parsed(body, response.headers), response.headers

    async def _watch(self, step: Mapping[str, Any]) -> tuple[int, Any, Mapping[str, str]]:
        response = await self._send(step["method"], self._fill(step["path"]), None, headers=step.get("headers") or {})
        if isinstance(response.body, bytes):
            return response.status, _parsed(response.body, response.headers), response.headers
        events: list[Any] = []
        try:
            async with asyncio.timeout(step.get("timeout", 5)):
                async for chunk in response.body:
                    events += [json.loads(line) for line in chunk.splitlines()]
                    if len(events) >= step["watch"]:
                        break
        except TimeoutError:
            pass
        finally:
            await response.body.aclose()  # type: ignore[attr-defined]
        return response.status, events[: step["watch"]], response.headers

    async def _send(
        self, method: str, path: str, body: Any, *, headers: Mapping[str, str] | None = None, authenticated: bool = True
    ) -> Response:
        sent = {"accept": "application/json", "user-agent": "apidiff/1.0"}
        data = b""
        if body is not None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            sent["content-type"] = "application/json"
        if authenticated:
            sent["authorization"] = f"Bearer {ADMIN_TOKEN}"
        for name, value in (headers or {}).items():
            sent[name.lower()] = Repeated.of(list(map(self._fill, value))) if isinstance(value, list) else self._fill(value)
        path, _, query = path.partition("?")
        return await self.handler(Request(method, quote(path, safe="/:%"), query, sent, data))

    def _fill(self, text: str) -> str:
        return re.sub(r"\{\{(\w+)\}\}", lambda match: self.values.get(match[1], match[0]), text)

    def _filled(self, body: Any) -> Any:
        if body is None:
            return None
        if isinstance(body, str):
            return self._fill(body)
        return json.loads(self._fill(json.dumps(body)))

    def _picked(self, step: Mapping[str, Any], body: Any) -> Any:
        if "pick" not in step:
            return body
        return {label: _pick(body, path, mode) for label, path, mode in step["pick"]}

    def _normalized(self, value: Any, key: str = "", kind: str = "") -> Any:
        if isinstance(value, dict):
            kind = str(value.get("kind", kind))
            found = {
                name: self._normalized(item, name, kind)
                for name, item in value.items()
                if not (name == "managedFields" and not self.scenario.get("keepManagedFields"))
                and not (name == "description" and key == "columnDefinitions")
            }
            if "causes" in found:
                return _sorted_causes(found)
            if isinstance(found.get("managedFields"), list):
                found["managedFields"].sort(key=_manager)
            return found
        if isinstance(value, list):
            return [self._normalized(item, key, kind) for item in value]
        if isinstance(value, str):
            return self._normalized_text(value, key)
        return value

    def _normalized_text(self, text: str, key: str) -> str:
        text = text.replace(self.values["ns"], "NS")
        for name, value in self.values.items():
            if name != "ns" and _UID.fullmatch(value):
                text = text.replace(value, f"<{name}>")
        if key == "resourceVersion" and text.isdecimal():
            return "<rv>"
        if key == "continue":
            return "<continue>"
        if key == "storageVersionHash":
            return "<hash>"
        return _UID.sub("<uid>", text)


def _manager(entry: dict[str, Any]) -> str:
    """The recordings have the managers in this order: their own depends on the times of day."""
    return json.dumps([entry.get(name) for name in ("manager", "operation", "subresource", "apiVersion")])


def _difference(ours: Any, theirs: Any, path: str) -> str:
    """The first difference in words, "" if there is none; <placeholders> of theirs match anything of the kind."""
    if isinstance(theirs, str) and isinstance(ours, str):
        pattern = re.sub(
            r"\\?<(uid|rv|time|rand|ip4|nodePort|continue|hash|age|host|build|digits|[a-z]+)\\?>", ".*", re.escape(theirs)
        )
        return "" if ours == theirs or re.fullmatch(pattern, ours, re.DOTALL) else f"{path}: {ours!r}, upstream {theirs!r}"
    if isinstance(theirs, str) and re.fullmatch("<[a-zA-Z0-9]+>", theirs) and ours is not None:
        return ""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in theirs.keys() | ours.keys():
            if name not in ours:
                return f"{path}.{name}: absent, upstream {_short(theirs[name])}"
            if name not in theirs:
                return f"{path}.{name}: {_short(ours[name])}, upstream absent"
        for name in theirs:
            found = _difference(ours[name], theirs[name], f"{path}.{name}")
            if found:
                return found
        return ""
    if isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            return f"{path}: {len(ours)} items {_short(ours)}, upstream {len(theirs)} {_short(theirs)}"
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            found = _difference(mine, other, f"{path}[{number}]")
            if found:
                return found
        return ""
    return "" if ours == theirs else f"{path}: {_short(ours)}, upstream {_short(theirs)}"


def _sorted_causes(value: Any) -> Any:
    """The recordings have causes, and the parts of the message made of them, in alphabetical order."""
    if isinstance(value, dict):
        message, causes = value.get("message"), (value.get("details") or {}).get("causes") if "details" in value else None
        if isinstance(message, str) and isinstance(causes, list) and "is invalid: [" in message:
            parts = sorted({f"{cause.get('field', '')}: {cause['message']}" for cause in causes})
            if all(part in message for part in parts):
                value["message"] = message[: message.index("is invalid: [") + len("is invalid: ")] + f"[{', '.join(parts)}]"
        for name, item in value.items():
            if name == "causes" and isinstance(item, list):
                item.sort(key=lambda cause: json.dumps(cause, sort_keys=True))
            elif name == "resources" and isinstance(item, list):
                item.sort(key=lambda found: json.dumps(found, sort_keys=True))
            else:
                _sorted_causes(item)
    elif isinstance(value, list):
        for item in value:
            _sorted_causes(item)
    return value


def _at(body: Any, path: Any) -> Any:
    for part in path.split(".") if isinstance(path, str) else path:
        if isinstance(body, list):
            body = body[int(part)] if str(part).lstrip("-").isdigit() and int(part) < len(body) else None
        elif isinstance(body, dict):
            body = body.get(part)
        else:
            return None
    return body


def _pick(body: Any, path: Any, mode: str) -> Any:
    value = _at(body, path)
    if mode == "names":
        return [item.get("metadata", {}).get("name") for item in value] if isinstance(value, list) else None
    if mode == "type":
        if isinstance(value, str):
            return value
        return type(value).__name__
    if mode == "keys":
        return sorted(value) if isinstance(value, dict) else None
    if mode == "exists":
        return value is not None
    if mode == "len":
        return len(value) if value is not None else None
    return value


def _forget(body: Any, path: str) -> None:
    """Drop what `mayDiffer` names: `$.a.b[0]["c.d"]`."""
    parts = [
        match[1] or match[2] or int(match[3])
        for match in re.finditer(r'\.([\w-]+)|\["([^"]+)"\]|\[(\d+)\]', path.removeprefix("$"))
    ]
    for part in parts[:-1]:
        try:
            body = body[part]
        except (KeyError, IndexError, TypeError):
            return
    try:
        del body[parts[-1]]
    except (KeyError, IndexError, TypeError):
        return


def _warnings(header: str) -> list[str]:
    return re.findall(r'299 - "(?:[^"\\]|\\.)*"', header)


async def _whole(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    body: AsyncIterator[bytes] = response.body
    return b"".join([chunk async for chunk in body])


def _parsed(body: bytes, headers: Mapping[str, str]) -> Any:
    media = headers.get("Content-Type", "")
    if "protobuf" in media and body:
        return {"binaryPrefix": body[:4].decode()}  # all that the recordings have of it
    if "yaml" in media:
        import yaml

        return json.loads(json.dumps(yaml.safe_load(body), default=str))
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def _short(value: Any) -> str:
    text = json.dumps(value)
    if isinstance(value, dict) and "message" in value:
        text = json.dumps(value["message"])
    return text if len(text) < 300 else text[:300] + "…"


async def in_process() -> tuple[Handler, Any]:
    """A server on a fresh store in memory: (handler, an async function that stops it)."""
    import tempfile

    from pybernetes.apiserver.authentication import Options
    from pybernetes.apiserver.config import Config
    from pybernetes.apiserver.server import ApiServer
    from pybernetes.machinery import pki
    from pybernetes.machinery.clock import SystemClock
    from pybernetes.machinery.entropy import SystemEntropy
    from pybernetes.store.embedded import EmbeddedStore, MemoryLog

    directory = Path(tempfile.mkdtemp(prefix="pyb-replay-"))
    (directory / "tokens.csv").write_text(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n')
    pki.write_private(directory / "sa.key", pki.new_key_pem())
    clock, entropy = SystemClock(), SystemEntropy()
    store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
    options = Options(
        token_auth_file=directory / "tokens.csv",
        service_account_issuer=("https://kubernetes.default.svc",),
        service_account_key_file=(directory / "sa.key",),
        service_account_signing_key_file=directory / "sa.key",
    )
    api = ApiServer(store, clock=clock, entropy=entropy, config=Config(authentication=options))
    task = asyncio.create_task(api.run())
    ready = asyncio.create_task(api.wait_ready())
    await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()

    async def stop() -> None:
        import shutil

        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await api.close()
        await store.close()
        shutil.rmtree(directory)

    return api.handle, stop


async def replay(area: str = "", identifier: str = "") -> dict[str, tuple[int, list[Difference]]]:
    """Per area: the number of steps, and the differences."""
    handler, stop = await in_process()
    found: dict[str, tuple[int, list[Difference]]] = {}
    try:
        for number, scenario in enumerate(scenarios(area, identifier)):
            run = Replay(handler, scenario, number)
            differences = await run.run()
            await run.clean_up()
            steps, known = found.get(scenario["area"], (0, []))
            found[scenario["area"]] = (steps + run.steps, known + differences)
    finally:
        await stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--area", default="", help="areas, with commas between")
    parser.add_argument("--id", default="", help="one scenario")
    parser.add_argument("-q", "--quiet", action="store_true", help="numbers only")
    arguments = parser.parse_args()
    totals: Counter[str] = Counter()
    for area, (steps, differences) in sorted(asyncio.run(replay(arguments.area, arguments.id)).items()):
        if not arguments.quiet:
            for difference in differences:
                print(f"[{difference.scenario} #{difference.step}] {difference.request}\n    {difference.what}")
        totals["steps"] += steps
        totals["same"] += steps - len(differences)
        print(f"{area}: {steps - len(differences)} of {steps} answers the same")
    print(f"all: {totals['same']} of {totals['steps']}")


if __name__ == "__main__":
    main()
