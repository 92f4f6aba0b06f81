"""Fetch one configuration from a real web server: good, bad, silent, endless, untrusted."""

import itertools
import socket
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from plancton.config.http import MAX_BYTES, TIMEOUT, FetchedText, FetchFailed, fetch
from plancton.config.model import Config
from plancton.config.remote import ConfigUrl, RemoteConfig
from plancton.errors import ConfigError
from plancton.paths import hide_password, is_url
from tests.support import x509
from tests.support.config_server import Answer, ConfigServer


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a key and a certificate that nobody has signed."""
    key = x509.new_key()
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    return x509.write_file(path, x509.private(key) + x509.certificate(key, 24.0))


def reply(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Answer with these headers, a ``_`` in whose names is a hyphen, and this body."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def failure(url: str, **options: object) -> str:
    with pytest.raises(FetchFailed) as caught:
        fetch(url, "", **options)  # type: ignore[arg-type]
    return str(caught.value)


# One question


def test_a_configuration_comes_with_its_etag(web: ConfigServer) -> None:
    assert fetch(web.url, "") == FetchedText("engine: process\nmax_docks: 3\n", '"1"')


def test_what_has_not_changed_is_not_sent_again(web: ConfigServer) -> None:
    assert fetch(web.url, '"1"') is None
    assert web.asked[-1]["If-None-Match"] == '"1"'
    web.etag = '"2"'
    page = fetch(web.url, '"1"')
    assert page is not None and page.etag == '"2"'


def test_the_password_in_the_url_is_sent_as_one_and_never_shown(web: ConfigServer) -> None:
    url = web.url.replace("://", "://us%40er:se%3Acret@")
    assert fetch(url, "") is not None
    assert web.asked[-1]["Authorization"] == "Basic dXNAZXI6c2U6Y3JldA=="
    assert "cret" not in hide_password(url) and hide_password(url).startswith(
        "http://us%40er:***@127.0.0.1:"
    )
    assert hide_password(web.url) == web.url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("insecure_https://me:a:b@c@web:8000/x", "insecure_https://me:***@web:8000/x"),
        ("http://:secret@web/", "http://:***@web/"),
        ("https://me@web/", "https://me@web/"),
        ("https://web:8000?a=b:c@d", "https://web:8000?a=b:c@d"),
        ("https://web/a:b@c", "https://web/a:b@c"),
        ("https://web:8000/a:b@c", "https://web:8000/a:b@c"),
        ("https://[::1]:8000/a@c", "https://[::1]:8000/a@c"),
    ],
)
def test_a_password_is_hidden_in_any_url(url: str, shown: str) -> None:
    assert hide_password(url) == shown


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("http://x/y", True), ("insecure_https://x", True), ("/etc/x", False), ("conf", False),
     ("htps://x", True)],
)  # fmt: skip
def test_a_url_of_a_mistyped_scheme_is_no_path(text: str, is_one: bool) -> None:
    assert is_url(text) is is_one


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("htps://me:secret@web/x", "unknown scheme 'htps'"),
        ("ftp://me:secret@web/x", "unknown scheme 'ftp'"),
        ("file:///etc/passwd", "unknown scheme 'file'"),
        ("me:secret@web/x", "no scheme"),
        ("/etc/plancton", "no scheme"),
    ],
)
def test_a_configuration_comes_over_http_only(url: str, what: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ConfigUrl.from_environment(url, {})

    assert str(refused.value) == (
        f"URL of the configuration (--confdir or PLANCTON_CONF_URL): {what}; write "
        "https://HOST/PATH, http:// or insecure_https://"
    )


@pytest.mark.parametrize("sign", "/?#")
def test_a_password_that_cuts_the_url_is_refused_and_not_shown(sign: str) -> None:
    url = f"http://me:sec{sign}ret@web:8000/x"

    assert failure(url) == (
        "the port is no number up to 65535; write / ? # @ % in a password as %XX"
    )
    assert hide_password(url) == "http://me:***@web:8000/x"


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_an_error_of_the_server_is_reported(web: ConfigServer, status: int) -> None:
    web.answer = lambda request: request.send_error(status)
    assert failure(web.url).startswith(f"the server answers {status} ")


def test_a_server_that_is_not_there_is_reported() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/") == "Connection refused"


def test_a_server_that_says_nothing_is_given_up(web: ConfigServer) -> None:
    hold = threading.Event()
    web.answer = lambda _request: hold.wait(60) and None
    assert failure(web.url, timeout=0.2) == "no answer in time"
    hold.set()


def test_a_server_that_drips_is_given_up(web: ConfigServer) -> None:
    stop = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        try:
            while not stop.wait(0.02):
                request.wfile.write(b"#")
        except OSError:
            pass

    web.answer = drip
    seconds = itertools.count()
    told = failure(web.url, now=lambda: float(next(seconds)))
    assert told == "the answer did not come in time"
    assert next(seconds) > TIMEOUT, "and not sooner"
    stop.set()


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(web: ConfigServer) -> None:
    """Half a configuration may well be a good one: with other limits."""
    web.answer = reply(200, b"engine: process\n", Content_Length="100")
    assert failure(web.url) == "the answer broke off after 16 of 100 bytes"


def test_an_answer_of_unknown_length_is_not_taken_for_a_whole_one(web: ConfigServer) -> None:
    web.answer = reply(200, b"engine: process\n")
    assert failure(web.url) == (
        "the answer has no length, so that nobody knows whether it is complete"
    )


def test_an_endless_answer_does_not_fill_the_memory(web: ConfigServer) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            for _ in range(100):
                request.wfile.write(b"#" * 100_000)
        except OSError:
            pass

    web.answer = endless
    assert failure(web.url) == f"the answer has more than {MAX_BYTES} bytes"


def test_what_is_no_text_is_reported(web: ConfigServer) -> None:
    web.answer = reply(200, b"\xff\xfe", Content_Length="2")
    assert failure(web.url) == "the answer is no text in UTF-8"


# Certificates


def test_an_untrusted_certificate_is_refused_unless_insecure_is_written(
    certificate: Path,
) -> None:
    with closing(ConfigServer(certificate)) as server:
        told = failure(server.url)
        assert told.startswith("the certificate is not believed (self-signed certificate")
        assert told.endswith("PLANCTON_CONF_NOSSLVERIFY=1 would believe any")
        assert fetch(server.url.replace("https", "insecure_https"), "") is not None
        assert fetch(server.url, "", verify=False) is not None


def test_a_server_without_tls_is_told_as_such(web: ConfigServer) -> None:
    told = failure(web.url.replace("http://", "https://"))
    assert told == "the server does not speak TLS on that port"


def test_a_redirect_from_https_to_http_is_refused(certificate: Path, web: ConfigServer) -> None:
    with closing(ConfigServer(certificate)) as server:
        server.answer = reply(302, Location=web.url)
        assert failure(server.url, verify=False) == (
            f"the server redirects to {web.url}, which is not HTTPS"
        )
        assert web.asked == []


def test_a_redirect_to_another_server_does_not_take_the_password_along(web: ConfigServer) -> None:
    with closing(ConfigServer()) as other:
        web.answer = reply(302, Location=other.url)
        assert fetch(web.url.replace("://", "://user:secret@"), "") is not None
        assert "Authorization" in web.asked[0]
        assert "Authorization" not in other.asked[0]


# The environment


@pytest.mark.parametrize("text", ["soon", "0", "-5", "nan", "inf"])
def test_a_bad_interval_in_the_environment_is_one_clear_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ConfigUrl.from_environment("http://x/", {"PLANCTON_CONF_UPDATE": text})
    assert str(caught.value) == (
        f"PLANCTON_CONF_UPDATE: must be a number of seconds, at least 1, not {text!r}"
    )


def test_a_url_without_verification_has_to_be_asked_for_twice() -> None:
    url = "insecure_https://me:secret@web/"
    with pytest.raises(ConfigError) as caught:
        ConfigUrl.from_environment(url, {})
    assert str(caught.value) == (
        "insecure_https://me:***@web/: whoever answers in the server's place could run anything on "
        "this node; use https:// with a certificate that this node believes, or set "
        "PLANCTON_CONF_NOSSLVERIFY=1, too"
    )
    asked = ConfigUrl.from_environment(url, {"PLANCTON_CONF_NOSSLVERIFY": "1"})
    assert asked.describe_risk() == "any certificate is accepted"


@pytest.mark.parametrize(
    ("url", "risk"),
    [
        ("http://web.example.org/c.yaml", "it comes without TLS"),
        ("http://10.0.0.1:8000/", "it comes without TLS"),
        ("http://u:p@127.0.0.1:8000/", ""),
        ("http://[::1]/", ""),
        ("http://localhost/", ""),
        ("https://web.example.org/", ""),
    ],
)
def test_who_could_answer_in_the_servers_place_is_known(url: str, risk: str) -> None:
    assert ConfigUrl(url).describe_risk() == risk


def test_a_configuration_that_anybody_could_send_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def ask(*_arguments: object, **_options: object) -> None:
        raise FetchFailed("no answer in time")

    def parse(_text: str) -> Config:
        raise AssertionError

    source = RemoteConfig(ConfigUrl("http://me:secret@web/"), parse, tmp_path / "kept", ask=ask)
    with pytest.raises(ConfigError):
        source.fetch_first()
    source.close()
    assert caplog.messages == [
        "http://me:***@web/: it comes without TLS: whoever answers in the server's place can run "
        "anything on this node"
    ]


def test_the_environment_of_2017_is_understood() -> None:
    assert ConfigUrl.from_environment("http://x/", {}) == ConfigUrl("http://x/", 600.0, True)
    environ = {"PLANCTON_CONF_UPDATE": "30", "PLANCTON_CONF_NOSSLVERIFY": "1"}
    assert ConfigUrl.from_environment("http://x/", environ) == ConfigUrl("http://x/", 30.0, False)
    assert ConfigUrl.from_environment("http://x/", {"PLANCTON_CONF_NOSSLVERIFY": "0"}).verify
