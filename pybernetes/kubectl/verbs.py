"""The verbs, in the order in which the help shows them: name, module of `pybernetes.kubectl`, help."""

from __future__ import annotations

from importlib import import_module

from pybernetes.kubectl.command import Command

VERBS: tuple[tuple[str, str, str], ...] = (
    ("create", "create", "Create a resource from a file or standard input"),
    ("get", "get", "Show resources"),
    ("delete", "delete", "Delete resources by file, name or selector"),
    ("rollout", "rollout", "Watch and manage rollouts"),
    ("scale", "scale", "Set the number of replicas"),
    ("cluster-info", "cluster_info", "Show the cluster's addresses"),
    ("cordon", "cordon", "Mark nodes as unschedulable"),
    ("uncordon", "uncordon", "Mark nodes as schedulable"),
    ("describe", "describe", "Show resources in detail"),
    ("logs", "logs", "Print a container's log"),
    ("exec", "exec", "Run a command in a container"),
    ("apply", "apply", "Apply a configuration from a file or standard input"),
    ("patch", "patch", "Change fields of a resource"),
    ("wait", "wait", "Wait for a condition"),
    ("label", "label", "Change labels"),
    ("annotate", "annotate", "Change annotations"),
    ("api-resources", "api_resources", "Show the resources that the server has"),
    ("api-versions", "api_versions", "Show the API versions that the server has"),
    ("config", "config", "Show and change kubeconfig files"),
    ("version", "version", "Show the versions of client and server"),
)
_ALIASES = {"log": "logs"}


def command(name: str) -> Command | None:
    """The verb's declaration, its module imported now; None if there is no such verb."""
    name = _ALIASES.get(name, name)
    for verb, module, _ in VERBS:
        if verb == name:
            found: Command = import_module(f"pybernetes.kubectl.{module}").COMMAND
            return found
    return None
