"""Contexts: who or what a flag is evaluated for.

.. code-block:: python

    from ldclient import Context

    user = Context.builder("user-key").name("Ernestina").set("plan", "gold").private("plan").build()
    organisation = Context.create("org-key", "org")
    both = Context.create_multi(user, organisation)
"""

from ldclient._native import Context, ContextBuilder, ContextMultiBuilder

__all__ = ["Context", "ContextBuilder", "ContextMultiBuilder"]
