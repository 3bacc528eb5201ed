"""The programs in the Python pages of `docs/` run, and every public name says what it is."""

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import ldclient
import pytest
from fake_service import TIMEOUT, FakeService

ROOT = Path(__file__).parents[2]
PAGES = ["docs/python-sdk.md", "docs/python-migration.md", "python/README.md"]
BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAG = {"version": 1, "on": True, "variations": [True, False], "fallthrough": {"variation": 0}}


def blocks(page):
    """What ``page`` says of each program in it, and the program at its place in the page."""
    text = (ROOT / page).read_text()
    for found in BLOCK.finditer(text):
        yield found[1].strip(), "\n" * text[: found.start(2)].count("\n") + found[2]


@pytest.mark.parametrize("page", PAGES)
def test_the_programs_of_a_page_run_in_order(page):
    # One program, in which everything stands on the line where it stands in the page.
    lines = []
    for said, program in blocks(page):
        compile(program, page, "exec")
        if said != "no-run":
            lines += program.split("\n")[len(lines) :]
    service = FakeService({"checkout-redesign": FLAG})
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", "\n".join(lines)],
            env={**os.environ, "FLAGSTAFF_URL": service.url},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert service.received("GET", "/all") or not lines, "the programs ask the service"
    finally:
        service.close()


def test_what_is_not_run_imports_what_there_is():
    for page in PAGES:
        for said, program in blocks(page):
            assert said in ("", "no-run"), "%s: ```python %s" % (page, said)
            for line in re.findall(r"^(?:from ldclient.*|import ldclient.*)$", program, re.MULTILINE):
                exec(line, {})


#: The public modules.
MODULES = ["ldclient"] + [
    module.name
    for module in pkgutil.walk_packages(ldclient.__path__, "ldclient.", onerror=lambda name: None)
    if not module.name.startswith(("ldclient.impl", "ldclient._"))
]


def undocumented(module):
    """The public names of ``module``, its classes' members included, that say nothing about themselves."""
    if not module.__doc__:
        yield module.__name__
    for name, item in vars(module).items():
        ours = getattr(item, "__module__", "").startswith("ldclient")
        if name.startswith("_") or not ours or not (inspect.isclass(item) or inspect.isroutine(item)):
            continue
        if not inspect.getdoc(item):
            yield "%s.%s" % (module.__name__, name)
        if inspect.isclass(item):
            for member, value in vars(item).items():
                documented = inspect.isroutine(value) or isinstance(value, (property, classmethod, staticmethod))
                # What stands in a base class is found there.
                if not member.startswith("_") and documented and not inspect.getdoc(getattr(item, member)):
                    yield "%s.%s.%s" % (module.__name__, name, member)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name):
    module = importlib.import_module(name)
    assert list(undocumented(module)) == []


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_name_parameters_that_exist(name):
    module = importlib.import_module(name)
    wrong = []
    for name, item in vars(module).items():
        if name.startswith("_") or getattr(item, "__module__", None) != module.__name__:
            continue
        members = {name: item}
        if inspect.isclass(item):
            members = {"%s.%s" % (name, one): value for one, value in vars(item).items() if inspect.isfunction(value)}
        for where, function in members.items():
            if not inspect.isfunction(function):
                continue
            parameters = inspect.signature(function).parameters
            if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
                continue
            for named in re.findall(r":param (\w+):", function.__doc__ or ""):
                if named not in parameters:
                    wrong.append("%s: %s" % (where, named))
    assert wrong == []
