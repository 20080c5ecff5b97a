"""How a server was started, as /flagz shows it."""

from __future__ import annotations

from pybernetes.apiserver.options import Options, flags_of


def test_flags_have_upstreams_names_and_forms() -> None:
    options = Options(shutdown_delay_duration_s=90.0, etcd_servers=("https://root:secret@db:2379", "http://b"))
    flags = flags_of(options)
    assert flags["shutdown-delay-duration"] == "1m30s"
    assert flags["etcd-servers"] == "[https://CENSORED@db:2379,http://b]"
    assert (flags["profiling"], flags["event-ttl"], flags["secure-port"]) == ("true", "1h0m0s", "6443")
    assert "secret" not in str(flags)
