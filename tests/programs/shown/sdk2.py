"""The SageMaker Python SDK, version 2: model with its script, batch, a pipeline, many models, a registry."""

from sagemaker import ModelPackage, Session, get_execution_role
from sagemaker.deserializers import JSONDeserializer
from sagemaker.multidatamodel import MultiDataModel
from sagemaker.pipeline import PipelineModel
from sagemaker.predictor import Predictor
from sagemaker.serializers import JSONSerializer
from sagemaker.sklearn import SKLearnModel

FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]

session = Session()
role, bucket = get_execution_role(session), session.default_bucket()
archive = session.upload_data("logistic.tar.gz", bucket, "models")


def deploy(model, name):
    """As model.deploy does that waits, but it looks every second instead of every thirty."""
    model.deploy(1, "ml.m5.large", endpoint_name=name, wait=False)
    session.wait_for_endpoint(name, poll=1)
    return Predictor(name, session, serializer=JSONSerializer(), deserializer=JSONDeserializer())


def sklearn_model(**more):
    return SKLearnModel(
        model_data=archive,
        role=role,
        entry_point="score.py",
        framework_version="1.2-1",
        sagemaker_session=session,
        **more,
    )


model = sklearn_model()
predictor = deploy(model, "sdk2-script")
assert predictor.predict(FLOWERS) == ["class 0", "class 2"]
print("==> SKLearnModel.deploy and predict")
predictor.delete_model()
predictor.delete_endpoint()

rows = session.upload_data("rows.csv", bucket, "rows")
transformer = model.transformer(1, "ml.m5.large", output_path=f"s3://{bucket}/out", accept="application/json")
transformer.transform(rows, content_type="text/csv", split_type="Line", logs=False)
assert session.read_s3_file(bucket, "out/rows.csv.out") == '["class 0", "class 2"]'
print("==> SKLearnModel.transformer")

first = sklearn_model(name="sdk2-first")
pipeline = PipelineModel([first], role=role, name="sdk2-pipeline", sagemaker_session=session)
predictor = deploy(pipeline, "sdk2-pipeline")
assert predictor.predict(FLOWERS) == ["class 0", "class 2"]
pipeline.delete_model()
predictor.delete_endpoint()
print("==> PipelineModel")

many = MultiDataModel("sdk2-many", f"s3://{bucket}/many/", model=sklearn_model(), sagemaker_session=session)
many.add_model(archive, "one.tar.gz")
assert list(many.list_models()) == ["one.tar.gz"]
predictor = deploy(many, "sdk2-many")
assert predictor.predict(FLOWERS, target_model="one.tar.gz") == ["class 0", "class 2"]
predictor.delete_model()
predictor.delete_endpoint()
print("==> MultiDataModel")

package = model.register(
    content_types=["application/json"],
    response_types=["application/json"],
    inference_instances=["ml.m5.large"],
    transform_instances=["ml.m5.large"],
    model_package_group_name="sdk2-flowers",
    approval_status="Approved",
)
registered = ModelPackage(role=role, model_package_arn=package.model_package_arn, sagemaker_session=session)
predictor = deploy(registered, "sdk2-registered")
assert predictor.predict(FLOWERS) == ["class 0", "class 2"]
predictor.delete_model()
predictor.delete_endpoint()
print("==> Model.register and ModelPackage.deploy")
