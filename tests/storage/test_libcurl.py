"""HTTP by libcurl: with TLS, and whatever else a process has loaded."""

import datetime
import ipaddress
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.serving import served

BODY = b"picture" * 1000

#: Imports modules in the order that is given, and asks for a URL by libcurl.
PROGRAM = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
from transforms.sources.http import HttpFetcher, Request
from transforms.sources.limits import HttpOptions

fetcher = HttpFetcher(HttpOptions(allow_private_hosts=True))
(answer,) = fetcher.fetch([Request(sys.argv[1])])
print(answer if isinstance(answer, Exception) else len(answer))
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that only itself vouches for, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(signed.public_bytes(pem) + key.private_bytes(pem, *form))
    return path


@pytest.fixture(scope="module")
def url(certificate: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with served(server):
        yield f"https://127.0.0.1:{server.server_port}/"


def ask(url: str, *modules: str, **environment: str) -> str:
    command = [sys.executable, "-c", PROGRAM, url, *modules]
    environment = os.environ | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "modules",
    [
        ("tensorflow", "transforms.storage.http.libcurl"),
        ("transforms.storage.http.libcurl", "tensorflow"),
    ],
)
def test_libcurl_works_beside_tensorflow(
    url: str, certificate: Path, modules: tuple[str, str]
) -> None:
    """Which carries another libcurl, and another library for TLS."""
    assert ask(url, *modules, SSL_CERT_FILE=str(certificate)) == f"{len(BODY)}\n"


def test_certificates_are_checked(url: str) -> None:
    assert "http_status: no sound answer: SSL certificate" in ask(url)
