"""A program as users of the SageMaker Python SDK (version 2) write it; runs in an environment that has it.

It is told where a model and its code lie, and prints what it saw as JSON.
"""

import json
import sys
from typing import Any

from sagemaker import Session
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer, JSONSerializer
from sagemaker.sklearn import SKLearnModel

ROLE = "arn:aws:iam::000000000000:role/sagebird"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


def deploy(session: Session, model: Any, endpoint: str) -> Any:
    """Model.deploy; the SDK's own way to wait looks every 30 seconds unless it is told otherwise."""
    predictor = model.deploy(
        initial_instance_count=1, instance_type="ml.m5.large", endpoint_name=endpoint, wait=False
    )
    session.wait_for_endpoint(endpoint, poll=1)
    return predictor


def plain_model(session: Session, model_data: str) -> dict[str, Any]:
    """A model, predictions as CSV and as JSON, and everything deleted again."""
    model = Model(
        image_uri=IMAGE, model_data=model_data, role=ROLE, sagemaker_session=session, predictor_cls=Predictor
    )
    predictor = deploy(session, model, "from-the-sdk")
    predictor.serializer, predictor.deserializer = CSVSerializer(), CSVDeserializer()
    seen = {"csv": predictor.predict(FLOWERS)}
    predictor.serializer, predictor.deserializer = JSONSerializer(), JSONDeserializer()
    seen["json"] = predictor.predict(FLOWERS)
    predictor.delete_model()
    predictor.delete_endpoint(delete_endpoint_config=True)
    return seen


def model_with_code(session: Session, model_data: str, code: str) -> Any:
    """A model whose script lies in an archive of its own, as SKLearnModel names it."""
    model = SKLearnModel(
        model_data=model_data,
        role=ROLE,
        entry_point="score.py",
        source_dir=code,
        code_location=code.rpartition("/")[0],
        framework_version="1.2-1",
        sagemaker_session=session,
    )
    predictor = deploy(session, model, "with-code")
    predictor.serializer, predictor.deserializer = JSONSerializer(), JSONDeserializer()
    answer = predictor.predict(FLOWERS)
    predictor.delete_endpoint()
    return answer


def main(model_data: str, code: str) -> None:
    """Do both. Where code lies is said, so that the session does not ask S3 for a bucket."""
    session = Session()
    seen = {**plain_model(session, model_data), "code": model_with_code(session, model_data, code)}
    sys.stdout.write(f"\n{json.dumps(seen)}\n")  # the SDK draws dots and dashes while it waits


if __name__ == "__main__":
    main(*sys.argv[1:])
