"""A model registry with boto3: versions in a group, one of which is approved and deployed."""

import boto3

ROLE = "arn:aws:iam::000000000000:role/any"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
NAME, BUCKET = "flowers", "registry"
EVERY_SECOND = {"Delay": 1, "MaxAttempts": 300}

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")


def register(archive):
    s3.upload_file(archive, BUCKET, archive)
    package = sagemaker.create_model_package(
        ModelPackageGroupName=NAME,
        ModelPackageDescription=archive,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{archive}"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
            "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
            "SupportedTransformInstanceTypes": ["ml.m5.large"],
        },
    )
    return package["ModelPackageArn"]


def approved():
    found = sagemaker.list_model_packages(
        ModelPackageGroupName=NAME,
        ModelApprovalStatus="Approved",
        SortBy="CreationTime",
        SortOrder="Descending",
    )
    return [each["ModelPackageArn"] for each in found["ModelPackageSummaryList"]]


s3.create_bucket(Bucket=BUCKET)
sagemaker.create_model_package_group(ModelPackageGroupName=NAME, ModelPackageGroupDescription="iris")
first, second = register("logistic.tar.gz"), register("forest.tar.gz")
assert (first.rpartition("/")[2], second.rpartition("/")[2]) == ("1", "2")
assert approved() == []
print("==> two versions are registered")

sagemaker.update_model_package(
    ModelPackageArn=second, ModelApprovalStatus="Approved", ApprovalDescription="good"
)
assert approved() == [second]
assert sagemaker.describe_model_package(ModelPackageName=second)["ApprovalDescription"] == "good"
print("==> the second is approved")

sagemaker.create_model(ModelName=NAME, ExecutionRoleArn=ROLE, Containers=[{"ModelPackageName": second}])
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
answer = runtime.invoke_endpoint(
    EndpointName=NAME, ContentType="text/csv", Accept="text/csv", Body="5.1,3.5,1.4,0.2"
)
assert answer["Body"].read().decode().strip() == "0"
print("==> it is deployed and answers")

sagemaker.delete_endpoint(EndpointName=NAME)
sagemaker.delete_endpoint_config(EndpointConfigName=NAME)
sagemaker.delete_model(ModelName=NAME)
for package in (first, second):
    sagemaker.delete_model_package(ModelPackageName=package)
sagemaker.delete_model_package_group(ModelPackageGroupName=NAME)
for archive in ("logistic.tar.gz", "forest.tar.gz"):
    s3.delete_object(Bucket=BUCKET, Key=archive)
s3.delete_bucket(Bucket=BUCKET)
print("==> nothing is left")
