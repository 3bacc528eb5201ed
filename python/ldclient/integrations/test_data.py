"""Flags for tests, set by the test itself.

.. code-block:: python

    from ldclient.integrations.test_data import TestData

    td = TestData.data_source()
    td.update(td.flag("new-checkout").variation_for_all(True))
    client = LDClient(Config("sdk-key", update_processor_class=td, send_events=False))
"""

import copy
from threading import Event
from typing import Any, Dict, List, Optional, Union

from ldclient.impl.locks import Lock
from ldclient.interfaces import DataSourceState, UpdateProcessor
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

__all__ = ["FALSE_VARIATION_INDEX", "TRUE_VARIATION_INDEX", "FlagBuilder", "FlagRuleBuilder", "TestData"]

#: Of a boolean flag.
TRUE_VARIATION_INDEX = 0
FALSE_VARIATION_INDEX = 1

_USER = "user"


class FlagBuilder:
    """Builds a flag, step by step: see :meth:`TestData.flag`.

    A variation is named by its index, or by ``True`` and ``False``, which makes a boolean flag of it.
    """

    #: What builds its rules.
    _rule_builder: Any = None

    def __init__(self, key: str):
        """
        :param key: the flag key
        """
        self._key = key
        self._on = True
        self._variations: List[Any] = [True, False]
        self._fallthrough_variation: Optional[int] = TRUE_VARIATION_INDEX
        self._off_variation: Optional[int] = FALSE_VARIATION_INDEX
        #: Keys by variation index, by context kind.
        self._targets: Dict[str, Dict[int, List[str]]] = {}
        self._rules: List["FlagRuleBuilder"] = []

    def copy(self) -> "FlagBuilder":
        """The same flag, to be changed without this one."""
        other = copy.copy(self)
        other._variations = list(self._variations)
        other._targets = {
            kind: {index: list(keys) for index, keys in targets.items()} for kind, targets in self._targets.items()
        }
        other._rules = list(self._rules)
        return other

    def on(self, on: bool) -> "FlagBuilder":
        """Whether targeting is in force; it is at first.

        :param on: whether it is
        """
        self._on = on
        return self

    def fallthrough_variation(self, variation: Union[bool, int]) -> "FlagBuilder":
        """What is served when nothing else matches.

        :param variation: which variation
        """
        self._fallthrough_variation = self._index_of(variation)
        return self

    def off_variation(self, variation: Union[bool, int]) -> "FlagBuilder":
        """What is served when the flag is off.

        :param variation: which variation
        """
        self._off_variation = self._index_of(variation)
        return self

    def boolean_flag(self) -> "FlagBuilder":
        """Makes it a flag of true and false: true for everybody, false when it is off. One that is such a flag
        already stays as it is."""
        if self._is_boolean():
            return self
        self.variations(True, False)
        return self.fallthrough_variation(TRUE_VARIATION_INDEX).off_variation(FALSE_VARIATION_INDEX)

    def variations(self, *variations: Any) -> "FlagBuilder":
        """What the flag can serve.

        :param variations: the values, of any type that has a JSON form
        """
        self._variations = list(variations)
        return self

    def variation_for_all(self, variation: Union[bool, int]) -> "FlagBuilder":
        """Serves one variation to everybody: turns the flag on, without targets and rules.

        :param variation: which variation
        """
        index = self._index_of(variation)
        return self.clear_rules().clear_targets().on(True).fallthrough_variation(index)

    def value_for_all(self, value: Any) -> "FlagBuilder":
        """Serves one value to everybody, the only one that the flag has then.

        :param value: the value
        """
        return self.variations(value).variation_for_all(0)

    #: Names of before 8.0.
    variation_for_all_users = variation_for_all
    value_for_all_users = value_for_all

    def variation_for_user(self, user_key: str, variation: Union[bool, int]) -> "FlagBuilder":
        """Serves one variation to one user, and to that user no other that was said before.

        :param user_key: the user's key
        :param variation: which variation
        """
        return self.variation_for_key(_USER, user_key, variation)

    def variation_for_key(self, context_kind: str, context_key: str, variation: Union[bool, int]) -> "FlagBuilder":
        """Serves one variation to one context, and to that context no other that was said before.

        :param context_kind: the context's kind
        :param context_key: the context's key
        :param variation: which variation
        """
        index = self._index_of(variation)
        targets = self._targets.setdefault(context_kind or _USER, {})
        for keys in targets.values():
            if context_key in keys:
                keys.remove(context_key)
        targets.setdefault(index, []).append(context_key)
        return self

    def if_match(self, attribute: str, *values: Any) -> "FlagRuleBuilder":
        """Begins a rule: the user's attribute is one of these values.

        :param attribute: the attribute
        :param values: the values
        """
        return self._rule_builder(self).and_match(attribute, *values)

    def if_match_context(self, context_kind: str, attribute: str, *values: Any) -> "FlagRuleBuilder":
        """Begins a rule: the attribute of the context of this kind is one of these values.

        :param context_kind: the kind
        :param attribute: the attribute
        :param values: the values
        """
        return self._rule_builder(self).and_match_context(context_kind, attribute, *values)

    def if_not_match(self, attribute: str, *values: Any) -> "FlagRuleBuilder":
        """Begins a rule: the user has the attribute, and it is none of these values.

        :param attribute: the attribute
        :param values: the values
        """
        return self._rule_builder(self).and_not_match(attribute, *values)

    def if_not_match_context(self, context_kind: str, attribute: str, *values: Any) -> "FlagRuleBuilder":
        """Begins a rule: the context of this kind has the attribute, and it is none of these values.

        :param context_kind: the kind
        :param attribute: the attribute
        :param values: the values
        """
        return self._rule_builder(self).and_not_match_context(context_kind, attribute, *values)

    def clear_rules(self) -> "FlagBuilder":
        """Takes all rules away."""
        self._rules = []
        return self

    def clear_targets(self) -> "FlagBuilder":
        """Takes all targets away."""
        self._targets = {}
        return self

    def _add_rule(self, rule: "FlagRuleBuilder") -> None:
        self._rules.append(rule)

    def _is_boolean(self) -> bool:
        # Not by equality: 1 and 0 are numbers.
        return len(self._variations) == 2 and self._variations[0] is True and self._variations[1] is False

    def _index_of(self, variation: Union[bool, int]) -> int:
        if isinstance(variation, bool):
            self.boolean_flag()
            return TRUE_VARIATION_INDEX if variation else FALSE_VARIATION_INDEX
        return variation

    def _build(self, version: int) -> dict:
        """The flag as it travels."""
        targets = []
        context_targets = []
        for kind, of_kind in self._targets.items():
            for index, keys in sorted(of_kind.items()):
                if not keys:
                    continue
                if kind == _USER:
                    # The keys of users stand in the one list, and their place in the order in the other.
                    targets.append({"variation": index, "values": list(keys)})
                    context_targets.append({"contextKind": kind, "variation": index, "values": []})
                else:
                    context_targets.append({"contextKind": kind, "variation": index, "values": list(keys)})
        return {
            "key": self._key,
            "version": version,
            "on": self._on,
            "variations": copy.deepcopy(self._variations),
            "prerequisites": [],
            "salt": "",
            "offVariation": self._off_variation,
            "fallthrough": {"variation": self._fallthrough_variation},
            "targets": targets,
            "contextTargets": context_targets,
            "rules": [rule._build(number) for number, rule in enumerate(self._rules)],
        }


