"""The order in which a full data set is written: whoever reads meanwhile finds what an item depends on."""

from collections import OrderedDict
from typing import Any, Dict, Mapping

from ldclient.versioned_data_kind import VersionedDataKind


class FeatureStoreDataSetSorter:
    """Puts segments before flags, and each flag after its prerequisites."""

    @staticmethod
    def sort_all_collections(
        all_data: Mapping[VersionedDataKind, Mapping[str, Any]]
    ) -> "OrderedDict[VersionedDataKind, Mapping[str, Any]]":
        """The same data in the order in which it should be written.

        :param all_data: items by key, by kind
        """
        kinds = sorted(all_data, key=lambda kind: getattr(kind, "priority", len(all_data)))
        return OrderedDict((kind, _sorted(kind, all_data[kind])) for kind in kinds)


def _sorted(kind: VersionedDataKind, items: Mapping[str, Any]) -> Mapping[str, Any]:
    dependencies_of = getattr(kind, "get_dependency_keys", None)
    if dependencies_of is None:
        return items
    ordered: Dict[str, Any] = OrderedDict()
    seen = set()
    for first in items:
        # Steps down are kept here and not on the stack: chains may be long. A circle is broken where it closes.
        path = [] if first in seen else [(first, iter(list(dependencies_of(items[first]))))]
        seen.add(first)
        while path:
            key, dependencies = path[-1]
            needed = next((one for one in dependencies if one in items and one not in seen), None)
            if needed is None:
                path.pop()
                ordered[key] = items[key]
            else:
                seen.add(needed)
                path.append((needed, iter(list(dependencies_of(items[needed])))))
    return ordered
