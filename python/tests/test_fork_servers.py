"""Forks as gunicorn, uWSGI and Celery do them, each the real program."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
from fake_service import TIMEOUT
from served import APPLICATION, Server, check_events

GUNICORN = [sys.executable, "-m", "gunicorn", "--bind", "unix:SOCKET", "--workers", "2", "app:application"]
UWSGI = [
    shutil.which("uwsgi", path=str(Path(sys.executable).parent)) or "uwsgi",
    "--http-socket", "SOCKET", "--master", "--processes", "2", "--module", "app:application", "--need-app",
    "--master-fifo", "fifo",
]
#: The same for uWSGI, whose master runs no exit hooks: what it has to report is sent as time goes by.
FLUSHING_APPLICATION = APPLICATION.replace("flush_interval=600", "flush_interval=0.5")
#: What the log says if callbacks into Python would have no thread to run on.
NEEDS_THREADS = "The LaunchDarkly client requires the 'enable-threads' or 'threads' option be passed to uWSGI."

needs_gunicorn = pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="needs gunicorn")
needs_uwsgi = pytest.mark.skipif(not Path(UWSGI[0]).exists(), reason="needs uWSGI")


@pytest.fixture
def serve(service):
    """Starts a server whose workers all answer."""
    servers = []

    def start(command, application=APPLICATION, **files):
        server = Server(service, command, {"app.py": application, **files})
        servers.append(server)
        server.wait_until_it_listens()
        return server

    yield start
    for server in servers:
        server.close()


def check(service, server, importers=1):
    """Whether two workers hear of a flip, end in time, and report everything once."""
    workers = server.wait_for_values(True, 2)
    service.patch("bool", on=False, offVariation=1)
    assert server.wait_for_values(False, 2) == workers
    assert max(answer["took"] for answer in server.answers) < TIMEOUT / 10
    assert server.stop() < TIMEOUT
    check_events(service, server, importers)


@needs_gunicorn
@pytest.mark.parametrize("workers", [["sync"], ["gthread", "--threads", "2"]], ids=lambda one: one[0])
def test_gunicorn_that_preloads(service, serve, workers):
    check(service, serve([*GUNICORN, "--preload", "--worker-class", *workers]))


@needs_gunicorn
def test_gunicorn_without_preload(service, serve):
    check(service, serve(GUNICORN), importers=2)


@needs_gunicorn
def test_gunicorn_with_a_hook_that_calls_postfork(service, serve):
    hook = """
    def post_fork(server, worker):
        import ldclient
        ldclient.get().postfork()
    """
    check(service, serve([*GUNICORN, "--preload", "--config", "hook.py"], **{"hook.py": hook}))


@needs_uwsgi
@pytest.mark.parametrize(
    "options",
    [["--enable-threads"], ["--threads", "2"], ["--enable-threads", "--py-call-uwsgi-fork-hooks"]],
    ids=lambda options: options[-1].lstrip("-"),
)
def test_uwsgi_with_threads(service, serve, options):
    server = serve([*UWSGI, *options], FLUSHING_APPLICATION)
    check(service, server)
    assert NEEDS_THREADS not in server.log()


@needs_uwsgi
def test_uwsgi_without_threads_says_what_is_missing_and_works(service, serve):
    server = serve(UWSGI, FLUSHING_APPLICATION)
    assert server.log().count(NEEDS_THREADS) == 1
    check(service, server)


@needs_uwsgi
def test_uwsgi_that_loads_the_application_in_each_worker(service, serve):
    check(service, serve([*UWSGI, "--lazy-apps", "--enable-threads"]), importers=2)


@needs_uwsgi
@pytest.mark.parametrize("options", [["--enable-threads"], []], ids=["with threads", "without"])
def test_uwsgi_with_a_hook_that_calls_postfork(service, serve, options):
    hook = """
from uwsgidecorators import postfork

@postfork
def again():
    client.postfork()
"""
    check(service, serve([*UWSGI, *options], FLUSHING_APPLICATION + hook))
