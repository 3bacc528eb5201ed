"""The one client that the package itself keeps."""

import threading

import pytest
from fake_service import TIMEOUT, FakeService
from ldclient import Config


@pytest.fixture
def offline():
    return Config("sdk-test", offline=True)


def test_get_before_anything_was_configured_raises(singleton):
    with pytest.raises(Exception, match="set_config was not called"):
        singleton.get()


def test_get_gives_the_same_client_again(singleton, offline):
    singleton.set_config(offline)
    assert singleton.get() is singleton.get()


def test_get_waits_for_as_long_as_start_wait_says(singleton):
    service = FakeService(status=503)
    try:
        singleton.start_wait = 0.05
        singleton.set_config(Config("sdk-test", diagnostic_opt_out=True, **service.uris()))
        assert not singleton.get().is_initialized()
    finally:
        service.close()


def test_set_config_puts_a_new_client_in_the_place_of_the_old(singleton, offline):
    singleton.set_config(offline)
    old = singleton.get()
    singleton.set_config(Config("sdk-other", offline=True))
    assert singleton.get() is not old
    assert singleton.get().get_sdk_key() == "sdk-other"


def test_set_sdk_key_changes_nothing_else(singleton):
    singleton.set_config(Config("sdk-test", offline=True, http_proxy="http://proxy", application={"id": "shop"}))
    old = singleton.get()
    singleton.set_sdk_key("sdk-other")
    new = singleton.get()
    assert new is not old
    assert new.get_sdk_key() == "sdk-other"
    assert new.is_offline()
    assert new._config.http_proxy == "http://proxy"
    assert new._config.application == {"id": "shop", "version": ""}


def test_the_same_sdk_key_keeps_the_client(singleton, offline, caplog):
    singleton.set_config(offline)
    old = singleton.get()
    with caplog.at_level("INFO", "ldclient.util"):
        singleton.set_sdk_key("sdk-test")
    assert singleton.get() is old
    assert "New sdk_key is the same as the existing one. doing nothing." in caplog.messages


def test_reset_client_keeps_the_config(singleton, offline):
    singleton.set_config(offline)
    old = singleton.get()
    singleton._reset_client()
    assert singleton.get() is not old
    assert singleton.get().get_sdk_key() == "sdk-test"


def test_a_client_that_needs_itself_to_be_made_is_refused(singleton):
    class Greedy(Config):
        @property
        def sdk_key(self):
            return singleton.get().get_sdk_key()

    singleton.set_config(Greedy(offline=True))
    with pytest.raises(Exception, match="needs to be made"):
        singleton.get()


def test_many_threads_get_one_client(singleton, offline):
    singleton.set_config(offline)
    found = []
    threads = [threading.Thread(target=lambda: found.append(singleton.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_assigned_submodules_stay_submodules(singleton):
    import ldclient.client
    import ldclient.config

    assert ldclient.config.Config is Config
    assert ldclient.client.Config is Config
    assert ldclient.Config is Config
