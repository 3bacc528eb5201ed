"""Asks a service for flags by OpenFeature's remote evaluation protocol, with OpenFeature's own provider.

Each argument is a question as JSON, ``[TYPE, FLAG, DEFAULT, CONTEXT]``, with a context as OpenFeature has it:
``{"targetingKey": …, ATTRIBUTE: …}``. Prints one line for each, ``{"value": …, "reason": …, "variant": …,
"error": …, "metadata": …}``. A question is asked twice, by a plain call and by one that is awaited; both must
have the same answer.
"""

import asyncio
import json
import os
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagEvaluationDetails


def shown(details: FlagEvaluationDetails) -> dict:
    return {
        "value": details.value,
        "reason": details.reason and str(details.reason),
        "variant": details.variant,
        "error": details.error_code and details.error_code.value,
        "metadata": dict(details.flag_metadata),
    }


def main() -> None:
    key = os.environ["FLAGSTAFF_KEY"]
    provider = OFREPProvider(os.environ["FLAGSTAFF_URL"], headers_factory=lambda: {"Authorization": f"Bearer {key}"})
    api.set_provider(provider)
    client = api.get_client()
    for question in sys.argv[1:]:
        kind, flag, default, fields = json.loads(question)
        context = EvaluationContext(fields.pop("targetingKey", None), fields)
        answer = shown(getattr(client, f"get_{kind}_details")(flag, default, context))
        awaited = shown(asyncio.run(getattr(client, f"get_{kind}_details_async")(flag, default, context)))
        if awaited != answer:
            raise AssertionError(f"{question}: {answer}, but awaited {awaited}")
        print(json.dumps(answer), flush=True)
    api.shutdown()


if __name__ == "__main__":
    main()