class FlagRuleBuilder:
    """Builds a rule: begun by :meth:`FlagBuilder.if_match` and its like, ended by :meth:`then_return`."""

    def __init__(self, flag_builder: FlagBuilder):
        """
        :param flag_builder: builds the flag
        """
        self._flag_builder = flag_builder
        self._clauses: List[dict] = []
        self._variation: Optional[int] = None

    def and_match(self, attribute: str, *values: Any) -> "FlagRuleBuilder":
        """And the user's attribute is one of these values.

        :param attribute: the attribute
        :param values: the values
        """
        return self.and_match_context(_USER, attribute, *values)

    def and_match_context(self, context_kind: str, attribute: str, *values: Any) -> "FlagRuleBuilder":
        """And the attribute of the context of this kind is one of these values.

        :param context_kind: the kind
        :param attribute: the attribute
        :param values: the values
        """
        return self._and(context_kind, attribute, values, negate=False)

    def and_not_match(self, attribute: str, *values: Any) -> "FlagRuleBuilder":
        """And the user has the attribute, and it is none of these values.

        :param attribute: the attribute
        :param values: the values
        """
        return self.and_not_match_context(_USER, attribute, *values)

    def and_not_match_context(self, context_kind: str, attribute: str, *values: Any) -> "FlagRuleBuilder":
        """And the context of this kind has the attribute, and it is none of these values.

        :param context_kind: the kind
        :param attribute: the attribute
        :param values: the values
        """
        return self._and(context_kind, attribute, values, negate=True)

    def then_return(self, variation: Union[bool, int]) -> FlagBuilder:
        """Ends the rule.

        :param variation: which variation is served to whom it matches
        :return: what builds the flag
        """
        self._variation = self._flag_builder._index_of(variation)
        self._flag_builder._add_rule(self)
        return self._flag_builder

    def _and(self, context_kind: str, attribute: str, values: tuple, negate: bool) -> "FlagRuleBuilder":
        self._clauses.append(
            {
                "contextKind": context_kind,
                "attribute": attribute,
                "op": "in",
                "values": list(values),
                "negate": negate,
            }
        )
        return self

    def _build(self, number: int) -> dict:
        return {
            "id": "rule%d" % number,
            "variation": self._variation,
            "clauses": copy.deepcopy(self._clauses),
        }


