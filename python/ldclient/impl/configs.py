"""Configs made of configs."""

import copy
from typing import Any

from ldclient.config import Config


def changed(config: Config, **settings: Any) -> Config:
    """A config that differs in some settings.

    :param config: the config
    :param settings: what is different
    """
    other = copy.copy(config)
    other._settings = dict(config._settings, **settings)
    return other


def online(config: Config) -> Config:
    """A config of a client that is not offline.

    :param config: the config, offline or not
    """
    return changed(config, offline=False, send_events=config._settings["wants_events"])


def offline(config: Config) -> Config:
    """A config of a client that is offline.

    :param config: the config, offline or not
    """
    return changed(config, offline=True, send_events=False)
