"""A client is taken offline and brought online again while it runs."""


from ldclient import Config, LDClient
from ldclient.hook import Hook

USER = {"key": "aa0ceb"}


def test_the_offline_snippet_of_the_twisted_page_runs_and_comes_back_online(service):
    user = {"key": "aa0ceb"}
    config = Config(offline=True, **service.uris())
    ld_client = LDClient("YOUR_SDK_KEY", config)
    assert ld_client.variation("bool", user, False) is False  # will always return the default value (false)
    assert ld_client.is_offline() and service.requests == []
    ld_client.set_online()
    assert ld_client.variation("bool", user, False) is True and not ld_client.is_offline()
    assert service.received("GET", "/all")[0]["headers"]["authorization"] == "YOUR_SDK_KEY"
    ld_client.close()
    # Events too come back.
    assert service.wait_for_events(kind="summary")


def test_what_was_reported_before_is_delivered_and_what_is_reported_offline_is_dropped(make_client, service):
    client = make_client()
    client.track("before", USER)
    client.set_offline()
    client.set_offline()
    client.track("while offline", USER)
    client.identify(USER)
    assert client.variation_detail("bool", USER, "default").reason["errorKind"] == "CLIENT_NOT_READY"
    assert not client.all_flags_state(USER).valid
    client.set_online()
    client.set_online()
    assert client.variation("bool", USER, "default") is True
    client.track("after", USER)
    client.close()
    assert [event["key"] for event in service.wait_for_events(2, kind="custom")] == ["before", "after"]
    assert not [event for event in service.events() if event["kind"] == "identify"]
    assert len(service.received("GET", "/all")) == 2


def test_a_client_without_events_has_none_when_it_comes_back(make_client, service):
    client = make_client(send_events=False)
    client.set_offline()
    client.set_online()
    client.track("never", USER)
    client.close()
    assert service.received("POST", "/bulk") == []


def test_hooks_go_on(make_client):
    class Counting(Hook):
        seen = []

        def before_evaluation(self, series_context, data):
            self.seen.append(series_context.key)
            return data

    client = make_client()
    client.add_hook(Counting())
    client.variation("first", USER, None)
    client.set_offline()
    client.variation("offline", USER, None)
    client.set_online()
    client.variation("last", USER, None)
    assert Counting.seen == ["first", "offline", "last"]


def test_a_closed_client_stays_closed(make_client, service):
    client = make_client()
    client.close()
    client.set_offline()
    client.set_online()
    # The last flags remain.
    assert client.variation("bool", USER, "default") is True
    assert len(service.received("GET", "/all")) == 1
