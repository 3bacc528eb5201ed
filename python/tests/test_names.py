"""The table of names holds: each is there, its signature fits, and a test shows what it does."""

import ast
import dataclasses
import functools
import importlib
import inspect
import re
from enum import Enum
from pathlib import Path

import pytest
from names_table import PLACES, TABLE

#: Methods of clients to which a context may be given by either name.
BOTH_NAMES = {"context", "user"}


def rows(module):
    """The rows of a module, and the tests that show each."""
    tests = ()
    for row in re.sub(r"\\\n\s*", "", TABLE[module]).split("\n"):
        row = row.strip()
        if row.startswith("-- "):
            tests = row[3:].split(", ")
        elif row:
            yield row, tests


ROWS = [(module, row, tests) for module in TABLE for row, tests in rows(module)]


def find(module, name):
    """What stands under a name that may have dots."""
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


@pytest.mark.parametrize("module", TABLE)
def test_the_table(module):
    wrong = []
    for row, _ in rows(module):
        try:
            check(module, row)
        except (AssertionError, AttributeError, TypeError, ValueError) as error:
            wrong.append("%s: %s" % (row, error))
    assert wrong == []


def check(module, row):
    """Whether what a row says is so."""
    fields = re.fullmatch(r"([\w.]+)\.([{\[])(.*)[}\]]", row)
    call = re.fullmatch(r"([\w.]+)\((.*)\)", row)
    constant = re.fullmatch(r"([\w.]+) = (.*)", row)
    if fields:
        for name in fields[3].split(", "):
            (is_property if fields[2] == "{" else is_field)(find(module, fields[1]), name)
    elif call:
        fits(find(module, call[1]), call[2])
    elif constant:
        found = find(module, constant[1])
        assert (found.value if isinstance(found, Enum) else found) == ast.literal_eval(constant[2]), found
    else:
        find(module, row)


def is_property(cls, name):
    found = inspect.getattr_static(cls, name)
    if isinstance(found, property):
        assert found.fset is None, "%s can be assigned to" % name
    else:
        # Of a class of the native half, or computed in some other way: it has no way to be set.
        assert inspect.isdatadescriptor(found), "%s is no property" % name
        with pytest.raises(AttributeError):
            setattr(object.__new__(cls) if cls.__new__ is object.__new__ else cls.create("key"), name, 1)


def is_field(cls, name):
    names = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else cls._fields
    assert name in names, "%s is no field" % name


def fits(function, text):
    """Whether a function can be called as the signature in ``text`` says."""
    wanted = [one.strip() for one in text.split(",") if one.strip()]
    parameters = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    for place, one in enumerate(wanted):
        name, _, default = one.partition("=")
        kind = {2: inspect.Parameter.VAR_KEYWORD, 1: inspect.Parameter.VAR_POSITIONAL}.get(
            len(name) - len(name.lstrip("*")), inspect.Parameter.POSITIONAL_OR_KEYWORD
        )
        assert place < len(parameters), "there is no parameter %s" % name
        found = parameters[place]
        assert name.lstrip("*") in (found.name, "_") or {found.name, name} <= BOTH_NAMES, found
        assert found.kind is kind, "%s: %s" % (found, found.kind)
        if default:
            assert found.default == ast.literal_eval(default), found
    for found in parameters[len(wanted) :]:
        assert found.default is not found.empty or found.kind in (found.VAR_KEYWORD, found.VAR_POSITIONAL), found


def test_each_name_has_a_test_that_shows_what_it_does():
    folder = Path(__file__).parent
    known = {}
    missing = set()
    for _, row, tests in ROWS:
        assert tests, row
        for file, name in (test.split(".") for test in tests):
            path = folder / (file + ".py")
            if path not in known:
                tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
                known[path] = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
                known[path] |= {node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)}
            if name not in known[path]:
                missing.add("%s.%s" % (file, name))
    assert sorted(missing) == []


@pytest.mark.parametrize("name", PLACES)
def test_what_stands_in_several_places_is_one_thing(name):
    found = [find(module, name) for module in PLACES[name].split()]
    assert all(one is found[0] for one in found), found


def test_defaults_of_a_config_take_the_place_of_the_callers():
    from ldclient import Config

    config = Config(offline=True, defaults={"known": 1})
    assert (config.get_default("known", 2), config.get_default("other", 2)) == (1, 2)


def test_small_things_that_programs_import():
    import threading

    from ldclient.util import Event, UnsuccessfulResponseException

    assert UnsuccessfulResponseException(401).status == 401
    assert "401" in str(UnsuccessfulResponseException(401))
    assert Event is threading.Event


def test_the_stub_of_the_native_half_names_what_is_there():
    from ldclient import _native

    def members(nodes):
        for node in nodes:
            if isinstance(node, ast.AnnAssign):
                yield node.target.id
            elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                yield node.name

    def there(of):
        """Names, without those that every object has, and those that stand for an operator."""
        return {name for name in vars(of) if not name.startswith("__")} - {"native"}

    tree = ast.parse(Path(_native.__file__).with_name("_native.pyi").read_text())
    # Besides, the types of what is handed out, which nobody can make.
    handed_out = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert there(_native) <= set(members(tree.body)) <= there(_native) | handed_out
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and hasattr(_native, node.name):
            stub = {name for name in members(node.body) if not name.startswith("__")}
            assert stub == there(getattr(_native, node.name)), node.name
