"""Airflow's SageMaker operators and sensors, as a DAG's tasks are run, without a scheduler."""

import boto3
from airflow.providers.amazon.aws.operators.sagemaker import (
    SageMakerDeleteModelOperator,
    SageMakerEndpointConfigOperator,
    SageMakerEndpointOperator,
    SageMakerModelOperator,
    SageMakerTransformOperator,
)
from airflow.providers.amazon.aws.sensors.sagemaker import SageMakerEndpointSensor, SageMakerTransformSensor

ROLE = "arn:aws:iam::000000000000:role/any"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
NAME, BUCKET = "flowers-airflow", "airflow"
CONNECTION = {"aws_conn_id": None, "region_name": "us-east-1"}

s3 = boto3.client("s3")
s3.create_bucket(Bucket=BUCKET)
s3.upload_file("logistic.tar.gz", BUCKET, "logistic.tar.gz")
s3.put_object(Bucket=BUCKET, Key="in/june.csv", Body=b"5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n")

model = {
    "ModelName": NAME,
    "ExecutionRoleArn": ROLE,
    "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/logistic.tar.gz"},
}
config = {
    "EndpointConfigName": NAME,
    "ProductionVariants": [
        {
            "VariantName": "AllTraffic",
            "ModelName": NAME,
            "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.large",
        }
    ],
}
transform = {
    "TransformJobName": NAME,
    "ModelName": NAME,
    "TransformInput": {
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/in"}},
        "ContentType": "text/csv",
        "SplitType": "Line",
    },
    "TransformOutput": {"S3OutputPath": f"s3://{BUCKET}/out", "Accept": "text/csv"},
    "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
}

SageMakerModelOperator(task_id="model", config=model, **CONNECTION).execute({})
print("==> SageMakerModelOperator")
SageMakerEndpointConfigOperator(task_id="config", config=config, **CONNECTION).execute({})
print("==> SageMakerEndpointConfigOperator")
endpoint = {"EndpointName": NAME, "EndpointConfigName": NAME}
SageMakerEndpointOperator(
    task_id="endpoint", config=endpoint, wait_for_completion=True, check_interval=1, **CONNECTION
).execute({})
print("==> SageMakerEndpointOperator")
assert SageMakerEndpointSensor(task_id="in_service", endpoint_name=NAME, **CONNECTION).poke({})
print("==> SageMakerEndpointSensor")
answer = boto3.client("sagemaker-runtime").invoke_endpoint(
    EndpointName=NAME, ContentType="text/csv", Accept="text/csv", Body="5.1,3.5,1.4,0.2"
)
assert answer["Body"].read().decode().strip() == "0"
print("==> the endpoint answers")
SageMakerEndpointOperator(
    task_id="update",
    config=endpoint,
    operation="update",
    wait_for_completion=True,
    check_interval=1,
    **CONNECTION,
).execute({})
print("==> SageMakerEndpointOperator, update")
done = SageMakerTransformOperator(
    task_id="transform", config=transform, wait_for_completion=True, check_interval=1, **CONNECTION
).execute({})
assert done["Transform"]["TransformJobStatus"] == "Completed", done
print("==> SageMakerTransformOperator")
assert SageMakerTransformSensor(task_id="transformed", job_name=NAME, **CONNECTION).poke({})
print("==> SageMakerTransformSensor")
june = s3.get_object(Bucket=BUCKET, Key="out/june.csv.out")["Body"].read().decode()
assert june.split() == ["0", "2"], june
boto3.client("sagemaker").delete_endpoint(EndpointName=NAME)
SageMakerDeleteModelOperator(task_id="delete", config={"ModelName": NAME}, **CONNECTION).execute({})
print("==> SageMakerDeleteModelOperator")