FlagBuilder._rule_builder = FlagRuleBuilder


class TestData:
    """A data source whose flags a test sets and changes. It may be given to several clients.

    It takes the place of ``update_processor_class``.
    """

    # It is no test.
    __test__ = False

    #: What builds its flags.
    _flag_builder: Any = FlagBuilder

    def __init__(self) -> None:
        self._lock = Lock()
        self._builders: Dict[str, FlagBuilder] = {}
        self._flags: Dict[str, dict] = {}
        self._instances: List[Any] = []

    @classmethod
    def data_source(cls) -> Any:
        """Makes one without flags."""
        return cls()

    def flag(self, key: str) -> FlagBuilder:
        """What builds a flag: as it was last, or a new one, which serves true to everybody, and false when off.

        Nothing changes until :meth:`update` is called.

        :param key: the flag key
        """
        with self._lock:
            known = self._builders.get(key)
            return self._flag_builder(key) if known is None else known.copy()

    def update(self, flag_builder: FlagBuilder) -> "TestData":
        """Sets a flag, for all clients there are and will be.

        :param flag_builder: builds the flag
        """
        builder = flag_builder.copy()
        with self._lock:
            known = self._flags.get(builder._key)
            flag = builder._build(known["version"] + 1 if known else 1)
            self._flags[builder._key] = flag
            self._builders[builder._key] = builder
            instances = list(self._instances)
        for instance in instances:
            instance.upsert(flag)
        return self

    def __call__(self, config: Any, store: Any, ready: Event) -> "_TestDataSource":
        """Makes the data source of one client.

        :param config: the client's config
        :param store: what is written to
        :param ready: is set at once
        """
        return _TestDataSource(self, config, store, ready)

    def _begin(self, instance: Any) -> Dict[str, dict]:
        with self._lock:
            self._instances.append(instance)
            return dict(self._flags)

    def _end(self, instance: Any) -> None:
        with self._lock:
            if instance in self._instances:
                self._instances.remove(instance)


class _TestDataSource(UpdateProcessor):
    def __init__(self, test_data: TestData, config: Any, store: Any, ready: Event):
        self._test_data = test_data
        self._sink = getattr(config, "data_source_update_sink", None)
        self._store = store
        self._ready = ready

    def start(self) -> None:
        flags = self._test_data._begin(self)
        self._store.init({FEATURES: flags, SEGMENTS: {}})
        # A config may be shared: its sink need not be that of this client.
        if getattr(self._sink, "writes_to", lambda store: False)(self._store):
            self._sink.update_status(DataSourceState.VALID, None)
        self._ready.set()

    def stop(self) -> None:
        self._test_data._end(self)

    def initialized(self) -> bool:
        return True

    def upsert(self, flag: dict) -> None:
        self._store.upsert(FEATURES, flag)
