"""The small pure parts: environment, DNS, cgroup figures, back-off, files, logs, configuration."""

from __future__ import annotations

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.kubelet import configuration as configurations
from pybernetes.kubelet.admission import admit
from pybernetes.kubelet.backoff import Backoff
from pybernetes.kubelet.cgroups import Cgroups, Limits, oom_score_adj, pod_limits_of, quota_us, shares
from pybernetes.kubelet.cni import conflist, masquerade_rules
from pybernetes.kubelet.configuration import BadConfiguration, duration_s
from pybernetes.kubelet.dns import Resolver, dns_config, hosts_file
from pybernetes.kubelet.environment import ConfigError, environment, expand, field_value, service_variables
from pybernetes.kubelet.images import credentials_of, normalized, pull_policy
from pybernetes.kubelet.object_cache import references
from pybernetes.kubelet.options import Options
from pybernetes.kubelet.pod_worker import go_duration
from pybernetes.kubelet.server.logs import LogOptions, render, tail_offset, text_of
from pybernetes.kubelet.status_manager import difference
from pybernetes.kubelet.volumes.atomic_writer import DATA, File, write_atomically
from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import parse
from pybernetes.machinery.resources import CONFIG_MAPS, SECRETS

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def pod(**spec: Any) -> Object:
    return {
        "metadata": {"name": "web", "namespace": "prod", "uid": "u1", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "a"}], **spec},
    }


def resources(**limits: str) -> Object:
    return {"name": "a", "resources": {"limits": limits, "requests": limits}}


# Back-off


def test_back_off_doubles_to_five_minutes_and_is_forgotten_after_ten_quiet_ones() -> None:
    backoff, now = Backoff(), NOW
    assert backoff.until("x", now) is None  # the first restart is at once
    delays = []
    for _ in range(7):
        backoff.next("x", now)
        until = backoff.until("x", now)
        assert until is not None
        delays.append((until - now).total_seconds())
        now = until
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.until("x", now + timedelta(minutes=11)) is None
    backoff.next("x", now + timedelta(minutes=11))
    assert backoff.delay_s("x") == 10


def test_durations_look_as_go_prints_them() -> None:
    assert [go_duration(s) for s in (10, 80, 300)] == ["10s", "1m20s", "5m0s"]


# Environment


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("$(A)", "1"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("$$$(A)", "$1"), ("x$(A)y$(A)", "x1y1"),
        ("$A ${A} $", "$A ${A} $"), ("$(A", "$(A"), ("$()", "$()"),
    ],
)  # fmt: skip
def test_references_are_expanded_once(text: str, shown: str) -> None:
    assert expand(text, {"A": "1"}) == shown


class Fetched:
    def config_map(self, name: str) -> Object | None:
        return {"kind": "ConfigMap", "data": {"a": "1", "b": "2"}} if name == "cm" else None

    def secret(self, name: str) -> Object | None:
        return {"kind": "Secret", "data": {"s": base64.b64encode(b"x").decode()}} if name == "secret" else None


def env_of(container: Object) -> dict[str, str]:
    return environment(
        pod(), container, services=[], objects=Fetched(), pod_ips=("10.0.0.2",), host_ips=("192.0.2.1",),
        allocatable={"cpu": parse("2"), "memory": parse("1Gi")},
    )  # fmt: skip


def test_env_wins_over_env_from_and_later_sources_over_earlier_ones() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "cm"}}, {"prefix": "P_", "secretRef": {"name": "secret"}}],
        "env": [{"name": "a", "value": "own"}, {"name": "c", "value": "$(a)-$(b)-$(P_s)"}],
    }
    assert env_of(container) == {"a": "own", "b": "2", "P_s": "x", "c": "own-2-x"}


