"""`pyb etcd`: the embedded store as an etcd of one member."""

from __future__ import annotations

import click

from pybernetes.cli.runtime import run_component


def _urls(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _one_member(_: click.Context, __: click.Parameter, value: str) -> str:
    if value.count("=") > 1:
        raise click.BadParameter("pyb etcd is one member, and has no peers; run etcd for a cluster of several")
    return value


@click.command("etcd")
@click.option("--name", default="default", show_default=True, help="This member's name.")
@click.option("--data-dir", default="", help="Where the store is; default: NAME.etcd.")
@click.option(
    "--listen-client-urls", default="http://localhost:2379", show_default=True, callback=_urls, help="Where to listen: URLs."
)
@click.option("--advertise-client-urls", default="", callback=_urls, help="What members say of it; default: the same.")
@click.option("--cert-file", default="", help="Serving certificate, for https URLs.")
@click.option("--key-file", default="", help="Its key.")
@click.option("--trusted-ca-file", default="", help="The authority of client certificates.")
@click.option(
    "--client-cert-auth", type=bool, default=False, is_flag=False, flag_value=True, show_default=True,
    help="Refuse clients without such a certificate.",
)  # fmt: skip
@click.option("--initial-cluster", default="", callback=_one_member, expose_value=False, help="Taken for etcd's sake.")
@click.option("--initial-cluster-state", default="new", expose_value=False, help="Taken for etcd's sake.")
@click.option("--initial-cluster-token", default="", expose_value=False, help="Taken for etcd's sake.")
@click.option("--initial-advertise-peer-urls", default="", expose_value=False, help="Taken for etcd's sake: no peers.")
@click.option("--listen-peer-urls", default="", expose_value=False, help="Taken for etcd's sake: no peers.")
@click.option("-v", "--v", "verbosity", default=0, help="Log verbosity.")
def command(verbosity: int, **flags: object) -> None:
    """Serve an embedded store as etcd does, to etcdctl and to API servers (--etcd-servers)."""
    from pybernetes.store.face import app

    run_component("etcd", app.run, app.Options(**flags), verbosity)  # type: ignore[arg-type]
