"""The secrets and certificates of a site with compose."""

import re
import stat
from pathlib import Path

import pytest
from cryptography import x509

from compose import make_certificates, make_secrets
from compose.errors import SetupFailed

#: Who may write to InfluxDB.
WRITERS = ("plancton", "schedd")


def test_secrets_are_made_once_and_readable_only_by_root(tmp_path: Path) -> None:
    made = make_secrets.make_passwords(tmp_path)
    first = {path.name: path.read_text() for path in tmp_path.iterdir()}
    again = make_secrets.make_passwords(tmp_path)

    assert sorted(made) == sorted(make_secrets.PASSWORDS) == sorted(first)
    assert again == []
    assert len(set(first.values())) == len(first)
    for name, mode in make_secrets.PASSWORDS.items():
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode
        # what InfluxDB's entry point takes
        assert re.fullmatch(r"[\w-]{30,}\n", first[name])


def shared(directory: Path) -> dict[str, set[str]]:
    return {
        place.name: {path.name for path in place.iterdir()}
        for place in (directory / "services").iterdir()
    }


@pytest.fixture
def made(tmp_path: Path) -> Path:
    make_secrets.make_passwords(tmp_path)
    make_certificates.make_missing(tmp_path, "site.example.org")
    for name in ("definitions.json", "vobox.url", "worker.url", "monitor.url"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_each_service_is_given_its_own_secrets_and_no_other(made: Path) -> None:
    make_secrets.share_out(made, make_secrets.SHARES, "worker.url", tls=False)

    assert shared(made) == {
        "rabbitmq": {"definitions.json"},
        "influxdb": {f"influxdb-{user}-password" for user in ("admin", *WRITERS, "grafana")},
        "grafana": {"grafana-admin-password", "influxdb-grafana-password"},
        "schedd": {"thyme-vobox-url", "influxdb-schedd-password"},
        "plancton": {"thyme-worker-url", "influxdb-plancton-password"},
    }
    for path in made.glob("services/*/*"):
        grafanas = path.parent.name == "grafana"
        assert stat.S_IMODE(path.stat().st_mode) & ~0o040 == 0o400, path
        assert bool(path.stat().st_mode & 0o040) <= ("grafana" in path.name), path
        assert not grafanas or path.stat().st_mode & 0o040, path


def test_services_get_certificates_only_with_tls(made: Path) -> None:
    make_secrets.share_out(made, make_secrets.SHARES, "worker.url", tls=True)

    given = shared(made)
    assert {"ca.pem", "server.pem", "server.key"} < given["rabbitmq"]
    assert {"server.pem", "server.key"} < given["influxdb"]
    assert "site-ca" in given["schedd"] & given["plancton"] & given["grafana"]
    # Grafana is not root
    ca = made / "services/grafana/site-ca"
    assert (ca.read_bytes(), ca.stat().st_mode & 0o004) == ((made / "ca.pem").read_bytes(), 0o004)
    assert not any("ca.key" in files for files in given.values())
    # the servers are not root
    for name, mode in {"server.pem": 0o444, "server.key": 0o400}.items():
        assert stat.S_IMODE((made / "services/influxdb" / name).stat().st_mode) == mode
    make_secrets.share_out(made, make_secrets.SHARES, "worker.url", tls=False)
    assert "server.key" not in shared(made)["rabbitmq"]


def test_a_changed_secret_reaches_its_service_and_nothing_else_is_written(made: Path) -> None:
    make_secrets.share_out(made, make_secrets.SHARES, "worker.url", tls=False)
    before = {path: path.stat().st_ino for path in made.glob("services/*/*")}
    (made / "worker-eight.url").write_text("another")

    make_secrets.share_out(made, make_secrets.SHARES, "worker-eight.url", tls=False)

    given = made / "services/plancton/thyme-worker-url"
    assert given.read_text() == "another"
    after = {path: path.stat().st_ino for path in made.glob("services/*/*")}
    assert {path for path in before if before[path] != after[path]} == {given}


def test_a_node_only_distributes_the_secrets_that_were_copied_to_it(tmp_path: Path) -> None:
    for name in ("worker.url", "ca.pem", "influxdb-plancton-password"):
        (tmp_path / name).write_text(name)
    config = {"TLS": "yes", "WORKER_URL": "worker.url"}

    assert make_secrets.make_missing(tmp_path, config, ["--share-out", "plancton"]) == 0

    wanted = {"thyme-worker-url", "influxdb-plancton-password", "site-ca"}
    assert shared(tmp_path) == {"plancton": wanted}
    assert len(list(tmp_path.glob("*"))) == 4


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    config = {"TLS": "no", "WORKER_URL": "worker-eight.url"}

    with pytest.raises(SetupFailed, match=r"^secrets/worker-eight\.url is missing, which plancton"):
        make_secrets.make_missing(tmp_path, config, ["--share-out", "plancton"])


def test_a_word_that_may_mean_tls_is_refused_and_not_read_as_no(tmp_path: Path) -> None:
    with pytest.raises(SetupFailed, match=r"^\.env: TLS=true: write yes or no$"):
        make_secrets.make_missing(tmp_path, {"TLS": "true"}, [])


def test_certificates_are_made_once_and_name_the_host(tmp_path: Path) -> None:
    make_certificates.make_missing(tmp_path, "site.example.org")
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    make_certificates.make_missing(tmp_path, "site.example.org")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    assert sorted(first) == ["ca.key", "ca.pem", "server.key", "server.pem"]
    server = x509.load_pem_x509_certificate(first["server.pem"])
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(first["ca.pem"]))
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName)[0] == "site.example.org"
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o400


def test_a_new_certificate_is_signed_by_the_same_ca(tmp_path: Path) -> None:
    make_certificates.make_missing(tmp_path, "old.example.org")
    authority = (tmp_path / "ca.pem").read_bytes()
    (tmp_path / "server.pem").unlink()

    make_certificates.make_missing(tmp_path, "new.example.org")

    assert (tmp_path / "ca.pem").read_bytes() == authority


def test_a_ca_without_its_key_signs_nothing(tmp_path: Path) -> None:
    make_certificates.make_missing(tmp_path, "a")
    (tmp_path / "ca.key").unlink()
    (tmp_path / "server.key").unlink()

    with pytest.raises(SetupFailed, match=r"ca\.key is missing"):
        make_certificates.make_missing(tmp_path, "a")


def test_what_openssl_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    # a common name has at most 64 characters
    with pytest.raises(
        SetupFailed, match=r"^secrets/server\.pem: openssl says: (?s:.*)string too long"
    ):
        make_certificates.make_missing(tmp_path, "a" * 65)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.key", "ca.pem"]
