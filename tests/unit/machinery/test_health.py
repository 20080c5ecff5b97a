from __future__ import annotations

from pybernetes.machinery.http.health import health_handler
from pybernetes.machinery.http.messages import Request, Response


async def ask(target: str, *, failure: str | None = None) -> Response:
    async def check() -> str | None:
        return failure

    path, _, query = target.partition("?")
    return await health_handler({"etcd": check})(Request("GET", path, query))


async def test_healthy_is_ok_on_every_root() -> None:
    for root in ("/healthz", "/livez", "/readyz"):
        response = await ask(root)
        assert (response.status, response.body) == (200, b"ok")


async def test_verbose_lists_the_checks() -> None:
    assert (await ask("/readyz?verbose")).body == b"[+]ping ok\n[+]etcd ok\nreadyz check passed\n"


async def test_a_failing_check_is_a_500_that_keeps_the_reason_to_itself() -> None:
    response = await ask("/livez", failure="disk full")
    assert response.status == 500
    assert response.body == b"[+]ping ok\n[-]etcd failed: reason withheld\nlivez check failed\n"


async def test_a_failing_check_may_be_excluded() -> None:
    assert (await ask("/livez?exclude=etcd", failure="disk full")).body == b"ok"


async def test_a_single_check_has_its_own_path_and_unknown_ones_are_not_found() -> None:
    assert (await ask("/healthz/etcd")).body == b"ok"
    assert (await ask("/healthz/etcd", failure="disk full")).body == b"internal server error: disk full\n"
    assert (await ask("/healthz/nope")).status == 404
