"""The API server: a handler of HTTP requests over a store.

A request passes, in upstream's order: request info → authentication → impersonation → a place (flow control) → authorization →
(admission, in the registry) → the registry, discovery, or a proxied subresource. Nothing here knows of sockets: `handle` is
served over TLS by `app`, and called directly by the in-process client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from pybernetes.apiserver import authentication, compression, deadlines, habits, indenting, refusals, requests, reviews
from pybernetes.apiserver.admission import chain
from pybernetes.apiserver.admission.condition_metrics import ConditionMetrics
from pybernetes.apiserver.admission.measured import MeasuredChain
from pybernetes.apiserver.admission.policies import params_access
from pybernetes.apiserver.admission.policies.metrics import PoliciesMetrics
from pybernetes.apiserver.admission.policies.plugins import Policies
from pybernetes.apiserver.admission.versions import KindVersions
from pybernetes.apiserver.admission.webhooks.calls import Caller
from pybernetes.apiserver.admission.webhooks.client import WebhookClient
from pybernetes.apiserver.admission.webhooks.metrics import WebhookMetrics
from pybernetes.apiserver.aggregation.aggregator import Aggregator
from pybernetes.apiserver.aggregation.service_resolver import ServiceResolver
from pybernetes.apiserver.attributes import ALL_AUTHENTICATED, MASTERS, RequestInfo, User
from pybernetes.apiserver.audit.record import Auditor, Record, target_of
from pybernetes.apiserver.authentication import legacy_token_tracking
from pybernetes.apiserver.authentication.impersonation import impersonate
from pybernetes.apiserver.authorization import union as authorization
from pybernetes.apiserver.authorization.chain import Chain as AuthorizationChain
from pybernetes.apiserver.authorization.escalation import check_write
from pybernetes.apiserver.authorization.interface import Decision
from pybernetes.apiserver.bootstrap import reconcile as bootstrap
from pybernetes.apiserver.calls import Call
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.custom_resources.converter import Conversions
from pybernetes.apiserver.custom_resources.kinds import CustomKind
from pybernetes.apiserver.custom_resources.manager import CustomResources
from pybernetes.apiserver.deadlines import Running
from pybernetes.apiserver.debugging.pages import pages
from pybernetes.apiserver.debugging.zpages import ZPages
from pybernetes.apiserver.discovery import Discovery
from pybernetes.apiserver.flow_control import doors
from pybernetes.apiserver.flow_control import metrics as flow_metrics
from pybernetes.apiserver.flow_control.controller import Controller as FlowController
from pybernetes.apiserver.flow_control.interface import TooBusy
from pybernetes.apiserver.health import Health
from pybernetes.apiserver.image import Image
from pybernetes.apiserver.lifecycle import Lifecycle
from pybernetes.apiserver.metrics import build, watches
from pybernetes.apiserver.metrics.page import page
from pybernetes.apiserver.metrics.requests import RequestMetrics
from pybernetes.apiserver.metrics.store import MeasuredStore, stored_families
from pybernetes.apiserver.openapi import OpenApi
from pybernetes.apiserver.paths import Paths
from pybernetes.apiserver.proxying.proxy import Proxy
from pybernetes.apiserver.registry import decoding, kinds, reading, rendering
from pybernetes.apiserver.registry.core import service_repair
from pybernetes.apiserver.registry.deleting import Deletes
from pybernetes.apiserver.registry.event_leases import EventLeases
from pybernetes.apiserver.registry.kinds import Kind
from pybernetes.apiserver.registry.store_access import ImageReader, ImageWriter
from pybernetes.apiserver.registry.strategy import Context, Strategy
from pybernetes.apiserver.registry.subresources import Subresources
from pybernetes.apiserver.registry.writing import Writes
from pybernetes.client.transport import InProcessTransport
from pybernetes.machinery import resources
from pybernetes.machinery.clock import Clock
from pybernetes.machinery.entropy import Entropy
from pybernetes.machinery.errors import (
    InternalError,
    NotAcceptable,
    ServiceUnavailable,
    StatusError,
    UnsupportedMediaType,
)
from pybernetes.machinery.http.health import ROOTS
from pybernetes.machinery.http.messages import Request, Response
from pybernetes.machinery.log import logger
from pybernetes.machinery.meta import Object, Resource
from pybernetes.store.interface import Store, Unavailable

if TYPE_CHECKING:
    from prometheus_client import Metric

    from pybernetes.apiserver.authentication.tokens import Issuer

log = logger("apiserver")

START_WAIT_S = 5.0  # for which a request is held while the server starts
_PROXIED = deadlines.LONG_RUNNING_SUBRESOURCES
_WITHOUT_COLUMNS = frozenset(("binding", "eviction", "token"))
_OWN = frozenset(("scale", "binding", "eviction", "token"))
SYSTEM = User("system:apiserver", groups=(ALL_AUTHENTICATED, MASTERS))


class Route(NamedTuple):
    """What serves a resource: at most one of the two, and none where only subresources are served."""

    resource: Resource
    kind: Kind | None
    review: reviews.Review | None


class ApiServer:
    """`run` must be running; `handle` answers 503 until the image is loaded and the bootstrap objects are there."""

    def __init__(self, store: Store, *, clock: Clock, entropy: Entropy, config: Config) -> None:
        self.config = config
        self._store = store = MeasuredStore(store, clock)
        self._clock = clock
        self._entropy = entropy
        self.image = Image(store, clock)
        self.kinds: dict[Resource, Kind] = kinds.build(_strategies(config), resources.BUILTIN, self.image)
        self.reader = ImageReader(self.kinds)
        self.writer = ImageWriter(self.kinds, self.image, clock, entropy)
        self._authenticator = authentication.build(
            config.authentication, reader=self.reader, writer=self.writer, clock=clock, entropy=entropy
        )
        self._authorizer = AuthorizationChain(config.authorization, self.reader, clock=clock, entropy=entropy)
        self._resolver = ServiceResolver(self.reader, entropy, to_endpoints=config.enable_aggregator_routing)
        self._webhooks = WebhookClient(self._resolver, clock, InProcessTransport(self._handle_own))
        self._aggregator = Aggregator(
            self.image, self.kinds, self.reader, self.writer, self._resolver, config.front_proxy, clock
        )
        versions = self._versions = KindVersions(self.kinds)
        self._policy_metrics = PoliciesMetrics()
        self._webhook_metrics = WebhookMetrics(clock)
        conditions = self._condition_metrics = ConditionMetrics(clock)
        admission = MeasuredChain(chain.build(
            self.reader, self.writer, authorizer=self._authorizer, clock=clock, entropy=entropy,
            webhooks=Caller(self._webhooks, versions, entropy, self._authorizer, self._webhook_metrics, conditions),
            policies=Policies(versions, self._policy_metrics, conditions), versions=versions,
            tolerations_s=config.default_tolerations_s, documents=config.admission_documents,
            enable=config.enable_admission_plugins, disable=config.disable_admission_plugins,
        ).plugins, clock)  # fmt: skip
        self._admission = admission
        self._writes = Writes(
            self.image, self._context, admission, self._check_grant, self._authorize,
            EventLeases(store, clock, config.event_ttl_s),
        )  # fmt: skip
        self._deletes = Deletes(self._writes, admission)
        self._tokens = self._token_issuer()
        self._subresources = Subresources(self._writes, self._deletes, self.kinds, self._tokens)
        self._proxy = Proxy(self.reader, config.kubelets, self._authorizer, admission, clock=clock, entropy=entropy)
        self._discovery = Discovery(f"{config.external_hostname or config.advertise_address}:{config.secure_port}")
        self._openapi = OpenApi()
        asked = reviews.handlers(self._authenticator, self._authorizer, self._clock)
        self._routes = {
            (found.group, found.version, found.plural): Route(found, self.kinds.get(found), asked.get(found))
            for found in resources.BUILTIN
        }
        self._conversions = Conversions(self._webhooks, clock=clock, entropy=entropy)
        self.metrics = RequestMetrics(self._routes)
        self._custom = CustomResources(
            self.image, self.kinds[resources.CUSTOM_RESOURCE_DEFINITIONS], self.writer, self._deletes, self._conversions,
            clock=clock, entropy=entropy, publish=self._publish, withdraw=self._withdraw, announce=self._announce,
        )  # fmt: skip
        self.lifecycle = Lifecycle(clock)
        self._ready = asyncio.Event()
        self._auditor: Auditor | None = None
        if config.audit_policy is not None and config.audit_backends is not None:
            self._auditor = Auditor(config.audit_policy, config.audit_backends, clock=clock, entropy=entropy)
        self._deadlines = deadlines.Deadlines(clock, config.request_timeout_s, self.metrics.tick)
        self._gate, self._door = doors.make(
            config.max_requests_inflight, config.max_mutating_requests_inflight, fair=config.enable_priority_and_fairness,
            clock=clock, stored=self._stored, request_timeout_s=config.request_timeout_s,
        )  # fmt: skip
        self._health = Health(store, self.image, self.lifecycle, config.health, config.checks)
        zpages = ZPages(clock, config.flags)
        self._paths = Paths(
            store=store, health=self._health, discovery=self._discovery, openapi=self._openapi, aggregator=self._aggregator,
            tokens=self._tokens, pages={
                "/metrics": self._serve_metrics, "/metrics/slis": self._serve_slis, "/statusz": zpages.statusz,
                "/flagz": zpages.flagz, **pages(self._gate, profiling=config.profiling, logs=config.enable_logs_handler),
            },
        )  # fmt: skip
        self.metric_sources = self._metric_sources(store, admission)

    def _metric_sources(self, store: MeasuredStore, admission: MeasuredChain) -> list[Callable[[], Sequence[Metric]]]:
        """Who counts what /metrics shows; who else does may be added."""
        found: list[Callable[[], Sequence[Metric]]] = [
            build.families, self.metrics.families, admission.families, lambda: store.families(self.kinds),
            lambda: stored_families(self.kinds.values(), self.config.storage_files), lambda: watches.families(self.kinds),
            self._authenticator.metrics.families, self._authorizer.metrics.families, self._conversions.metrics.families,
            self._policy_metrics.families, self._webhook_metrics.families, self._condition_metrics.families,
        ]  # fmt: skip
        gate, auditor = self._gate, self._auditor
        if gate is not None:
            found.append(lambda: flow_metrics.families(gate))
        if auditor is not None:
            found.append(auditor.families)
        return found

    async def _serve_metrics(self, _request: Request) -> Response:
        families = [family for source in self.metric_sources for family in source()]
        return await page(families, self.config.registries, self.config.disabled_metrics)

    async def _serve_slis(self, _request: Request) -> Response:
        return await page(self._health.families(), (), self.config.disabled_metrics, process=False)

    def _stored(self, info: RequestInfo) -> tuple[int, int] | None:
        """How many objects of a resource are stored here, and the bytes of one."""
        route = self._routes.get((info.group, info.version, info.resource))
        kind = route.kind if route is not None else None
        return None if kind is None else (len(kind.table), kind.table.average_size())

    def _token_issuer(self) -> Issuer | None:
        """None without a key: such a server verifies at most."""
        options = self.config.authentication
        if not options.service_account_issuer or options.service_account_signing_key_file is None:
            return None
        from pybernetes.apiserver.authentication.tokens import Issuer  # loads pyjwt and cryptography

        return Issuer(options, reader=self.reader, clock=self._clock, entropy=self._entropy)

    @property
    def requests_under_way(self) -> int:
        """Short ones."""
        return self._deadlines.count

    async def close(self) -> None:
        """Let go of connections to kubelets, webhooks and extension servers, and to whoever knows tokens."""
        await self._proxy.close()
        await self._conversions.close()
        await self._webhooks.close()
        await self._admission.close()
        await self._aggregator.close()
        await self._authenticator.close()
        await self._authorizer.close()
        if self._auditor is not None:
            await self._auditor.close()

    async def run(self) -> None:
        """Follow the store, make what every cluster has; until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.image.run(), name="image")
            group.create_task(self._deadlines.run(), name="deadlines")
            group.create_task(self._authenticator.run(), name="authentication")
            group.create_task(self._authorizer.run(), name="authorization")
            await self.image.wait_synced()
            done = self.lifecycle.done
            done("generic-apiserver-start-informers")
            await bootstrap.ensure(self.reader, self.writer, service_cidr=",".join(self.config.service_cidrs))
            done(
                "start-system-namespaces-controller", "rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes",
                "priority-and-fairness-config-producer",
            )  # fmt: skip
            if self._gate is not None:
                schemas, levels = self.kinds[resources.FLOW_SCHEMAS], self.kinds[resources.PRIORITY_LEVEL_CONFIGURATIONS]
                flow = FlowController(
                    self._gate, schemas.table, levels.table, self.reader, self.writer, self._clock, self._entropy
                )
                flow.follow()
                group.create_task(flow.run(), name="priority and fairness")
            done("priority-and-fairness-config-consumer")
            await service_repair.repair(self.reader, self.writer)
            await legacy_token_tracking.ensure(self.reader, self.writer, self._clock)
            done("start-service-ip-repair-controllers", "start-legacy-token-tracking-controller")
            if self.config.cluster_addons:
                await bootstrap.ensure_cluster_addons(self.reader, self.writer)
            await self._custom.settle()
            done("start-apiextensions-controllers", "crd-informer-synced")
            await self._aggregator.settle()
            done("start-kube-aggregator-informers", "apiservice-registration-controller")
            group.create_task(self._aggregator.run(), name="aggregation")
            group.create_task(self._custom.run(), name="custom resources")
            self._ready.set()
            await self.image.index()

    def _publish(self, kind: CustomKind) -> None:
        resource = kind.resource
        self._withdraw(resource)
        self.kinds[resource] = kind
        self._versions.forget()
        self._routes[resource.group, resource.version, resource.plural] = Route(resource, kind, None)

    def _withdraw(self, resource: Resource) -> None:
        known = self._routes.pop((resource.group, resource.version, resource.plural), None)
        if known is not None:
            self.kinds.pop(known.resource, None)
            self._versions.forget()

    def _announce(self, custom: Sequence[CustomKind]) -> None:
        self._discovery.serve(custom)
        self._openapi.serve_custom(custom)

    async def wait_ready(self) -> None:
        await self._ready.wait()

    # The pipeline

    async def handle(self, request: Request) -> Response:
        """Answer one request; never raises for what the client did."""
        if self.lifecycle.refusing and not request.path.startswith((*ROOTS, "/metrics")):
            return self.lifecycle.refusal()
        started = self._clock.monotonic()
        query = requests.parse_query(request.query)
        info = requests.parse_target(request, query)
        running = None if deadlines.is_long_running(info) else self._deadlines.start(started)
        reads = self.metrics.begin(info) if running is not None else False
        record = self._auditor.begin(request, info) if self._auditor is not None else None
        try:
            if running is not None and "timeout" in query:
                response = await self._serve_in_time(request, info, query, record, running)
            else:
                response = await self._serve(request, info, query, record, running)
        except StatusError as error:
            response = self._failure(request, error)
        except TooBusy as busy:
            headers = {**refusals.TEXT, "Retry-After": "1", **busy.headers}
            response = Response(429, headers, b"Too many requests, please try again later.\n")
        except asyncio.CancelledError:
            if running is None or not running.expired or running.task.uncancel():
                raise
            response = self._failure(request, deadlines.timed_out())
        except Unavailable as error:
            response = self._failure(request, ServiceUnavailable(f"the store is unavailable: {error}", retry_after_s=1))
        except Exception:
            log.exception("Request failed", method=request.method, path=request.path)
            response = self._failure(request, InternalError(f"Internal error occurred: {request.method} {request.path}"))
        finally:
            if running is not None:
                self._deadlines.end(running)
                self.metrics.end(reads)
        if record is not None:
            record.took(self._clock.monotonic() - started, running.waited_s if running is not None else 0.0)
            await record.finish(response)
        if running is not None:
            habit = habits.of(request)
            if indenting.wanted(request.query, by_people=habit.indents):
                indenting.indent(response)
            if habit.compresses:
                await compression.compress(response)
        if request.http2 and self.config.goaway_chance and self._entropy.random() < self.config.goaway_chance:
            response.headers["Connection"] = "close"
        waited_s = running.waited_s if running is not None else 0.0
        self.metrics.observe(request, info, query, response, self._clock.monotonic() - started, waited_s)
        return response

    async def _handle_own(self, request: Request) -> Response:
        """A request of the server's own user, from within; it waits for no place."""
        query = requests.parse_query(request.query)
        try:
            return await self._serve_user(request, requests.parse_target(request, query), query, SYSTEM, None)
        except StatusError as error:
            return self._failure(request, error)

    async def _wait_for_start(self) -> None:
        """The rest of a start mostly takes less than the second that a refused client would stay away."""
        try:
            async with asyncio.timeout(START_WAIT_S):
                await self._ready.wait()
        except TimeoutError:
            raise ServiceUnavailable("the server is starting", retry_after_s=1) from None

    async def _serve_in_time(
        self, request: Request, info: RequestInfo, query: Mapping[str, str], record: Record | None, running: Running | None
    ) -> Response:
        limit_s = deadlines.requested_s(query) or self._deadlines.limit_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._serve(request, info, query, record, running)
        except TimeoutError:
            raise deadlines.timed_out() from None

    async def _serve(
        self, request: Request, info: RequestInfo, query: Mapping[str, str], record: Record | None, running: Running | None
    ) -> Response:
        if not self._ready.is_set():
            if request.path.startswith(ROOTS):  # nobody can be authorized yet, and a supervisor wants to know
                return await self._paths.health(request)
            await self._wait_for_start()
        caller = await self._authenticator.authenticate(request)
        if record is not None and not await record.identify(caller):
            return authorization.undecided(target_of(request), "failed to store audit event")
        user = caller
        if habits.of(request).impersonates:
            user, constraint = await impersonate(caller, request.headers, info, self._authorizer)
            if record is not None and user is not caller:
                record.impersonates(user, constraint)
        door = self._door
        if door is None or deadlines.is_unlimited(info):
            return await self._serve_user(request, info, query, user, record)
        seat = door.seat(user, info, query)
        if not door.enter_at_once(seat):
            began = self._clock.monotonic()
            seat = await door.wait(seat, user, info, len(request.body))
            if running is not None:
                running.waited_s = self._clock.monotonic() - began
        try:
            response = await self._serve_user(request, info, query, user, record)
        except StatusError as error:
            response = self._failure(request, error)
        finally:
            door.leave(seat)
        response.headers.update(seat.headers)
        return response

    async def _serve_user(
        self, request: Request, info: RequestInfo, query: Mapping[str, str], user: User, record: Record | None
    ) -> Response:
        verdict = await self._authorizer.authorize(user, info)
        self._authorizer.metrics.attempted(verdict)
        if record is not None:
            record.authorized(verdict.decision is Decision.ALLOW, verdict.reason, verdict.error)
        if verdict.decision is not Decision.ALLOW and verdict.error:
            log.warning("Authorization failed", path=request.path, err=verdict.error)
            return authorization.undecided(target_of(request), verdict.error)
        if verdict.decision is not Decision.ALLOW:
            raise authorization.forbidden(user, info, verdict.reason)
        elsewhere = self._aggregator.service_for(info)
        if elsewhere is not None:
            self._authenticator.identity_headers.take_off(request)
            return await self._aggregator.serve(elsewhere, request, user)
        if not info.is_resource:
            return await self._paths.serve(request, user)
        call = Call(request, info, query, user, self._clock, self._entropy)
        if record is not None:
            call.audit_annotations = record.annotations
        try:
            return await self._serve_resource(call)
        except StatusError as error:
            return self._failure(request, error, call.warnings)

    def _failure(self, request: Request, error: StatusError, warnings: Sequence[str] = ()) -> Response:
        try:
            media = requests.negotiate(request.headers.get("accept", "")).media
        except StatusError:
            media = requests.JSON
        code = int(error.status.get("code") or error.code)
        response = rendering.respond(code, rendering.encoded(error.status, media), warnings, media)
        if error.retry_after_s:
            response.headers["Retry-After"] = str(error.retry_after_s)
        if code == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="kubernetes"'
        return response

    # Resources

    async def _serve_resource(self, call: Call) -> Response:
        info = call.info
        route = self._routes.get((info.group, info.version, info.resource))
        if route is None:
            raise refusals.unknown_path()
        resource, kind, review = route
        call.negotiate(resource, tables=kind is not None and info.subresource not in _WITHOUT_COLUMNS)
        if review is not None:
            return await self._serve_review(call, resource, review)
        if resource is resources.BINDINGS and info.verb == "create":
            return await self._subresources.bind(call, "")
        if kind is None:
            raise refusals.not_allowed()
        if info.name:
            requests.check_name(info)
        if resource.namespaced != bool(info.namespace) and not _may_span(resource, info):
            raise refusals.unknown_path()
        if isinstance(kind, CustomKind):
            _check_custom(call)
        if kind.strategy.deprecation and (info.verb in resource.verbs or info.subresource):
            call.warnings.append(kind.strategy.deprecation)
            self.metrics.deprecated.add((resource.group, resource.version, resource.plural, info.subresource, ""))
        if info.subresource:
            return await self._serve_subresource(call, kind)
        if info.verb not in resource.verbs and not (info.verb == "deletecollection" and "delete" not in resource.verbs):
            raise refusals.not_allowed()
        verb = info.verb
        if verb == "get":
            return await reading.get(call, kind, self.image)
        if verb == "list":
            if call.request.method == "HEAD":
                raise refusals.not_allowed()
            return await reading.list_(call, kind, self.image)
        if verb == "watch":
            response = await reading.watch(call, kind, self.image, self.config.min_request_timeout_s)
            if "upgrade" in call.request.headers:
                from pybernetes.apiserver.websocket_watch import over_websocket  # loads wsproto

                return over_websocket(call.request, response)
            return response
        if verb == "create" and not info.name:
            return await self._writes.create(call, kind)
        if verb == "update" and info.name:
            return await self._writes.update(call, kind)
        if verb == "patch" and info.name:
            return await self._writes.patch(call, kind)
        if verb == "delete":
            return await self._deletes.delete(call, kind)
        if verb == "deletecollection":
            return await self._deletes.delete_collection(call, kind)
        raise refusals.not_allowed()

    async def _serve_subresource(self, call: Call, kind: Kind) -> Response:
        info = call.info
        below = kind.subresources.get(info.subresource)
        if below is None:
            raise refusals.unknown_path()
        if info.verb not in below.verbs and (info.subresource, call.request.method) != ("proxy", "OPTIONS"):
            raise refusals.not_allowed()
        if info.subresource in _PROXIED:
            self._authenticator.identity_headers.take_off(call.request)
            await self.image.current()
            return await self._proxy.serve(call)
        if info.subresource in _OWN:
            return await self._subresources.serve(call, kind)
        if info.verb == "get":
            return await reading.get(call, kind, self.image)
        if info.verb == "update":
            return await self._writes.update(call, kind, info.subresource)
        return await self._writes.patch(call, kind, info.subresource)

    async def _serve_review(self, call: Call, resource: Resource, review: reviews.Review) -> Response:
        if call.info.verb != "create":
            raise refusals.not_allowed()
        obj = decoding.read_request(call, resource.gvk)
        answer = await review(obj, call.info, call.user)
        answer = {"kind": resource.kind, "apiVersion": resource.api_version, **answer}
        return rendering.respond_object(201, answer, call.format, call.warnings)

    async def _check_grant(self, kind: Kind, obj: Object, old: Object | None, user: User) -> None:
        if kind.resource.group == resources.ROLES.group:
            await check_write(kind.resource, obj, old, user, self._authorizer, self.reader)
        elif kind.resource.group == resources.VALIDATING_ADMISSION_POLICIES.group:
            await params_access.check_write(kind.resource, obj, old, user, self._authorizer, self.reader, self._versions)

    async def _authorize(self, call: Call, verb: str) -> None:
        """Some requests do more than their method says: a PUT or an apply may create. Raises `Forbidden`."""
        info = replace(call.info, verb=verb)
        verdict = await self._authorizer.authorize(call.user, info)
        if verdict.decision is not Decision.ALLOW and verdict.error:
            raise InternalError(f"Internal error occurred: {verdict.error}")
        if verdict.decision is not Decision.ALLOW:
            raise authorization.forbidden(call.user, info, verdict.reason)

    def _context(self, call: Call) -> Context:
        return Context(
            self._clock.now(), self._entropy, call.user, self.reader, self.writer, call.dry_run,
            self.config.service_cidrs, self.config.node_port_range,
        )  # fmt: skip


def _strategies(config: Config) -> Sequence[Strategy]:
    if config.strategies is not None:
        return config.strategies
    from pybernetes.apiserver.registry.all import STRATEGIES

    return STRATEGIES


def _check_custom(call: Call) -> None:
    """What custom resources cannot do. Raises `NotAcceptable`, `UnsupportedMediaType`."""
    if call.format.media == requests.PROTOBUF and call.format.shape == "object":
        raise NotAcceptable("only the following media types are accepted: application/json, application/yaml")
    content_type = call.request.headers.get("content-type", "").partition(";")[0].strip()
    if call.info.verb == "patch" and content_type == decoding.STRATEGIC_PATCH:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{decoding.JSON_PATCH}, {decoding.MERGE_PATCH}, {decoding.APPLY_PATCH}"
        )


def _may_span(resource: Resource, info: RequestInfo) -> bool:
    """Namespaced resources may be listed and watched over all namespaces; a namespace is named by its own path."""
    if resource.namespaced:
        return info.verb in ("list", "watch")
    return resource is resources.NAMESPACES
