"""The SageMaker Python SDK, version 3: ModelBuilder with a script, batch transform, a model registry."""

import json

from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import TransformJob
from sagemaker.core.shapes import (
    TransformDataSource,
    TransformInput,
    TransformOutput,
    TransformResources,
    TransformS3DataSource,
)
from sagemaker.core.training.configs import SourceCode
from sagemaker.serve import ModelBuilder

FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]

session = Session()
role, bucket = get_execution_role(session), session.default_bucket()
image = image_uris.retrieve("sklearn", session.boto_region_name, version="1.2-1", instance_type="ml.m5.large")
archive = session.upload_data("logistic.tar.gz", bucket, "models")


def ask(endpoint):
    answer = endpoint.invoke(
        body=json.dumps(FLOWERS), content_type="application/json", accept="application/json"
    )
    return json.loads(answer.body.read())


builder = ModelBuilder(
    image_uri=image,
    s3_model_data_url=archive,
    source_code=SourceCode(source_dir=".", entry_script="score.py"),
    role_arn=role,
    sagemaker_session=session,
    instance_type="ml.m5.large",
)
model = builder.build(model_name="sdk3-flowers")
print("==> ModelBuilder.build")

endpoint = builder.deploy(endpoint_name="sdk3-flowers", initial_instance_count=1)
assert ask(endpoint) == ["class 0", "class 2"]
print("==> ModelBuilder.deploy and Endpoint.invoke")

job = TransformJob.create(
    transform_job_name="sdk3-flowers",
    model_name=model.model_name,
    transform_input=TransformInput(
        data_source=TransformDataSource(
            s3_data_source=TransformS3DataSource(
                s3_data_type="S3Prefix", s3_uri=session.upload_data("rows.csv", bucket, "rows")
            )
        ),
        content_type="text/csv",
        split_type="Line",
    ),
    transform_output=TransformOutput(s3_output_path=f"s3://{bucket}/out3", accept="application/json"),
    transform_resources=TransformResources(instance_type="ml.m5.large", instance_count=1),
)
job.wait(poll=1)
assert session.read_s3_file(bucket, "out3/rows.csv.out") == '["class 0", "class 2"]'
print("==> TransformJob")

package = builder.register(
    model_package_group_name="sdk3-flowers",
    content_types=["application/json"],
    response_types=["application/json"],
    inference_instances=["ml.m5.large"],
    transform_instances=["ml.m5.large"],
    approval_status="Approved",
)
print(package)
print("==> ModelBuilder.register")

endpoint.delete()
model.delete()
print("==> nothing is left")
