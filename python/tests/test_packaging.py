"""What an installer sees, and what happens beside other packages."""

import importlib.metadata
import os
import subprocess
import sys

import pytest
from fake_service import TIMEOUT

EXTRAS = ["async", "async-dynamodb", "consul", "dynamodb", "redis", "test-filesource", "twisted"]


def imported(path, *arguments):
    """Imports the package with one more folder to import from; gives what it says."""
    done = subprocess.run(
        [sys.executable, *arguments, "-c", "import ldclient\nimport ldclient.client, ldclient.interfaces"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, filter(None, [*sys.path, path])))},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "note, name",
    [
        ("launchdarkly_server_sdk-9.20.0.dist-info", "launchdarkly-server-sdk 9.20.0"),
        ("launchdarkly-server-sdk-6.12.2.dist-info", "launchdarkly-server-sdk 6.12.2"),
        ("ldclient_py-4.3.0-py3.11.egg-info", "ldclient-py 4.3.0"),
    ],
)
def test_another_distribution_of_the_package_is_warned_of_once(tmp_path, note, name):
    (tmp_path / note).mkdir()
    said = imported(tmp_path)
    assert said.count("RuntimeWarning") == 1
    assert name + " is installed beside flagstaff-ldclient" in said
    # It is the program's line that is shown, as it is the program that can do something about it.
    assert said.startswith("<string>:1: RuntimeWarning")


def test_other_names_are_nobodys_business(tmp_path):
    for name in ("launchdarkly_server_sdk_ai-1.0.0.dist-info", "flagstaff_ldclient-9.0.0.dist-info", "ldclient_py"):
        (tmp_path / name).mkdir()
    (tmp_path / "archive.zip").write_bytes(b"")
    assert imported(tmp_path / "archive.zip") == imported(tmp_path) == ""


def test_the_import_brings_no_optional_package():
    program = "import sys, ldclient; print([n for n in ('twisted', 'asyncio', 'redis', 'yaml') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT)
    assert done.stdout == "[]\n", done.stderr


def test_every_extra_of_the_original_can_be_asked_for():
    metadata = importlib.metadata.metadata("flagstaff-ldclient")
    assert sorted(metadata.get_all("Provides-Extra")) == EXTRAS
    needed = metadata.get_all("Requires-Dist")
    assert [one.split(">")[0] for one in needed] == ["twisted"], "nothing is needed without an extra"


def test_the_files_of_the_package_are_there():
    from pathlib import Path

    import ldclient

    folder = Path(ldclient.__file__).parent
    for name in ("py.typed", "_native.pyi"):
        assert (folder / name).exists(), name
    assert not (folder / "tests").exists()
