import socket

from pybernetes.cli import preflight


def test_a_port_in_use_is_told_with_who_needs_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (problem,) = preflight.ports_in_use([("127.0.0.1", port, "the API server")])
    assert f"Port {port}, which the API server needs, is in use" in problem


def test_without_root_that_is_all_that_is_said(monkeypatch):
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    (problem,) = preflight.problems([])
    assert "needs root" in problem


def test_missing_programs_are_told_with_their_packages(monkeypatch):
    monkeypatch.setattr(preflight.shutil, "which", lambda name: None if name in ("runc", "nft") else f"/usr/bin/{name}")
    (problem,) = preflight.missing_programs()
    assert "runc, nft" in problem
    assert "apt-get install nftables runc" in problem