def test_limits_fall_back_on_what_the_node_gives() -> None:
    fields = {name: {"valueFrom": {"resourceFieldRef": {"resource": f"limits.{name}"}}} for name in ("cpu", "memory")}
    container = {"env": [{"name": name, **source} for name, source in fields.items()]}
    assert env_of(container) == {"cpu": "2", "memory": str(2**30)}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "a"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "secret", "key": "a"}}, "couldn't find key a in Secret prod/secret"),
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error_unless_optional(source: Object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        env_of({"env": [{"name": "x", "valueFrom": source}]})
    optional = {kind: {**ref, "optional": True} for kind, ref in source.items()}
    assert env_of({"env": [{"name": "x", "valueFrom": optional}]}) == {}


def test_fields_of_the_pod() -> None:
    assert field_value(pod(), "metadata.labels['app']") == "web"
    assert field_value(pod(), "metadata.labels") == 'app="web"'
    assert field_value(pod(), "status.podIPs", pod_ips=("10.0.0.2", "fd00::2")) == "10.0.0.2,fd00::2"
    with pytest.raises(ConfigError):
        field_value(pod(), "spec.hostname")


def test_service_variables_have_the_links_style() -> None:
    service = {
        "metadata": {"name": "my-db"},
        "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 5432, "name": "sql"}, {"port": 53, "protocol": "UDP"}]},
    }
    found = service_variables([service, {"metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "ports": [{}]}}])
    assert found["MY_DB_SERVICE_HOST"] == "10.96.0.7"
    assert (found["MY_DB_SERVICE_PORT"], found["MY_DB_SERVICE_PORT_SQL"]) == ("5432", "5432")
    assert found["MY_DB_PORT"] == "tcp://10.96.0.7:5432"
    assert found["MY_DB_PORT_53_UDP_PROTO"] == "udp"
    assert not any(name.startswith("HEADLESS") for name in found)


def test_references_to_objects_are_found_wherever_they_are() -> None:
    wanted = pod(
        volumes=[
            {"name": "1", "configMap": {"name": "v"}},
            {"name": "2", "projected": {"sources": [{"secret": {"name": "p"}}, {"configMap": {"name": "root"}}]}},
            {"name": "3", "secret": {"secretName": "s"}},
        ],
        imagePullSecrets=[{"name": "pull"}],
    )
    wanted["spec"]["containers"][0].update(envFrom=[{"secretRef": {"name": "env"}}])
    names = {(key[0].plural, key[2]) for key in references(wanted)}
    assert names == {("configmaps", "v"), ("configmaps", "root"), ("secrets", "p"), ("secrets", "s"), ("secrets", "pull"),
                     ("secrets", "env")}  # fmt: skip
    assert {key[0] for key in references(wanted)} == {CONFIG_MAPS, SECRETS}


# DNS

NODE = Resolver(("192.0.2.53",), ("example.com",), ("rotate",))


def dns(wanted: Object) -> tuple[list[str], list[str], list[str]]:
    found = dns_config(wanted, cluster_dns=("10.96.0.10",), cluster_domain="cluster.local", node=NODE)
    return list(found.servers), list(found.searches), list(found.options)


def test_dns_policies() -> None:
    cluster = ["prod.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com"]
    assert dns(pod()) == (["10.96.0.10"], cluster, ["ndots:5"])
    assert dns(pod(dnsPolicy="Default")) == (["192.0.2.53"], ["example.com"], ["rotate"])
    assert dns(pod(hostNetwork=True)) == dns(pod(dnsPolicy="Default"))
    assert dns(pod(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet")) == dns(pod())
    own = {"nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}]}
    assert dns(pod(dnsPolicy="None", dnsConfig=own)) == (["1.1.1.1"], ["a.b"], ["ndots:2"])
    assert dns(pod(dnsConfig=own))[2] == ["ndots:2"]


def test_the_hosts_file_names_the_pod() -> None:
    assert "10.0.0.2\tweb\n" in hosts_file(pod(), ["10.0.0.2"], "cluster.local")
    full = hosts_file(pod(subdomain="db"), ["10.0.0.2"], "cluster.local")
    assert "10.0.0.2\tweb.db.prod.svc.cluster.local\tweb\n" in full
    assert "127.0.0.1\tlocalhost" not in hosts_file(pod(hostNetwork=True), [], "", node_hosts="::1 me")


# Figures


def test_cgroup_figures() -> None:
    assert [shares(milli) for milli in (0, 1, 250, 1000)] == [2, 2, 256, 1024]
    assert [quota_us(milli, 100_000) for milli in (0, 5, 500)] == [0, 1000, 50_000]
    both = pod(containers=[resources(cpu="500m", memory="64Mi"), {**resources(cpu="250m"), "name": "b"}])
    assert pod_limits_of(both) == Limits(cpu_shares=768, cpu_quota_us=75_000, memory_bytes=0)


def test_who_is_killed_first_when_memory_runs_out() -> None:
    best_effort, guaranteed = pod(), pod(containers=[resources(cpu="1", memory="1Gi")])
    burstable = pod(containers=[{"name": "a", "resources": {"requests": {"memory": "1Gi"}}}])
    gib = 2**30
    scores = [oom_score_adj(p, p["spec"]["containers"][0], 4 * gib) for p in (guaranteed, burstable, best_effort)]
    assert scores == [-997, 750, 1000]


def test_cgroup_parents_are_named_after_the_quality_of_service() -> None:
    cgroups = Cgroups("/pyb", mount=Path("/nonexistent"))
    assert cgroups.parent_of(pod()) == "/pyb/kubepods/besteffort/podu1"
    assert cgroups.parent_of(pod(containers=[resources(cpu="1", memory="1Gi")])) == "/pyb/kubepods/podu1"


def test_a_node_refuses_what_it_cannot_hold() -> None:
    allocatable = {"cpu": parse("2"), "pods": parse("2")}
    wanted = pod(containers=[resources(cpu="1500m")])
    other = {**wanted, "metadata": {**wanted["metadata"], "uid": "u2"}}
    assert admit(wanted, [], allocatable, {}) is None
    refused = admit(wanted, [other], allocatable, {})
    assert refused is not None
    assert refused[0] == "OutOfcpu"
    assert refused[1].endswith("cpu, requested: 1500, used: 1500, capacity: 2000")
    assert admit(pod(nodeSelector={"disk": "ssd"}), [], {}, {"disk": "hdd"}) is not None


# Images


def test_images_without_tag_are_the_latest_and_always_pulled() -> None:
    assert [normalized(i) for i in ("a", "a:1", "h:5/a", "a@sha256:1")] == ["a:latest", "a:1", "h:5/a:latest", "a@sha256:1"]
    assert pull_policy({"image": "a"}) == "Always"
    assert pull_policy({"image": "a:1"}) == "IfNotPresent"
    assert pull_policy({"image": "a", "imagePullPolicy": "Never"}) == "Never"


def test_pull_secrets_fit_by_registry() -> None:
    config = {"auths": {"https://index.docker.io/v1/": {"auth": base64.b64encode(b"me:pw").decode()},
                        "example.com/team": {"username": "u", "password": "p"}}}  # fmt: skip
    data = {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()}
    found = credentials_of([{"data": data}], "busybox:1")
    assert [(c.username, c.password) for c in found] == [("me", "pw")]
    assert [c.username for c in credentials_of([{"data": data}], "example.com/team/app:1")] == ["u"]
    assert credentials_of([{"data": data}], "example.com/other/app:1") == []
    assert "pw" not in repr(found)


# Files


names = st.text("abc", min_size=1, max_size=3)
contents = st.dictionaries(st.one_of(names, st.tuples(st.just("dir"), names).map("/".join)), st.binary(max_size=8), max_size=4)


@given(versions=st.lists(contents, min_size=1, max_size=4))
def test_files_are_replaced_as_a_whole(versions: list[dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> None:
    target = tmp_path_factory.mktemp("volume")
    for number, version in enumerate(versions):
        files = {path: data for path, data in version.items() if path != "dir"}
        write_atomically(target, {path: File(data, 0o640) for path, data in files.items()}, f"v{number}")
        found = {
            str(path.relative_to(target)): path.read_bytes()
            for top in target.iterdir() if not top.name.startswith("..")
            for path in ([top] if top.is_file() else top.iterdir())
        }  # fmt: skip
        assert found == files
        assert len([entry for entry in os.listdir(target) if entry.startswith("..")]) == 2  # ..data and what it names
        assert not write_atomically(target, {p: File(d, 0o640) for p, d in files.items()}, f"again{number}")
    assert (target / DATA).is_symlink()


def test_log_lines_are_told_by_stream_time_and_wholeness() -> None:
    line = b"2026-11-21T12:00:00.123456789Z stdout F hello world"
    assert text_of(line) == b"hello world\n"
    assert text_of(line.replace(b" F ", b" P ")) == b"hello world"
    assert render(line, LogOptions(timestamps=True)) == b"2026-11-21T12:00:00.123456789Z hello world\n"
    assert render(line, LogOptions(stream="stderr")) == b""
    assert render(line, LogOptions(since=NOW + timedelta(seconds=1))) == b""
    assert render(line, LogOptions(since=NOW)) == b"hello world\n"


@given(lines=st.lists(st.integers(0, 90000), max_size=12), wanted=st.integers(0, 15))
def test_the_tail_of_a_log_is_its_last_lines(lines: list[int], wanted: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("log") / "0.log"
    content = [b"x" * length + b"\n" for length in lines]
    path.write_bytes(b"".join(content))
    assert path.read_bytes()[tail_offset(path, wanted) :] == b"".join(
        content[len(content) - wanted if wanted < len(content) else 0 :]
    )


# The rest


def test_only_what_changed_of_a_status_is_written() -> None:
    at_server = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}, {"type": "Other", "status": "True"}]}
    wanted = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None}]}
    assert difference(at_server, wanted) == {"conditions": wanted["conditions"]}
    assert difference(at_server, {"phase": "Running", "conditions": []}) == {"phase": "Running"}
    assert difference({**at_server, "reason": "x"}, at_server) == {"reason": None}


def test_the_network_configuration_is_a_bridge_with_the_node_s_addresses() -> None:
    document = json.loads(conflist(["10.244.1.0/24"], Path("/leases")))
    bridge = document["plugins"][0]
    assert (bridge["bridge"], bridge["hairpinMode"], bridge["ipMasq"]) == ("cni0", True, False)
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]
    rules = masquerade_rules(["10.244.1.0/24"], ["10.244.0.0/16"])
    assert "ip saddr 10.244.1.0/24 ip daddr != { 10.244.0.0/16, 224.0.0.0/4 } masquerade" in rules


def test_configuration_comes_from_the_file_and_flags_override_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nclusterDNS: [10.0.0.10]\nmaxPods: 20\n"
        "podLogsDir: /logs\nnodeStatusUpdateFrequency: 1m30s\n"
        "authentication: {x509: {clientCAFile: /ca}, anonymous: {enabled: true}}\n"
        "evictionHard: {memory.available: 1Gi}\n"
    )
    found = configurations.load(Options(config=str(path), max_pods=30, register_with_taints="a=b:NoSchedule"))
    assert (found.cluster_dns, found.max_pods, found.pod_logs_dir) == (("10.0.0.10",), 30, "/logs")
    assert (found.node_status_update_frequency_s, found.client_ca_file, found.anonymous_auth) == (90, "/ca", True)
    assert found.node_taints == ({"key": "a", "value": "b", "effect": "NoSchedule"},)
    assert found.eviction_hard == {"memory.available": "1Gi"}


@pytest.mark.parametrize("text", ["kind: Other", "- 1", "{", "apiVersion: v1\nkind: KubeletConfiguration"])
def test_a_file_that_is_no_configuration_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(BadConfiguration):
        configurations.load(Options(config=str(path)))


def test_go_durations() -> None:
    assert [duration_s(text, "x") for text in ("10s", "1m30s", "1.5h", "100ms", "0")] == [10, 90, 5400, 0.1, 0]
    with pytest.raises(BadConfiguration):
        duration_s("10", "x")
