"""A typed client of a server, made by openapi-python-client from its /openapi.json: calls of all samples.

`make client` makes the package `sagebird_client` and runs this file beside it, in an environment of its own.
"""

import sys
from typing import Any

from sagebird_client import Client
from sagebird_client.api.container import invocations
from sagebird_client.api.experiments import describe_experiment, promote_variant, report_outcomes
from sagebird_client.api.predictions import (
    describe_endpoint,
    invoke_bird_strike,
    invoke_catalogue,
    invoke_iris,
)
from sagebird_client.models import (
    DescribeEndpointResponse200,
    EndpointError,
    Experiment,
    ModelError,
    Outcome,
    PromoteVariantBody,
    Receipt,
)
from sagebird_client.models.invoke_bird_strike_json_body_item import InvokeBirdStrikeJsonBodyItem
from sagebird_client.models.invoke_catalogue_x_amzn_sage_maker_target_model import (
    InvokeCatalogueXAmznSageMakerTargetModel as Target,
)
from sagebird_client.models.invoke_iris_json_body_item_type_1 import InvokeIrisJsonBodyItemType1
from sagebird_client.models.invoke_iris_x_amzn_sage_maker_target_variant import (
    InvokeIrisXAmznSageMakerTargetVariant as Variant,
)

client = Client(base_url=sys.argv[1])


def check(holds: bool, what: str) -> None:
    """Say that something holds, or end."""
    if not holds:
        sys.exit(f"wrong: {what}")
    print(f"ok: {what}")


# iris: rows of four numbers in, one of three classes for each out
rows = invoke_iris.sync(client=client, body=[[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
check(rows == [0, 2], "iris answers rows with its classes")

# … or records by the names of the columns, of one variant by a header whose values are known
record = InvokeIrisJsonBodyItemType1(5.1, 3.5, 1.4, 0.2)
named = invoke_iris.sync_detailed(
    client=client, body=[record], x_amzn_sage_maker_target_variant=Variant.FOREST
)
check(named.parsed == [0], "iris answers records")
check(named.headers["x-amzn-invoked-production-variant"] == "forest", "the variant asked for answers")
check(invocations.sync(client=client, body=[record]) == [0], "so does the default endpoint")

# bird-strike: words that the model knows, gaps, and an answer in the script's own words
strike: Any = invoke_bird_strike.sync(
    client=client, body=[InvokeBirdStrikeJsonBodyItem.from_dict(
        {"wildlife_size": "large", "phase_of_flight": "climb", "time_of_day": "dusk", "speed_knots": None}
    )],
)  # fmt: skip
check(strike.predictions[0].damage == "yes", "bird-strike answers in its own words")
check(0.5 < strike.predictions[0].probability < 1, "with a probability")

# catalogue: each of its models by a header whose values are known
ROWS: dict[str, Any] = {
    "bird-strike": [
        {"wildlife_size": "large", "phase_of_flight": "climb", "time_of_day": "dusk", "speed_knots": 250}
    ],
    "breast-cancer": [[1.0] * 30],
    "diabetes": [[0.01] * 10],
    "digits": [[0.0] * 64],
    "iris-forest": [[5.1, 3.5, 1.4, 0.2]],
    "iris-logistic": [[5.1, 3.5, 1.4, 0.2]],
}
check({target.value for target in Target} == ROWS.keys(), "catalogue names its models")
for target in Target:
    got = invoke_catalogue.sync_detailed(
        client=client, body=ROWS[target.value], x_amzn_sage_maker_target_model=target
    )
    check(got.status_code == 200, f"catalogue answers as {target.value}")

# What it takes and gives, as people and programs are told
described = describe_endpoint.sync("iris", client=client)
assert isinstance(described, DescribeEndpointResponse200)
check(described.output.classes == [0, 1, 2], "iris describes itself")

# An error has a shape of its own
refused = invoke_bird_strike.sync_detailed(client=client, body=[])
check(refused.status_code == 424, "an empty list is refused")
check(isinstance(refused.parsed, ModelError), "by the error that the document names")
assert isinstance(refused.parsed, ModelError)
check(refused.parsed.original_status_code == 400, "with the model's own status")
check("no rows" in refused.parsed.original_message, "and its own words")

# An A/B test: a user keeps his variant, what came of it is reported by the answer's own id, and read again
sent = invoke_iris.sync_detailed(client=client, body=[record], x_sagebird_user="anna")
outcome = Outcome(inference_id=sent.headers["x-amzn-sagemaker-inference-id"])
outcome["click"] = True
receipt = report_outcomes.sync("iris", client=client, body=outcome)
assert isinstance(receipt, Receipt)
check(receipt.counted + receipt.waiting == 1, "an outcome is reported of a user's call")

experiment = describe_experiment.sync("iris", client=client, window="day")
assert isinstance(experiment, Experiment)
check([each.name for each in experiment.variants] == ["logistic", "forest"], "an experiment is told")
check(experiment.better is None and experiment.ramp is None, "by its members")

outcome["click"] = "maybe"
unfit = report_outcomes.sync("iris", client=client, body=outcome)
check(isinstance(unfit, EndpointError) and "click" in unfit.message, "an outcome that is none is refused")
unknown = promote_variant.sync("nobody", client=client, body=PromoteVariantBody(stop=True))
check(isinstance(unknown, EndpointError), "who is not there is not promoted")
