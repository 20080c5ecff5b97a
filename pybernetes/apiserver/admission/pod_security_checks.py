"""The controls of the Pod Security Standards, each a function from a pod to what is wrong with it.

The order of `CHECKS` is the order in which a message lists them. The current version of the standards is applied whatever
version a namespace names.
Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from pybernetes.machinery.meta import Object

LEVELS = ("privileged", "baseline", "restricted")
Check: TypeAlias = Callable[[Object, Object], str]  # (metadata, spec) -> what is wrong, or ""

BASELINE_CAPABILITIES = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
))  # fmt: skip
SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"))
SAFE_SYSCTLS = frozenset((
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
))  # fmt: skip
RESTRICTED_VOLUMES = frozenset((
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
))  # fmt: skip
SECCOMP_TYPES = ("RuntimeDefault", "Localhost")
APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


def violations(metadata: Object, spec: Object, level: str) -> list[str]:
    """What keeps the pod from a level: `control (details)` each; [] if nothing does."""
    if level == "privileged":
        return []
    restricted = level == "restricted"
    checks = [check for check, of in CHECKS if of == "baseline" or restricted]
    if restricted:
        checks = [check for check in checks if check not in REPLACED]
    return [problem for check in checks if (problem := check(metadata, spec))]


def containers(spec: Object) -> Iterator[Object]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _context(container: Object) -> Object:
    return container.get("securityContext") or {}


def _named(kind: str, names: Sequence[str]) -> str:
    """`container "a"`, `containers "a", "b"`"""
    return f"{kind}{'s' if len(names) > 1 else ''} {_quoted(names)}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _plural(word: str, things: Sequence[object]) -> str:
    return word if len(things) == 1 else word + "s"


def _on_windows(spec: Object) -> bool:
    return bool((spec.get("os") or {}).get("name") == "windows")


def host_namespaces(metadata: Object, spec: Object) -> str:
    used = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return f"host namespaces ({', '.join(used)})" if used else ""


def privileged(metadata: Object, spec: Object) -> str:
    found = [one["name"] for one in containers(spec) if _context(one).get("privileged")]
    return f"privileged ({_named('container', found)} must not set securityContext.privileged=true)" if found else ""


def capabilities_baseline(metadata: Object, spec: Object) -> str:
    found, added = [], set()
    for container in containers(spec):
        extra = set((_context(container).get("capabilities") or {}).get("add") or ()) - BASELINE_CAPABILITIES
        if extra:
            found.append(container["name"])
            added |= extra
    if not found:
        return ""
    shown = f"must not include {_quoted(sorted(added))} in securityContext.capabilities.add"
    return f"non-default capabilities ({_named('container', found)} {shown})"


def host_path_volumes(metadata: Object, spec: Object) -> str:
    found = [volume["name"] for volume in spec.get("volumes") or () if "hostPath" in volume]
    return f"hostPath volumes ({_named('volume', found)})" if found else ""


def host_ports(metadata: Object, spec: Object) -> str:
    found, ports = [], set()
    for container in containers(spec):
        used = {port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")}
        if used:
            found.append(container["name"])
            ports |= used
    if not found:
        return ""
    shown = sorted(str(port) for port in ports)
    uses = "uses" if len(found) == 1 else "use"
    return f"hostPort ({_named('container', found)} {uses} {_plural('hostPort', shown)} {', '.join(shown)})"


def host_probes(metadata: Object, spec: Object) -> str:
    """A probe or lifecycle hook with a host makes the kubelet call wherever the pod likes (KEP-4940)."""
    found, hosts = [], set()
    for container in containers(spec):
        handlers = [container.get(probe) or {} for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [(container.get("lifecycle") or {}).get(hook) or {} for hook in ("postStart", "preStop")]
        used = {
            action["host"]
            for handler in handlers
            for kind in ("httpGet", "tcpSocket")
            if (action := handler.get(kind) or {}).get("host")
        }
        if used:
            found.append(container["name"])
            hosts |= used
    if not found:
        return ""
    uses = "uses" if len(found) == 1 else "use"
    return (
        f"probe or lifecycle host ({_named('container', found)} {uses} {_plural('host', list(hosts))} {_quoted(sorted(hosts))})"
    )


def app_armor(metadata: Object, spec: Object) -> str:
    """RuntimeDefault, Localhost or nothing."""
    allowed = ("", "RuntimeDefault", "Localhost")
    problems, values = [], set()
    if ((spec.get("securityContext") or {}).get("appArmorProfile") or {}).get("type", "") not in allowed:
        problems.append("pod")
        values.add(spec["securityContext"]["appArmorProfile"]["type"])
    found = [one for one in containers(spec) if (_context(one).get("appArmorProfile") or {}).get("type", "") not in allowed]
    if found:
        problems.append(_named("container", [one["name"] for one in found]))
        values |= {_context(one)["appArmorProfile"]["type"] for one in found}
    shown = []
    if problems:
        shown.append(f"{' and '.join(problems)} must not set AppArmor profile type to {_quoted(sorted(values))}")
    bad = {
        f'{key}="{value}"'
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(APPARMOR_ANNOTATION) and not (value in ("", "runtime/default") or value.startswith("localhost/"))
    }
    if bad:
        shown.append(f"{_plural('annotation', list(bad))} {', '.join(sorted(bad))}")
    label = "forbidden AppArmor profile" if len(values) + len(bad) == 1 else "forbidden AppArmor profiles"
    return f"{label} ({'; '.join(shown)})" if shown else ""


def selinux(metadata: Object, spec: Object) -> str:
    setters: list[tuple[str, Object]] = [("pod", (spec.get("securityContext") or {}).get("seLinuxOptions") or {})]
    setters += [(one["name"], _context(one).get("seLinuxOptions") or {}) for one in containers(spec)]
    types = {options["type"] for _, options in setters if options.get("type", "") not in SELINUX_TYPES}
    problems = [f"{_plural('type', list(types))} {_quoted(sorted(types))}"] if types else []
    if any(options.get("user") for _, options in setters):
        problems.append("user may not be set")
    if any(options.get("role") for _, options in setters):
        problems.append("role may not be set")
    if not problems:
        return ""
    pod_set = bool(_bad_selinux(setters[0][1]))
    names = [name for name, options in setters[1:] if _bad_selinux(options)]
    who = ["pod"] if pod_set else []
    who += [_named("container", names)] if names else []
    return f"seLinuxOptions ({' and '.join(who)} set forbidden securityContext.seLinuxOptions: {'; '.join(problems)})"


def _bad_selinux(options: Object) -> bool:
    return bool(options.get("type", "") not in SELINUX_TYPES or options.get("user") or options.get("role"))


def proc_mount(metadata: Object, spec: Object) -> str:
    found = [one for one in containers(spec) if _context(one).get("procMount", "Default") != "Default"]
    if not found or spec.get("hostUsers") is False:
        return ""
    values = sorted({_context(one)["procMount"] for one in found})
    names = [one["name"] for one in found]
    return f"procMount ({_named('container', names)} must not set securityContext.procMount to {_quoted(values)})"


def sysctls(metadata: Object, spec: Object) -> str:
    used = [setting["name"] for setting in (spec.get("securityContext") or {}).get("sysctls") or ()]
    found = [name for name in used if name not in SAFE_SYSCTLS]
    return f"forbidden sysctls ({', '.join(found)})" if found else ""


def host_process(metadata: Object, spec: Object) -> str:
    found = [one["name"] for one in containers(spec) if (_context(one).get("windowsOptions") or {}).get("hostProcess")]
    who = ["pod"] if ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess") else []
    who += [_named("container", found)] if found else []
    return f"hostProcess ({' and '.join(who)} must not set securityContext.windowsOptions.hostProcess=true)" if who else ""


def seccomp_baseline(metadata: Object, spec: Object) -> str:
    """Unconfined is the one that nobody may ask for."""
    who = ["pod"] if _seccomp(spec) == "Unconfined" else []
    found = [one["name"] for one in containers(spec) if _seccomp(one) == "Unconfined"]
    who += [_named("container", found)] if found else []
    if not who:
        return ""
    return f'seccompProfile ({" and ".join(who)} must not set securityContext.seccompProfile.type to "Unconfined")'


def _seccomp(holder: Object) -> str:
    return str((_context(holder).get("seccompProfile") or {}).get("type", ""))


def allow_privilege_escalation(metadata: Object, spec: Object) -> str:
    if _on_windows(spec):
        return ""
    found = [one["name"] for one in containers(spec) if _context(one).get("allowPrivilegeEscalation") is not False]
    if not found:
        return ""
    who = _named("container", found)
    return f"allowPrivilegeEscalation != false ({who} must set securityContext.allowPrivilegeEscalation=false)"


def capabilities_restricted(metadata: Object, spec: Object) -> str:
    if _on_windows(spec):
        return ""
    keeping, adding, added = [], [], set()
    for container in containers(spec):
        capabilities = _context(container).get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or ()):
            keeping.append(container["name"])
        extra = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
        if extra:
            adding.append(container["name"])
            added |= extra
    problems = []
    if keeping:
        problems.append(f'{_named("container", keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        problems.append(
            f"{_named('container', adding)} must not include {_quoted(sorted(added))} in securityContext.capabilities.add"
        )
    return f"unrestricted capabilities ({'; '.join(problems)})" if problems else ""


def restricted_volumes(metadata: Object, spec: Object) -> str:
    found, kinds = [], set()
    for volume in spec.get("volumes") or ():
        used = [kind for kind in volume if kind != "name"]
        if not any(kind in RESTRICTED_VOLUMES for kind in used):
            found.append(volume["name"])
            kinds.add(used[0] if used else "unknown")
    if not found:
        return ""
    uses = "uses" if len(found) == 1 else "use"
    shown = f"restricted volume {_plural('type', list(kinds))} {_quoted(sorted(kinds))}"
    return f"restricted volume types ({_named('volume', found)} {uses} {shown})"


def run_as_non_root(metadata: Object, spec: Object) -> str:
    if spec.get("hostUsers") is False:
        return ""  # root in the pod is nobody on the node (KEP-127)
    pod_wide = (spec.get("securityContext") or {}).get("runAsNonRoot")
    explicit = [one["name"] for one in containers(spec) if _context(one).get("runAsNonRoot") is False]
    implicit = [one["name"] for one in containers(spec) if _context(one).get("runAsNonRoot") is None]
    problems = []
    if pod_wide is False:
        problems.append("pod must not set securityContext.runAsNonRoot=false")
    if explicit:
        problems.append(f"{_named('container', explicit)} must not set securityContext.runAsNonRoot=false")
    if not problems and implicit and not pod_wide:
        problems.append(f"pod or {_named('container', implicit)} must set securityContext.runAsNonRoot=true")
    return f"runAsNonRoot != true ({'; '.join(problems)})" if problems else ""


def run_as_user(metadata: Object, spec: Object) -> str:
    if spec.get("hostUsers") is False:
        return ""
    who = ["pod"] if (spec.get("securityContext") or {}).get("runAsUser") == 0 else []
    found = [one["name"] for one in containers(spec) if _context(one).get("runAsUser") == 0]
    who += [_named("container", found)] if found else []
    return f"runAsUser=0 ({' and '.join(who)} must not set runAsUser=0)" if who else ""


def seccomp_restricted(metadata: Object, spec: Object) -> str:
    if _on_windows(spec):
        return ""
    pod_wide = _seccomp(spec)
    explicit = [one for one in containers(spec) if _seccomp(one) not in ("", *SECCOMP_TYPES)]
    implicit = [one["name"] for one in containers(spec) if not _seccomp(one)]
    who, values = [], set()
    if pod_wide not in ("", *SECCOMP_TYPES):
        who.append("pod")
        values.add(pod_wide)
    if explicit:
        who.append(_named("container", [one["name"] for one in explicit]))
        values |= {_seccomp(one) for one in explicit}
    if who:
        shown = f"must not set securityContext.seccompProfile.type to {_quoted(sorted(values))}"
        return f"seccompProfile ({' and '.join(who)} {shown})"
    if implicit and not pod_wide:
        shown = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        return f"seccompProfile (pod or {_named('container', implicit)} {shown})"
    return ""


CHECKS: tuple[tuple[Check, str], ...] = (
    (app_armor, "baseline"),
    (capabilities_baseline, "baseline"),
    (host_namespaces, "baseline"),
    (host_path_volumes, "baseline"),
    (host_ports, "baseline"),
    (host_probes, "baseline"),
    (privileged, "baseline"),
    (proc_mount, "baseline"),
    (seccomp_baseline, "baseline"),
    (selinux, "baseline"),
    (sysctls, "baseline"),
    (host_process, "baseline"),
    (allow_privilege_escalation, "restricted"),
    (capabilities_restricted, "restricted"),
    (restricted_volumes, "restricted"),
    (run_as_non_root, "restricted"),
    (run_as_user, "restricted"),
    (seccomp_restricted, "restricted"),
)
# What a check of the restricted level says too, and stricter.
REPLACED = frozenset((capabilities_baseline, host_path_volumes, seccomp_baseline))
