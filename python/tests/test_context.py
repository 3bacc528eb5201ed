"""Contexts and their builders."""

import copy
import json
import pickle
import sys

import pytest
from ldclient import Context, ContextBuilder, ContextMultiBuilder


def test_a_created_context():
    context = Context.create("a")
    assert (context.valid, context.error) == (True, None)
    assert (context.kind, context.key, context.name, context.anonymous) == ("user", "a", None, False)
    assert (context.multiple, context.individual_context_count) == (False, 1)
    assert context.fully_qualified_key == "a"
    assert Context.create("a", "org").kind == "org"
    assert (Context.DEFAULT_KIND, Context.MULTI_KIND) == ("user", "multi")


@pytest.mark.parametrize(
    "context, error",
    [
        (Context.create(""), "context key must not be None or empty"),
        (Context.create(None), "context key must not be None or empty"),
        (Context.create("a", ""), "context kind must not be empty"),
        (Context.create("a", "kind"), '"kind" is not a valid context kind'),
        (Context.create("a", "multi"), "context of kind \"multi\" must be created with create_multi or multi_builder"),
        (Context.create("a", "ö"), "context kind contains disallowed characters"),
        (Context.create("a", 5), 'invalid data type for "kind"'),
        (Context.create_multi(), "multi-context must contain at least one kind"),
        (
            Context.create_multi(Context.create("a"), Context.create("b")),
            "multi-kind context cannot have same kind more than once",
        ),
        (
            Context.create_multi(Context.create(""), Context.create("b", "kind")),
            'context key must not be None or empty, "kind" is not a valid context kind',
        ),
        (Context.from_dict(None), "Cannot use None as a context"),
        (Context.from_dict({"key": "a"}), 'invalid data type for "kind"'),
        (Context.from_dict({"kind": 3, "key": "a"}), 'invalid data type for "kind"'),
        (Context.from_dict({"kind": "user", "key": 3}), 'invalid data type for "key"'),
        (Context.from_dict({"kind": "user", "key": "a", "name": 3}), 'invalid data type for "name"'),
        (Context.from_dict({"kind": "user", "key": "a", "anonymous": "x"}), 'invalid data type for "anonymous"'),
        (Context.from_dict(["user"]), "Cannot use a list as a context"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_raises(context, error):
    assert (context.valid, context.error) == (False, error)
    assert (context.kind, context.key, context.name, context.anonymous) == ("", "", None, False)
    assert context.individual_context_count == 0
    assert context.get_individual_context(0) is None
    assert context.fully_qualified_key == ""
    assert context.to_dict() == {}
    assert repr(context) == "[invalid context: %s]" % error
    assert context.get("key") is None


def test_a_number_as_a_key_is_made_text():
    assert Context.create(5).key == "5"
    assert Context.builder(5).build() == Context.create("5")


def test_a_built_context_has_all_that_was_set():
    context = (
        Context.builder("a").kind("org").name("Acme").anonymous(True)
        .set("rows", 3).set("price", 1.5).set("tags", ["x", {"y": None}]).set("gone", 1).set("gone", None)
        .private("rows", "/tags").build()
    )
    assert context.to_dict() == {
        "key": "a", "kind": "org", "name": "Acme", "anonymous": True, "rows": 3, "price": 1.5,
        "tags": ["x", {"y": None}], "_meta": {"privateAttributes": ["rows", "tags"]},
    }
    assert list(context.to_dict())[:4] == ["key", "kind", "name", "anonymous"]
    assert [context.get(name) for name in ("key", "kind", "name", "anonymous", "rows", "price", "none", 5)] == [
        "a", "org", "Acme", True, 3, 1.5, None, None,
    ]
    assert type(context["rows"]) is int and type(context["price"]) is float
    assert sorted(context.custom_attributes) == ["price", "rows", "tags"]
    assert list(context.private_attributes) == ["rows", "tags"]


@pytest.mark.parametrize(
    "name, value",
    [("", 1), ("_meta", {}), ("key", 5), ("kind", None), ("name", 5), ("anonymous", "yes"), ("key", None), (5, 1),
     (None, 1), ("\ud800", 1)],
)
def test_what_cannot_be_set_is_refused(name, value):
    builder = Context.builder("a")
    assert builder.try_set(name, value) is False
    assert builder.set(name, value) is builder
    assert builder.build() == Context.create("a")


@pytest.mark.parametrize("given, anonymous", [(True, True), (1, True), (0, False), (None, False)])
def test_anonymous_is_whatever_is_true(given, anonymous):
    assert Context.builder("a").anonymous(given).build().anonymous is anonymous


def test_an_object_that_is_neither_true_nor_false_leaves_anonymous_as_it_was(monkeypatch):
    class Neither:
        def __bool__(self):
            raise ValueError("neither")

    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    assert Context.builder("a").anonymous(True).anonymous(Neither()).build().anonymous is True
    assert [str(one.exc_value) for one in unraisable] == ["neither"]


def test_a_builder_can_be_used_again():
    builder = Context.builder("a").set("x", 1)
    first = builder.build()
    second = builder.set("x", 2).key("b").build()
    assert (first.key, first["x"], second.key, second["x"]) == ("a", 1, "b", 2)
    third = Context.builder_from_context(second).set("y", 3).build()
    assert (third.key, third["x"], third["y"], second["y"]) == ("b", 2, 3, None)


def test_values_that_come_out_are_copies():
    context = Context.builder("a").set("tags", ["x"]).build()
    context["tags"].append("changed")
    assert context["tags"] == ["x"]


def test_several_kinds():
    user = Context.builder("user-key").name("User One").set("plan", "gold").private("plan").build()
    multi = Context.create_multi(user, Context.create("o:1", "org"))
    assert multi.multiple and multi.valid
    assert (multi.kind, multi.key, multi.name, multi.individual_context_count) == ("multi", "", None, 2)
    assert multi.fully_qualified_key == "org:o%3A1:user:user-key"
    assert Context.create("50%:", "org").fully_qualified_key == "org:50%25%3A"
    assert multi.get_individual_context("user") == user
    assert multi.get_individual_context(0) == Context.create("o:1", "org")
    assert multi.get_individual_context("device") is None and multi.get_individual_context(2) is None
    assert multi.get("kind") == "multi" and multi.get("key") is None
    assert Context.from_dict(multi.to_dict()) == multi
    assert Context.create_multi(user) is user
    assert ContextMultiBuilder().add(user).build() is user
    device = Context.create("d", "device")
    assert Context.create_multi(multi, device).individual_context_count == 3
    assert Context.multi_builder().add(multi).add(device).build() == Context.create_multi(device, multi)


def test_anonymous_members_can_be_left_out():
    named, nameless = Context.create("a", "org"), Context.builder("u").anonymous(True).build()
    assert Context.create_multi(named, nameless).without_anonymous_contexts() == named
    assert not nameless.without_anonymous_contexts().valid
    assert named.without_anonymous_contexts() == named


def test_equality_is_deep_and_there_is_no_hash():
    a = Context.builder("a").set("x", [1, 2]).set("y", {"z": 1}).private("x", "y").build()
    b = Context.builder("a").private("y", "x").set("y", {"z": 1.0}).set("x", [1, 2]).build()
    assert a == b and not a != b
    assert a != Context.create("a") and a != "a"
    assert Context.create("") == Context.create(None)
    with pytest.raises(TypeError):
        hash(a)


def test_looking_inside_ends():
    context = Context.builder("a").name("n").set("x", 1).build()
    assert "x" in context and "key" in context and "anonymous" in context
    assert "y" not in context and 5 not in context
    assert list(context) == ["kind", "key", "name", "anonymous", "x"]
    assert list(Context.create("")) == []


def test_the_text_form_is_the_json_form():
    context = Context.builder("ü").set("a", [1, {"b": 2}]).build()
    assert repr(context) == str(context) == context.to_json_string()
    assert context.to_json_string() == '{"key":"\\u00fc","kind":"user","a":[1,{"b":2}]}'
    assert json.loads(context.to_json_string()) == context.to_dict()


def test_contexts_never_change_but_can_be_copied_and_pickled():
    context = Context.builder("a").set("x", [1]).private("x").build()
    assert copy.copy(context) is context and copy.deepcopy(context) is context
    assert pickle.loads(pickle.dumps(context)) == context
    with pytest.raises(AttributeError):
        context.key = "b"


@pytest.mark.parametrize("context", [Context.create(""), Context.create("a", "kind"), Context.create_multi()], ids=str)
def test_a_context_that_is_not_valid_says_why_after_a_pickle_too(context):
    again = pickle.loads(pickle.dumps(context))
    assert again == context and again.error == context.error and not again.valid



def test_the_classes_can_be_subclassed(client):
    class Person(Context):
        def greeting(self):
            return "Hello " + self.key

    class Builder(ContextBuilder):
        pass

    person = Person("user", "a", "Anna", False, {"rows": 3}, ["rows"])
    assert person.greeting() == "Hello a"
    assert person == Context.builder("a").name("Anna").set("rows", 3).private("rows").build()
    assert client.variation("bool", person, False) is True
    assert Builder("b").build().key == "b"


def test_a_builder_can_be_used_by_what_it_is_given():
    builder = Context.builder("a")

    class Meddler:
        def __str__(self):
            builder.set("meddled", True)
            return "text"

    context = builder.set("x", Meddler()).key(Meddler()).build()
    assert (context["x"], context.key, context["meddled"]) == ("text", "text", True)
