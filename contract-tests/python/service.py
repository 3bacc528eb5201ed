"""Puts the Python SDK behind the HTTP interface of the cross-SDK contract tests.

Started as ``python service.py [PORT]`` (or with the environment variable ``PORT``; 0 picks a free one); the first
line on stdout is ``listening on http://HOST:PORT``. The interface is section 8 of the protocol reference. Needs
Python's standard library and the package under test, which is driven as a program drives it, by what is public.

============================================================ =======================================================
``interface``                                                the five requests, and which client one is for
``capabilities``                                             what is claimed
``parameters``                                               what the harness sends, read with care
``configure``                                                a configuration of the SDK from the harness's
``commands``                                                 what a client is asked to do
``contexts``                                                 contexts built, converted and compared
``callbacks``                                                calls to the harness, the program around the SDK
``hooks``, ``listeners``, ``migrations``, ``big_segments``   what makes those calls
``stores``, ``data_system``                                  databases, and second-generation delivery
============================================================ =======================================================
"""

import logging
import os
import sys

from interface import Service

DEFAULT_PORT = 9000


def main() -> None:
    # What the SDK says belongs to the run that is being looked at, not to every run.
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "CRITICAL"), stream=sys.stderr)
    port = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PORT", DEFAULT_PORT)
    service = Service(("127.0.0.1", int(port)))
    print("listening on http://%s:%d" % service.server_address[:2], flush=True)
    service.serve_forever()


if __name__ == "__main__":
    main()
