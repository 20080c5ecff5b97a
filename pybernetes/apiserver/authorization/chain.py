"""The authorizers that a configuration asks for, and the following of its file.

RBAC, Node and ABAC are made once, at the start, and live on through all reloads; webhooks are made anew by each. What cannot be
followed is said in the log, and the last good configuration goes on.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.configuration import (
    DEFAULT_MODES,
    WEBHOOK,
    Configuration,
    ConfigurationError,
    Webhook,
    of_modes,
    parse,
)
from pybernetes.apiserver.authorization.interface import Authorizer, Rules, Verdict
from pybernetes.apiserver.authorization.metrics import Metrics
from pybernetes.apiserver.authorization.node import NodeAuthorizer
from pybernetes.apiserver.authorization.rbac import RBAC
from pybernetes.apiserver.authorization.union import AlwaysAllow, AlwaysDeny, Member, Union
from pybernetes.apiserver.registry.strategy import Reader
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.files import stamp_of
from pybernetes.machinery.log import logger

if TYPE_CHECKING:
    from pybernetes.apiserver.authorization.webhook import WebhookAuthorizer

log = logger("apiserver")

LOOK_PERIOD_S: Final = 1.0  # at the file's stamp
# That requests under way have to end with webhooks that are gone from the configuration: longer than any question is tried.
FAREWELL_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a server authorizes. With a `file` that is what is followed, and `configuration` is ignored."""

    configuration: Configuration = field(default_factory=lambda: of_modes(DEFAULT_MODES))
    file: str = ""  # an AuthorizationConfiguration
    policy_file: str = ""  # of ABAC
    server_id: str = ""  # for metrics


class Chain:
    """The authorizer of a server. `run` follows the file, if there is one; `close` when the server ends."""

    def __init__(self, options: Options, reader: Reader, *, clock: Clock, entropy: Entropy) -> None:
        """Raises `ConfigurationError`, `PolicyError`, and OSError for files that cannot be read."""
        self.metrics = Metrics(options.server_id)
        self._clock = clock
        self._entropy = entropy
        self._file = options.file
        self._stamp = stamp_of(self._file)
        self._content = Path(self._file).read_bytes() if self._file else b""
        self._configuration = parse(self._content) if self._file else options.configuration
        if self._file:
            self.metrics.reloads.configured(self._content)
        self._required = {found.type for found in self._configuration} - {WEBHOOK}
        self._kept: dict[str, Authorizer] = {"AlwaysAllow": AlwaysAllow(), "AlwaysDeny": AlwaysDeny()}
        if "Node" in self._required:
            self._kept["Node"] = NodeAuthorizer(reader)
        if "RBAC" in self._required:
            self._kept["RBAC"] = RBAC(reader)
        if "ABAC" in self._required:
            from pybernetes.apiserver.authorization import abac

            self._kept["ABAC"] = abac.load(options.policy_file)
        self._webhooks: list[WebhookAuthorizer] = []
        self._retired: list[tuple[float, WebhookAuthorizer]] = []  # (when to close it, monotonic), the oldest first
        self._union = self._made(self._configuration)

    def authorize(self, user: User, info: RequestInfo) -> Coroutine[Any, Any, Verdict]:
        return self._union.authorize(user, info)

    def rules_for(self, user: User, namespace: str) -> Rules:
        return self._union.rules_for(user, namespace)

    async def run(self) -> None:
        """Until cancelled; at once if there is no file."""
        while self._file:
            await self._clock.sleep(LOOK_PERIOD_S)
            self.look()
            while self._retired and self._retired[0][0] <= self._clock.monotonic():
                await self._retired.pop(0)[1].close()

    def look(self) -> None:
        """Follow the file if it changed."""
        stamp = stamp_of(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._take_over()
        except Exception as error:  # whatever a file says, the server goes on
            log.error("reloading authorization config", file=self._file, err=str(error))
            self.metrics.reloads.reloaded("failure", self._clock.now().timestamp())

    async def close(self) -> None:
        """Let go of connections to webhooks."""
        for webhook in (*self._webhooks, *(retired for _, retired in self._retired)):
            await webhook.close()
        self._webhooks, self._retired = [], []

    def _take_over(self) -> None:
        """Raises OSError, `ConfigurationError`."""
        content = Path(self._file).read_bytes()
        if content == self._content:
            return
        configuration = parse(content, self._required)
        self._content = content
        if configuration == self._configuration:
            return
        before = self._webhooks
        self._union = self._made(configuration)
        self._configuration = configuration
        until_s = self._clock.monotonic() + FAREWELL_S
        self._retired += [(until_s, webhook) for webhook in before]
        self.metrics.reloads.configured(content)
        self.metrics.reloads.reloaded("success", self._clock.now().timestamp())
        log.info("reloaded authz config", file=self._file, authorizers=[found.name for found in configuration])

    def _made(self, configuration: Configuration) -> Union:
        """Raises `ConfigurationError`."""
        if not configuration:
            raise ConfigurationError("at least one authorization mode must be passed")
        webhooks, members = [], []
        for found in configuration:
            authorizer = self._kept.get(found.type)
            if found.webhook is not None:
                authorizer = made = self._webhook(found.name, found.webhook)
                webhooks.append(made)
            if authorizer is None:
                raise ConfigurationError(
                    f"authorizer type {found.type} is not allowed if it was not enabled at initial server startup"
                )
            members.append(Member(authorizer, found.type, found.name))
        self._webhooks = webhooks
        return Union(members, self.metrics)

    def _webhook(self, name: str, webhook: Webhook) -> WebhookAuthorizer:
        # Imported here: few servers have webhooks, and every server wants to start soon.
        from pybernetes.apiserver.authorization.webhook import WebhookAuthorizer
        from pybernetes.apiserver.kubeconfig_webhook import KubeconfigWebhook
        from pybernetes.client.kubeconfig import ConfigError

        try:
            remote = KubeconfigWebhook(
                webhook.kubeconfig, clock=self._clock, entropy=self._entropy, timeout_s=webhook.timeout_s
            )
        except ConfigError as error:
            raise ConfigurationError(str(error)) from error
        return WebhookAuthorizer(name, webhook, remote, clock=self._clock, metrics=self.metrics)
