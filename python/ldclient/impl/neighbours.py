"""Whether another distribution is installed that brings a package of the same name."""

import os
import re
import sys
import warnings
from typing import Iterable, Optional

#: What the folder is called in which an installer notes down one of them, with its version.
_NOTE = re.compile(
    r"(launchdarkly[-_.]server[-_.]sdk|ldclient[-_.]py)-(\d[^-]*)(?:-[^-]*)?\.(?:dist|egg)-info", re.IGNORECASE
)


def warn_of_neighbours(path: Optional[Iterable[str]] = None) -> None:
    """Warns if there is another distribution: files of both lie in one folder then, or one hides the other.

    Looks at names of files only, which takes a fraction of what ``importlib.metadata`` does.

    :param path: where modules are imported from; ``sys.path`` if not given
    """
    for folder in dict.fromkeys(sys.path if path is None else path):
        try:
            names = os.listdir(folder or os.curdir)
        except OSError:
            continue  # an archive, or nothing at all
        for found in filter(None, map(_NOTE.fullmatch, names)):
            name = found[1].lower().replace("_", "-")
            warnings.warn(
                "%s %s is installed beside flagstaff-ldclient, and both bring the package ldclient: parts of one may "
                "stand in the place of the other's. Run `pip uninstall %s`, then `pip install --force-reinstall "
                "flagstaff-ldclient`."
                % (name, found[2], name),
                RuntimeWarning,
                stacklevel=3,
            )
            return
