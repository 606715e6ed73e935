"""Certificates are checked against the name, though the connection goes to a numeric address."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from durable_host.durable_http import transport
from durable_host.durable_http.errors import HttpConnectionError, HttpRefusedError
from tests.conftest import missing

from .conftest import Names, StartServer, send

pytestmark = pytest.mark.usefixtures("loopback")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for api.test and for 127.0.0.1, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    paths = directory / "certificate.pem", directory / "key.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=api.test",
        "-addext", "subjectAltName=DNS:api.test,IP:127.0.0.1", "-out", str(paths[0]), "-keyout", str(paths[1]),
    ]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        missing("no openssl command on this machine")
    return paths


@pytest.fixture
def server_names() -> list[str | None]:
    """The names that clients asked for in their handshakes (SNI)."""
    return []


@pytest.fixture
def tls(certificate: tuple[Path, Path], server_names: list[str | None]) -> ssl.SSLContext:
    """The server's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.sni_callback = lambda _, name, __: server_names.append(name)
    return context


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the activity trust the certificate, by the variable that operators use."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    transport.tls_context.cache_clear()
    yield
    transport.tls_context.cache_clear()


@pytest.mark.usefixtures("trusted")
def test_the_certificate_must_be_the_names(
    start_server: StartServer, tls: ssl.SSLContext, names: Names, server_names: list[str | None]
) -> None:
    server = start_server(tls=tls)
    server.answer("/", 200, "safe")
    names.answers |= {"api.test": [["127.0.0.1"]], "other.test": [["127.0.0.1"]]}
    assert send("GET", server.url(host="api.test"))["content"] == "safe"
    with pytest.raises(HttpConnectionError, match="certificate"):
        send("GET", server.url(host="other.test"))
    assert server_names == ["api.test", "other.test"]
    assert send("GET", server.url())["content"] == "safe"
    assert len(server.seen) == 2


def test_an_unknown_authority_is_no_connection(start_server: StartServer, tls: ssl.SSLContext, names: Names) -> None:
    server = start_server(tls=tls)
    names.answers["api.test"] = [["127.0.0.1"]]
    with pytest.raises(HttpConnectionError, match="certificate"):
        send("GET", server.url(host="api.test"))
    assert server.seen == []


@pytest.mark.usefixtures("trusted")
def test_a_redirect_from_https_to_http_is_refused(start_server: StartServer, tls: ssl.SSLContext, names: Names) -> None:
    server, plain = start_server(tls=tls), start_server()
    names.answers["api.test"] = [["127.0.0.1"]]
    server.answer("/", 302, Location=plain.url(host="api.test"))
    with pytest.raises(HttpRefusedError, match="from https to http"):
        send("GET", server.url(host="api.test"))
    assert plain.seen == []
