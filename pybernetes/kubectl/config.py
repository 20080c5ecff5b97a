"""`kubectl config`: show the kubeconfig, and change its current context and namespace."""

from __future__ import annotations

from pybernetes.client import kubeconfig
from pybernetes.kubectl import output
from pybernetes.kubectl.command import Command
from pybernetes.kubectl.failure import Failure
from pybernetes.kubectl.flags import Flag, Kind, Parsed
from pybernetes.kubectl.session import Session
from pybernetes.kubectl.tables import TableWriter
from pybernetes.machinery.meta import Object

_SECRET = ("client-certificate-data", "client-key-data", "certificate-authority-data")


async def view(session: Session, parsed: Parsed) -> int:
    config = session.config()
    if parsed.options.flag("minify"):
        config = _minified(config, session)
    shown = config if parsed.options.flag("raw") else _redacted(config)
    kind = parsed.options.text("output") or "yaml"
    if kind.partition("=")[0].startswith("jsonpath"):
        output.printer(parsed.options, session.stdout)(shown)
    else:
        session.stdout.write(output.to_json(shown) + "\n" if kind == "json" else output.to_yaml(shown))
    return 0


def _minified(config: Object, session: Session) -> Object:
    name = session.options.text("context") or config.get("current-context", "")
    chosen = [each for each in config["contexts"] if each["name"] == name]
    if not chosen:
        raise Failure("cannot locate context " + name)
    context = chosen[0].get("context") or {}
    return {
        **config,
        "contexts": chosen,
        "clusters": [each for each in config["clusters"] if each["name"] == context.get("cluster")],
        "users": [each for each in config["users"] if each["name"] == context.get("user")],
    }


def _redacted(config: Object) -> Object:
    def clean(body: Object) -> Object:
        shown = {key: ("DATA+OMITTED" if key in _SECRET else value) for key, value in body.items()}
        return {key: ("REDACTED" if key in ("token", "password") else value) for key, value in shown.items()}

    return {
        **config,
        "clusters": [{**each, "cluster": clean(each.get("cluster") or {})} for each in config.get("clusters") or ()],
        "users": [{**each, "user": clean(each.get("user") or {})} for each in config.get("users") or ()],
    }


async def current_context(session: Session, parsed: Parsed) -> int:
    name = session.config().get("current-context")
    if not name:
        raise Failure("current-context is not set")
    session.print(name)
    return 0


async def get_contexts(session: Session, parsed: Parsed) -> int:
    config = session.config()
    if parsed.options.text("output") == "name":
        for each in config.get("contexts") or ():
            session.print(each["name"])
        return 0
    rows = [] if parsed.options.flag("no-headers") else [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
    for each in config.get("contexts") or ():
        context = each.get("context") or {}
        current = "*" if each["name"] == config.get("current-context") else ""
        rows.append([current, each["name"], context.get("cluster", ""), context.get("user", ""), context.get("namespace", "")])
    TableWriter(session.stdout).write(rows)
    return 0


async def use_context(session: Session, parsed: Parsed) -> int:
    if len(parsed.args) != 1:
        raise Failure("accepts exactly one context name")
    name = parsed.args[0]
    path = session.config_paths()[0]
    config = kubeconfig.load(path)
    if not any(each["name"] == name for each in config.get("contexts") or ()):
        raise Failure(f'no context exists with the name: "{name}"')
    kubeconfig.write(path, {**config, "current-context": name})
    session.print(f'Switched to context "{name}".')
    return 0


async def set_context(session: Session, parsed: Parsed) -> int:
    options = parsed.options
    path = session.config_paths()[0]
    config = kubeconfig.load(path)
    name = config.get("current-context", "") if options.flag("current") else (parsed.args or [""])[0]
    if not name:
        raise Failure("you must specify a non-empty context name or --current")
    contexts = list(config.get("contexts") or ())
    found = next((each for each in contexts if each["name"] == name), None)
    if found is None:
        found = {"name": name, "context": {}}
        contexts.append(found)
        verb = "created"
    else:
        verb = "modified"
    for flag in ("namespace", "cluster", "user"):
        if options.given(flag):
            found["context"] = {**(found.get("context") or {}), flag: options.text(flag)}
    kubeconfig.write(path, {**config, "contexts": contexts})
    session.print(f'Context "{name}" {verb}.')
    return 0


_OUTPUT = Flag("output", "json or yaml", short="o")
COMMAND = Command(
    "config",
    "Show and change kubeconfig files",
    usage="SUBCOMMAND",
    commands=(
        Command(
            "view", "Show the merged kubeconfig",
            flags=(
                _OUTPUT,
                Flag("raw", "Show secrets", Kind.BOOL),
                Flag("minify", "Only what the current context uses", Kind.BOOL),
                Flag("flatten", "Accepted for compatibility", Kind.BOOL, hidden=True),
                Flag("merge", "Accepted for compatibility", Kind.BOOL, default=True, hidden=True),
            ),
            run=view,
        ),
        Command("current-context", "Show the current context", run=current_context),
        Command(
            "get-contexts", "List the contexts", flags=(_OUTPUT, Flag("no-headers", "Leave the column names out", Kind.BOOL)),
            run=get_contexts,
        ),
        Command("use-context", "Make a context the current one", "NAME", run=use_context),
        Command("set-context", "Change a context", "[NAME | --current] [--namespace=…]",
                flags=(Flag("current", "The current context", Kind.BOOL),), run=set_context),
    ),
)  # fmt: skip
