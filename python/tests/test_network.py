"""How the service is reached: TLS and certificates, and proxies by option and by environment."""

import os

import pytest
from conftest import FLAGS
from fake_service import TIMEOUT
from ldclient import Config, LDClient
from ldclient.config import HTTPConfig
from network import HOST, Certificates, Proxy, TlsService
from waiting import eventually, wait_for_message

VARIABLES = ["https_proxy", "http_proxy", "no_proxy"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_service(certificates):
    service = TlsService(FLAGS, certificates)
    yield service
    service.close()


@pytest.fixture
def environment(monkeypatch):
    """Sets variables of ``os.environ``, where nothing is said of proxies otherwise."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch.setenv


@pytest.fixture
def proxy_before():
    """Starts proxies."""
    proxies = []

    def start(service):
        proxies.append(Proxy(service))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()


def config(uri, http=None, **settings):
    return Config(
        "sdk-test", base_uri=uri, events_uri=uri, stream_uri=uri, diagnostic_opt_out=True, http=http, **settings
    )


def works(service, config):
    """Whether flags come and events go."""
    with LDClient(config=config, start_wait=TIMEOUT) as client:
        if not client.is_initialized():
            return False
        assert client.variation("bool", {"key": "u"}, None) is True
    service.wait_for_events(kind="summary")
    return True


def refused(config):
    """Whether flags do not come."""
    with LDClient(config=config, start_wait=0.3) as client:
        assert client.variation("bool", {"key": "u"}, "default") == "default"
        return not client.is_initialized()


# ---- TLS -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "polling"])
def test_an_authority_of_ones_own_is_trusted(tls_service, certificates, stream):
    assert works(tls_service, config(tls_service.url, HTTPConfig(ca_certs=certificates.authority), stream=stream))


def test_a_certificate_that_nobody_vouches_for_is_refused_and_said(tls_service, caplog):
    assert refused(config(tls_service.url))
    wait_for_message(caplog, "certificate")


@pytest.mark.parametrize(
    "settings", [{"http": HTTPConfig(disable_ssl_verification=True)}, {"verify_ssl": False}], ids=["http", "verify_ssl"]
)
def test_any_certificate_will_do_if_it_is_not_to_be_checked(tls_service, settings):
    assert works(tls_service, config(tls_service.url, **settings))


def test_a_client_certificate_is_shown_to_a_service_that_asks(certificates):
    service = TlsService(FLAGS, certificates, asks_for_certificate=True)
    try:
        assert refused(config(service.url, HTTPConfig(ca_certs=certificates.authority)))
        http = HTTPConfig(ca_certs=certificates.authority, cert_file=str(certificates.client))
        assert works(service, config(service.url, http))
    finally:
        service.close()


@pytest.mark.parametrize("option", ["ca_certs", "cert_file"])
def test_a_file_that_is_not_what_it_should_be_is_an_error_and_raises_nothing(tls_service, tmp_path, caplog, option):
    (tmp_path / "empty.pem").write_text("")
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        caplog.clear()
        assert refused(config(tls_service.url, HTTPConfig(**{option: str(path)})))
        (said,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert "could not be started" in said and str(path) in said


# ---- proxies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["http", "http_proxy"])
def test_a_proxy_by_option_takes_everything(service, environment, proxy_before, how):
    proxy = proxy_before(service)
    # The option counts before the environment.
    environment("http_proxy", "http://127.0.0.1:1")
    environment("no_proxy", "*")
    settings = {"http": HTTPConfig(http_proxy=proxy.url)} if how == "http" else {"http_proxy": proxy.url}
    assert works(service, config("http://" + HOST, **settings))
    assert sorted(proxy.requests) == ["GET http://%s/all HTTP/1.1" % HOST, "POST http://%s/bulk HTTP/1.1" % HOST]


def test_tls_goes_through_a_proxy_as_a_tunnel(tls_service, certificates, proxy_before):
    proxy = proxy_before(tls_service)
    http = HTTPConfig(http_proxy=proxy.url, ca_certs=certificates.authority)
    assert works(tls_service, config("https://" + HOST, http))
    assert set(proxy.requests) == {"CONNECT %s:443 HTTP/1.1" % HOST}


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_proxy_is_told_name_and_password(service, tls_service, certificates, proxy_before, tls):
    target = tls_service if tls else service
    proxy = proxy_before(target)
    url = "http://na%%40me:pass%%3Aword@%s" % proxy.address
    http = HTTPConfig(http_proxy=url, ca_certs=certificates.authority if tls else None)
    assert works(target, config("%s://%s" % ("https" if tls else "http", HOST), http))
    assert proxy.visitors == {"na@me:pass:word"}


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_the_environment_names_a_proxy_for_plain_requests(service, environment, proxy_before, name):
    proxy = proxy_before(service)
    environment(name, proxy.address)
    environment("https_proxy", "http://127.0.0.1:1")
    assert works(service, config("http://" + HOST))
    assert len(proxy.requests) == 2


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_the_environment_names_a_proxy_for_tls(tls_service, certificates, environment, proxy_before, name):
    proxy = proxy_before(tls_service)
    environment(name, "http://name:word@" + proxy.address)
    environment("http_proxy", "http://127.0.0.1:1")
    assert works(tls_service, config("https://" + HOST, HTTPConfig(ca_certs=certificates.authority)))
    assert proxy.visitors == {"name:word"}


def test_small_letters_win(service, environment, proxy_before):
    proxy = proxy_before(service)
    environment("http_proxy", proxy.url)
    environment("HTTP_PROXY", "http://127.0.0.1:1")
    assert works(service, config("http://" + HOST))


def test_the_environment_is_that_of_python(service, monkeypatch, proxy_before):
    # Programs and their tests put a dictionary of their own in its place.
    proxy = proxy_before(service)
    monkeypatch.setattr(os, "environ", {"http_proxy": proxy.url})
    assert works(service, config("http://" + HOST))
    monkeypatch.setattr(os, "environ", {})
    assert works(service, config(service.url))
    assert len(proxy.requests) == 2


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
@pytest.mark.parametrize("entries", ["*", "127.0.0.1", " ,127.0.0.0/8", "other,127.0.0.1:%(port)d"])
def test_no_proxy_exempts_hosts(service, environment, proxy_before, name, entries):
    proxy = proxy_before(service)
    environment("http_proxy", proxy.url)
    environment(name, entries % {"port": service._server.server_address[1]})
    assert works(service, config(service.url))
    assert proxy.requests == []


@pytest.mark.parametrize("entries", ["", " , ", "other", "127.0.0.1:1", "7.0.0.1"])
def test_no_proxy_exempts_nobody_else(service, environment, proxy_before, entries):
    proxy = proxy_before(service)
    environment("http_proxy", proxy.url)
    environment("no_proxy", entries)
    assert works(service, config(service.url))
    assert len(proxy.requests) == 2


@pytest.mark.parametrize(
    "proxy", ["http://name:secret-word@127.0.0.1:1", "name:secret-word@127.0.0.1:1", "socks5://name:secret-word@host"]
)
@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_password_of_a_proxy_is_never_logged(service, environment, caplog, proxy, by):
    caplog.set_level("DEBUG", "ldclient.util")
    http = HTTPConfig(http_proxy=proxy) if by == "option" else None
    if by == "environment":
        environment("http_proxy", proxy)
    assert refused(config("http://" + HOST, http, initial_reconnect_delay=0.01))
    eventually(lambda: [record for record in caplog.records if record.levelno >= 30])
    assert "secret-word" not in caplog.text
