"""Front proxies name users by headers, if their certificate is theirs to do so."""

from ssl import PEM_cert_to_DER_cert

import pytest

from pybernetes.apiserver.attributes import User
from pybernetes.apiserver.authentication import Options, RequestHeaderOptions, build
from pybernetes.machinery import errors, pki
from pybernetes.machinery.http.messages import Repeated, Request


def der(pem):
    return PEM_cert_to_DER_cert(pem.decode())


def chain(authority, name, *organizations, now):
    pair = authority.issue(name, organizations, now=now)
    return (der(pair.certificate_pem), der(authority.certificate_pem))


@pytest.fixture
def authorities(clock, tmp_path):
    made = {name: pki.Authority.create(name, clock.now()) for name in ("users", "proxies")}
    for name, authority in made.items():
        (tmp_path / f"{name}.crt").write_bytes(authority.certificate_pem)
    return made


@pytest.fixture
def authenticator(authorities, cluster, clock, entropy, tmp_path):
    options = Options(
        client_ca_file=tmp_path / "users.crt",
        request_header=RequestHeaderOptions(
            tmp_path / "proxies.crt", ("front",), ("X-Remote-User", "X-Other-User"), ("X-Remote-Uid",),
            ("X-Remote-Group", "X-Other-Group"), ("X-Remote-Extra-", "X-Other-Extra-"),
        ),
    )  # fmt: skip
    return build(options, reader=cluster, writer=cluster, clock=clock, entropy=entropy)


def request(peers, **headers):
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/", headers=sent, peer_certificate=peers[0], peer_chain=peers)


async def test_a_front_proxy_says_who_asks(authenticator, authorities, clock):
    groups = Repeated.joined("CN=dev, OU=x", "ops")
    asked = request(
        chain(authorities["proxies"], "front", now=clock.now()), x_remote_user="jane", x_remote_uid="7", x_remote_group=groups,
        x_other_group="late", x_remote_extra_acme_2ecom="", **{"x-remote-extra-acme.com%2fproject": "a, b", "accept": "*/*"},
    )  # fmt: skip
    user = await authenticator.authenticate(asked)
    assert (user.name, user.uid) == ("jane", "7")
    assert user.groups == ("CN=dev, OU=x", "ops", "late", "system:authenticated")
    assert user.extra["acme.com/project"] == ("a, b",)
    assert asked.headers == {"accept": "*/*"}


async def test_the_first_header_that_names_a_user_counts(authenticator, authorities, clock):
    front = chain(authorities["proxies"], "front", now=clock.now())
    assert (await authenticator.authenticate(request(front, x_other_user="joe"))).name == "joe"
    assert (await authenticator.authenticate(request(front, x_other_user="joe", x_remote_user="jane"))).name == "jane"


async def test_a_front_proxy_of_another_name_is_refused(authenticator, authorities, clock):
    other = chain(authorities["proxies"], "back", now=clock.now())
    with pytest.raises(errors.Unauthorized) as refused:
        await authenticator.authenticate(request(other, x_remote_user="jane"))
    # The later reason counts: that authority is none for users either.
    assert refused.value.message == "Unauthorized"


async def test_a_front_proxys_certificate_is_no_user(authenticator, authorities, clock):
    masters = chain(authorities["proxies"], "front", "system:masters", now=clock.now())
    with pytest.raises(errors.Unauthorized):
        await authenticator.authenticate(request(masters))


async def test_a_user_cannot_speak_for_another(authenticator, authorities, clock):
    user = chain(authorities["users"], "front", now=clock.now())
    asked = request(user, x_remote_user="admin", x_remote_group="system:masters")
    found = await authenticator.authenticate(asked)
    assert (found.name, found.groups) == ("front", ("system:authenticated",))


async def test_without_names_any_proxy_of_the_authority_is_allowed(authorities, cluster, clock, entropy, tmp_path):
    options = Options(request_header=RequestHeaderOptions(tmp_path / "proxies.crt", username_headers=("X-Remote-User",)))
    authenticator = build(options, reader=cluster, writer=cluster, clock=clock, entropy=entropy)
    asked = request(chain(authorities["proxies"], "whoever", now=clock.now()), x_remote_user="jane")
    assert await authenticator.authenticate(asked) == User("jane", groups=("system:authenticated",))
    # Without an authority for users, no certificate is one.
    bare = request(chain(authorities["proxies"], "whoever", now=clock.now()))
    assert (await authenticator.authenticate(bare)).name == "system:anonymous"


async def test_headers_without_a_certificate_say_nothing(authenticator):
    asked = Request("GET", "/", headers={"x-remote-user": "admin"})
    assert (await authenticator.authenticate(asked)).name == "system:anonymous"


async def test_an_authority_may_be_replaced_while_the_server_runs(authenticator, authorities, clock, tmp_path):
    newer = pki.Authority.create("users", clock.now())
    asked = request(chain(newer, "jane", now=clock.now()))
    with pytest.raises(errors.Unauthorized):
        await authenticator.authenticate(asked)
    (tmp_path / "users.crt").write_text("half a f")
    authenticator.reload()
    assert (await authenticator.authenticate(request(chain(authorities["users"], "old", now=clock.now())))).name == "old"
    (tmp_path / "users.crt").write_bytes(newer.certificate_pem)
    authenticator.reload()
    assert (await authenticator.authenticate(asked)).name == "jane"


def test_a_header_needs_a_name(authorities, cluster, clock, entropy, tmp_path):
    options = Options(request_header=RequestHeaderOptions(tmp_path / "proxies.crt", username_headers=("X-User", " ")))
    with pytest.raises(ValueError, match='empty header " "'):
        build(options, reader=cluster, writer=cluster, clock=clock, entropy=entropy)


async def test_a_connection_does_not_outlive_its_certificate(authenticator, authorities, clock):
    user = request(chain(authorities["users"], "jane", now=clock.now()))
    proxy = request(chain(authorities["proxies"], "front", now=clock.now()), x_remote_user="jane")
    assert (await authenticator.authenticate(user)).name == "jane"
    clock.advance(366 * 24 * 3600)
    for asked in (user, proxy):
        with pytest.raises(errors.Unauthorized):
            await authenticator.authenticate(asked)
