"""A multi-model endpoint with boto3: many models behind one endpoint, one of which comes later."""

import boto3
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/any"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
NAME, BUCKET = "many-flowers", "multi-model"
EVERY_SECOND = {"Delay": 1, "MaxAttempts": 300}

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")


def ask(model):
    answer = runtime.invoke_endpoint(
        EndpointName=NAME,
        TargetModel=model,
        ContentType="text/csv",
        Accept="text/csv",
        Body="5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3",
    )
    return answer["Body"].read().decode().split()


s3.create_bucket(Bucket=BUCKET)
for model in ("one.tar.gz", "two.tar.gz"):
    s3.upload_file("logistic.tar.gz", BUCKET, f"models/{model}")
sagemaker.create_model(
    ModelName=NAME,
    ExecutionRoleArn=ROLE,
    PrimaryContainer={"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": f"s3://{BUCKET}/models/"},
)
sagemaker.create_endpoint_config(
    EndpointConfigName=NAME,
    ProductionVariants=[
        {
            "VariantName": "AllTraffic",
            "ModelName": NAME,
            "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.large",
        }
    ],
)
sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME, WaiterConfig=EVERY_SECOND)
print("==> the endpoint is in service")

assert ask("one.tar.gz") == ask("two.tar.gz") == ["0", "2"]
print("==> each model answers by its name")

s3.upload_file("forest.tar.gz", BUCKET, "models/later/three.tar.gz")
assert ask("later/three.tar.gz") == ["0", "2"]
print("==> a model that comes later answers, too")

try:
    ask("none.tar.gz")
    raise AssertionError("a model that is not there has answered")
except ClientError as error:
    assert error.response["Error"]["Code"] == "ValidationError", error
print("==> a model that is not there is refused")

sagemaker.delete_endpoint(EndpointName=NAME)
sagemaker.delete_endpoint_config(EndpointConfigName=NAME)
sagemaker.delete_model(ModelName=NAME)
print("==> nothing is left")
