"""How soon custom resources are there: definitions one after the other, and the time until each resource answers, is discovered
and is described.

    python tests/bench/custom_resources.py [--definitions 200] [--fields 40]

In this process, on a store in memory; figures are milliseconds from the request that creates the definition.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from pybernetes.apiserver.authentication import Options
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.machinery.clock import SystemClock
from pybernetes.machinery.entropy import SystemEntropy
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.store.embedded import EmbeddedStore, MemoryLog

Send = Callable[..., Awaitable[Response]]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def definition(number: int, fields: int) -> Any:
    properties = {f"field{place}": {"type": "string", "default": "x", "maxLength": 64} for place in range(fields)}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things{number}.group{number % 20}.example.com"},
        "spec": {
            "group": f"group{number % 20}.example.com", "scope": "Namespaced",
            "names": {"plural": f"things{number}", "singular": f"thing{number}", "kind": f"Thing{number}"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }  # fmt: skip


def shown(name: str, seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 for share in (0.5, 0.99))
    return f"{name:<12} p50 {p50:8.1f} ms   p99 {p99:8.1f} ms   max {ordered[-1] * 1000:8.1f} ms"


async def until(ask: Callable[[], Awaitable[bool]], started: float) -> float:
    while not await ask():
        await asyncio.sleep(0.0005)
    return time.perf_counter() - started


async def measure(send: Send, number: int, fields: int, times: dict[str, list[float]]) -> None:
    wanted = definition(number, fields)
    group, plural = wanted["spec"]["group"], wanted["spec"]["names"]["plural"]
    started = time.perf_counter()
    assert (await send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", wanted)).status == 201

    async def answers() -> bool:
        return (await send("GET", f"/apis/{group}/v1/namespaces/default/{plural}")).status == 200

    async def holds(path: str, text: str, accept: str = "") -> bool:
        response = await send("GET", path, accept=accept)
        return response.status == 200 and isinstance(response.body, bytes) and text.encode() in response.body

    times["served"].append(await until(answers, started))
    times["discovered"].append(await until(lambda: holds(f"/apis/{group}/v1", f'"{plural}"'), started))
    times["aggregated"].append(await until(lambda: holds("/apis", f'"{plural}"', AGGREGATED), started))
    if number % 10 == 0:
        name = f"Thing{number}"
        began = time.perf_counter()
        times["openapi v3"].append(await until(lambda: holds(f"/openapi/v3/apis/{group}/v1", f'"{name}"'), began))
        began = time.perf_counter()
        times["openapi v2"].append(await until(lambda: holds("/openapi/v2", f'"{name}"'), began))


async def main(definitions: int, fields: int) -> None:
    clock, entropy = SystemClock(), SystemEntropy()
    with tempfile.TemporaryDirectory() as directory:
        tokens = Path(directory) / "tokens.csv"
        tokens.write_text('bench,admin,admin,"system:masters"\n')
        store = await EmbeddedStore.open(MemoryLog(), clock=clock, entropy=entropy)
        config = Config(authentication=Options(token_auth_file=tokens))
        api = ApiServer(store, clock=clock, entropy=entropy, config=config)
        running = asyncio.create_task(api.run())
        await api.wait_ready()

        async def send(method: str, path: str, body: Any = None, accept: str = "") -> Response:
            headers = {"authorization": "Bearer bench", "content-type": "application/json", "accept": accept}
            data = b"" if body is None else json.dumps(body).encode()
            return await api.handle(Request(method, path, "", headers, data))

        names = ("served", "discovered", "aggregated", "openapi v3", "openapi v2")
        times: dict[str, list[float]] = {name: [] for name in names}
        for number in range(definitions):
            await measure(send, number, fields, times)
        print(f"{definitions} definitions of {fields} fields each")
        for name in names:
            print(shown(name, times[name]))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await api.close()
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--definitions", type=int, default=200)
    parser.add_argument("--fields", type=int, default=40)
    options = parser.parse_args()
    asyncio.run(main(options.definitions, options.fields))
