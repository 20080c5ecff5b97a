"""Validation of security contexts, of the pod and of its containers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pybernetes.apiserver.registry import checks
from pybernetes.machinery.errors import FieldError
from pybernetes.machinery.meta import Object

_SYSCTL_PATTERN = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_SYSCTL = re.compile(_SYSCTL_PATTERN)
_PROFILE_PATH_MAX = 4095
# Go's type behind a container's securityContext, as messages print it.
_GO_SECURITY_CONTEXT = dict.fromkeys((
    "Capabilities", "Privileged", "SELinuxOptions", "WindowsOptions", "RunAsUser", "RunAsGroup", "RunAsNonRoot",
    "ReadOnlyRootFilesystem", "AllowPrivilegeEscalation", "ProcMount", "SeccompProfile", "AppArmorProfile",
))  # fmt: skip


def _id(value: int | None, path: str) -> Iterator[FieldError]:
    if value is not None:
        yield from checks.between(value, 0, checks.MAX_INT32, path)


def validate_pod(context: Object, spec: Object, path: str) -> Iterator[FieldError]:
    """`spec.securityContext`, and the host namespaces beside it."""
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        yield FieldError.invalid(
            path + ".shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled"
        )
    if spec.get("hostUsers") is False:
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(field):
                where = path.removesuffix("securityContext") + field
                yield FieldError.forbidden(where, "when `pod.Spec.HostUsers` is false")
    if not context:
        return
    yield from _id(context.get("fsGroup"), path + ".fsGroup")
    yield from _id(context.get("runAsUser"), path + ".runAsUser")
    yield from _id(context.get("runAsGroup"), path + ".runAsGroup")
    for i, group in enumerate(context.get("supplementalGroups") or ()):
        yield from _id(group, f"{path}.supplementalGroups[{i}]")
    if context.get("sysctls"):
        yield from _validate_sysctls(context["sysctls"], spec, path + ".sysctls")
    yield from _optional(context, "fsGroupChangePolicy", ("Always", "OnRootMismatch"), path)
    yield from _optional(context, "supplementalGroupsPolicy", ("Merge", "Strict"), path)
    yield from _optional(context, "seLinuxChangePolicy", ("MountOption", "Recursive"), path)
    yield from _validate_profiles(context, path)
    if context.get("windowsOptions"):
        yield from _validate_windows(context["windowsOptions"], path + ".windowsOptions")


def validate_container(context: Object, path: str, host_users: bool | None) -> Iterator[FieldError]:
    yield from _id(context.get("runAsUser"), path + ".runAsUser")
    yield from _id(context.get("runAsGroup"), path + ".runAsGroup")
    if context.get("procMount") is not None:
        proc_mount = context["procMount"]
        yield from checks.one_of(proc_mount, ("Default", "Unmasked"), path + ".procMount")
        if proc_mount == "Unmasked" and host_users is not False:
            yield FieldError.invalid(path + ".procMount", proc_mount, "`hostUsers` must be false to use `Unmasked`")
    yield from _validate_profiles(context, path)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            sentence = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield checks.invalid_struct(path, _go_names(context), _GO_SECURITY_CONTEXT, sentence)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            sentence = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield checks.invalid_struct(path, _go_names(context), _GO_SECURITY_CONTEXT, sentence)
    if context.get("windowsOptions"):
        yield from _validate_windows(context["windowsOptions"], path + ".windowsOptions")


def _go_names(context: Object) -> Object:
    """Messages print nested structs in Go's names, too."""
    shown: Object = dict(context)
    if shown.get("seLinuxOptions") is not None:
        shown["sELinuxOptions"] = shown.pop("seLinuxOptions")
    capabilities: Any = shown.get("capabilities")
    if capabilities is not None:
        shown["capabilities"] = {"Add": capabilities.get("add"), "Drop": capabilities.get("drop")}
    return shown


def _optional(context: Object, field: str, choices: tuple[str, ...], path: str) -> Iterator[FieldError]:
    if context.get(field) is not None:
        yield from checks.one_of(context[field], choices, f"{path}.{field}")


def _validate_profiles(context: Object, path: str) -> Iterator[FieldError]:
    if context.get("seccompProfile") is not None:
        yield from _validate_profile(context["seccompProfile"], "seccomp", path + ".seccompProfile")
    if context.get("appArmorProfile") is not None:
        yield from _validate_profile(context["appArmorProfile"], "AppArmor", path + ".appArmorProfile")


def _validate_profile(profile: Object, kind: str, path: str) -> Iterator[FieldError]:
    type_, local = profile.get("type", ""), profile.get("localhostProfile")
    local_path = path + ".localhostProfile"
    if type_ == "Localhost":
        if local is None or not local.strip():
            yield FieldError.required(local_path, f"must be set when {kind} type is Localhost")
        elif kind == "seccomp":
            yield from checks.relative_path(local, local_path)
        elif local != local.strip():
            yield FieldError.invalid(local_path, local, "must not be padded with whitespace")
        elif len(local) > _PROFILE_PATH_MAX:
            yield FieldError.too_long(local_path, _PROFILE_PATH_MAX)
    elif local is not None:
        yield FieldError.invalid(local_path, local, f"can only be set when {kind} type is Localhost")
    if not type_:
        field = "seccompProfile" if kind == "seccomp" else "appArmorProfile"
        yield FieldError.required(path + ".type", f"type is required when {field} is set")
    else:
        yield from checks.one_of(type_, ("Localhost", "RuntimeDefault", "Unconfined"), path + ".type")


def _validate_sysctls(sysctls: list[Object], spec: Object, path: str) -> Iterator[FieldError]:
    seen = set()
    for i, sysctl in enumerate(sysctls):
        here, name = f"{path}[{i}].name", sysctl.get("name", "")
        if not name:
            yield FieldError.required(here)
        elif len(name) > 253 or not _SYSCTL.match(name):
            yield FieldError.invalid(here, name, f"must have at most 253 characters and match regex {_SYSCTL_PATTERN}")
        elif name in seen:
            yield FieldError.duplicate(here, name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and (dotted.startswith("net.") or dotted == "kernel.domainname"):
            yield FieldError.invalid(here, name, "may not be specified when 'hostNetwork' is true")
        shared = dotted == "kernel.sem" or dotted.startswith(("kernel.shm", "kernel.msg", "fs.mqueue."))
        if spec.get("hostIPC") and shared:
            yield FieldError.invalid(here, name, "may not be specified when 'hostIPC' is true")
        seen.add(name)


def _validate_windows(options: Object, path: str) -> Iterator[FieldError]:
    user = options.get("runAsUserName")
    if user is not None:
        here = path + ".runAsUserName"
        if not user:
            yield FieldError.invalid(here, user, "runAsUserName cannot be an empty string")
        elif any(ord(character) < 32 or ord(character) == 127 for character in user):
            yield FieldError.invalid(here, user, "runAsUserName cannot contain control characters")
        elif user.count("\\") > 1:
            yield FieldError.invalid(here, user, "runAsUserName cannot contain more than one backslash")
