"""A program as users of the SageMaker Python SDK (version 2) write it; runs in an environment that has it.

It is told where the model lies, and prints what it saw as JSON.
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


def deploy_and_delete(session: Session, model_data: str) -> dict[str, Any]:
    """Model.deploy, predictions as CSV and as JSON, and everything deleted again."""
    model = Model(
        image_uri=IMAGE,
        model_data=model_data,
        role=ROLE,
        sagemaker_session=session,
        predictor_cls=Predictor,
    )
    predictor = model.deploy(
        initial_instance_count=1,
        instance_type="ml.m5.large",
        endpoint_name="from-the-sdk",
        serializer=CSVSerializer(),
        deserializer=CSVDeserializer(),
    )
    seen = {"csv": predictor.predict(FLOWERS)}
    predictor.serializer, predictor.deserializer = JSONSerializer(), JSONDeserializer()
    seen["json"] = predictor.predict(FLOWERS)
    seen["variants"] = [
        variant["VariantName"]
        for variant in session.sagemaker_client.describe_endpoint(EndpointName="from-the-sdk")[
            "ProductionVariants"
        ]
    ]
    predictor.delete_model()
    predictor.delete_endpoint(delete_endpoint_config=True)
    return seen


def deploy_with_code(session: Session, model_data: str, code: str) -> Any:
    """A model whose script lies in an archive of its own, as SKLearnModel leaves it in a bucket."""
    model = SKLearnModel(
        model_data=model_data,
        role=ROLE,
        entry_point="score.py",
        framework_version="1.2-1",
        image_uri=IMAGE,
        sagemaker_session=session,
        source_dir=code,
        env={"SAGEMAKER_SUBMIT_DIRECTORY": code, "SAGEMAKER_PROGRAM": "score.py"},
    )
    predictor = model.deploy(initial_instance_count=1, instance_type="ml.m5.large", endpoint_name="with-code")
    predictor.serializer, predictor.deserializer = JSONSerializer(), JSONDeserializer()
    answer = predictor.predict(FLOWERS)
    predictor.delete_endpoint()
    return answer


def main(model_data: str, code: str) -> None:
    session = Session(default_bucket="models")
    json.dump({**deploy_and_delete(session, model_data), "account": session.account_id()}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
