"""Forks as gunicorn, uWSGI and Celery do them, each the real program."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_service import TIMEOUT
from served import APPLICATION, Server, check_events, check_ids

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

#: The other two are there wherever these tests are: `requirements-dev.txt` names all three.
needs_uwsgi = pytest.mark.skipif(sys.platform != "linux", reason="uWSGI is tried on Linux alone")


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


@pytest.mark.parametrize("workers", [["sync"], ["gthread", "--threads", "2"]], ids=lambda one: one[0])
def test_gunicorn_that_preloads(service, serve, workers):
    check(service, serve([*GUNICORN, "--preload", "--worker-class", *workers]))


def test_gunicorn_without_preload(service, serve):
    check(service, serve(GUNICORN), importers=2)


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
    check(service, server)
    assert server.log().count(NEEDS_THREADS) == 1


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


TASKS = """
import os, time
from pathlib import Path
import ldclient
from celery import Celery, signals
from ldclient import Config

app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control", "polling_interval": 0.05,
}
ldclient.set_config(Config("sdk-test", diagnostic_opt_out=True, flush_interval=600))

@signals.worker_init.connect
def start(**_):
    # In the parent, before it forks; that has something to report then.
    ldclient.get().track("imported", {"key": "parent"})

@signals.worker_ready.connect
def report(**_):
    ldclient.get().flush()

@app.task
def ask(number):
    client = ldclient.get()
    assert client.variation("bool", {"key": "asker"}, None) is True
    Path("using-%d" % number).write_text(str(os.getpid()))
    while client.variation("bool", {"key": "asker"}, None) is True:
        time.sleep(0.01)
    client.track("served", {"key": str(os.getpid())}, number)
"""


def test_celery_whose_workers_end_after_a_task(service, tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "queue").mkdir()
    environment = {**os.environ, "FLAGSTAFF_URL": service.url}
    for number in range(2):
        # By a process of its own: Celery is not for importing here.
        ask = "from tasks import ask; ask.delay(%d)" % number
        subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, env=environment, check=True, timeout=TIMEOUT)
    options = "worker --pool prefork --concurrency 2 --max-tasks-per-child 1 --without-mingle --without-gossip"
    with open(tmp_path / "log", "w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "celery", "-A", "tasks", *options.split()],
            cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True,
        )
    try:
        using = [tmp_path / "using-0", tmp_path / "using-1"]
        deadline = time.monotonic() + TIMEOUT
        while not all(one.exists() for one in using):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.01)
        service.patch("bool", on=False, offVariation=1)
        # Nobody closes a client: the workers have ended, by a way of their own, when this has come.
        served = service.wait_for_events(2, kind="custom", key="served")
        assert sorted(event["data"] for event in served) == [0, 1]
        assert {event["context"]["key"] for event in served} == {one.read_text() for one in using}
        assert len(service.wait_for_events(kind="custom", key="imported")) == 1
        check_ids(service)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
