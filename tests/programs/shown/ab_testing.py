"""An A/B test of two models with boto3: traffic, CloudWatch's numbers and their plots, new weights."""

import csv
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

ROLE = "arn:aws:iam::000000000000:role/any"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
NAME, BUCKET = "flowers-ab", "ab-test"
EVERY_SECOND = {"Delay": 1, "MaxAttempts": 300}

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")
cloudwatch = boto3.client("cloudwatch")


def create_model(name, archive):
    s3.upload_file(archive, BUCKET, archive)
    sagemaker.create_model(
        ModelName=f"{NAME}-{name}",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{archive}"},
    )


def variant(name, weight):
    return {
        "VariantName": name,
        "ModelName": f"{NAME}-{name}",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": weight,
    }


def ask(rows, **more):
    """How many answers each variant gave, and how many of them were right."""
    asked, right = Counter(), Counter()
    for *features, label in rows:
        answer = runtime.invoke_endpoint(
            EndpointName=NAME, ContentType="text/csv", Accept="text/csv", Body=",".join(features), **more
        )
        asked[answer["InvokedProductionVariant"]] += 1
        right[answer["InvokedProductionVariant"]] += answer["Body"].read().decode().strip() == label
    return asked, right


def metric(name, variant, statistic, since):
    found = cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=name,
        StartTime=since - timedelta(minutes=1),
        EndTime=datetime.now(UTC) + timedelta(minutes=2),
        Period=60,
        Statistics=[statistic],
        Dimensions=[{"Name": "EndpointName", "Value": NAME}, {"Name": "VariantName", "Value": variant}],
    )
    return sorted((each["Timestamp"], each[statistic]) for each in found["Datapoints"])


def invocations(since):
    return {name: sum(value for _, value in metric("Invocations", name, "Sum", since)) for name in ("a", "b")}


def plot(since, file):
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
    for axis, name, statistic in zip(axes, ("Invocations", "ModelLatency"), ("Sum", "Average")):
        for each in ("a", "b"):
            points = metric(name, each, statistic, since)
            axis.plot([at for at, _ in points], [value for _, value in points], marker="o", label=each)
        axis.set_title(name)
        axis.legend()
    figure.savefig(file)


began = datetime.now(UTC)
flowers = list(csv.reader(Path("labelled.csv").open()))
s3.create_bucket(Bucket=BUCKET)
create_model("a", "logistic.tar.gz")
create_model("b", "forest.tar.gz")
sagemaker.create_endpoint_config(
    EndpointConfigName=NAME, ProductionVariants=[variant("a", 1), variant("b", 1)]
)
sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME, WaiterConfig=EVERY_SECOND)
print("==> two variants are in service")

asked, _ = ask(flowers)
assert asked["a"] + asked["b"] == len(flowers) and min(asked.values()) > 40, asked
print("==> both answer")

for name in ("a", "b"):
    only, right = ask(flowers, TargetVariant=name)
    assert set(only) == {name} and right[name] / only[name] > 0.9, (only, right)
    asked += only
print("==> each answers when it is named, and nine times in ten it is right")

deadline = time.monotonic() + 120
while invocations(began) != asked and time.monotonic() < deadline:
    time.sleep(1)
assert invocations(began) == asked, (invocations(began), asked)
print("==> CloudWatch has counted what was asked")

plot(began, "ab-test.png")
assert Path("ab-test.png").stat().st_size > 5000
print("==> invocations and latencies are plotted")

sagemaker.update_endpoint_weights_and_capacities(
    EndpointName=NAME,
    DesiredWeightsAndCapacities=[
        {"VariantName": "a", "DesiredWeight": 0},
        {"VariantName": "b", "DesiredWeight": 1},
    ],
)
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME, WaiterConfig=EVERY_SECOND)
asked, _ = ask(flowers)
assert set(asked) == {"b"}, asked
print("==> all traffic goes to the better one")

sagemaker.delete_endpoint(EndpointName=NAME)
sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=NAME, WaiterConfig=EVERY_SECOND)
sagemaker.delete_endpoint_config(EndpointConfigName=NAME)
for name in ("a", "b"):
    sagemaker.delete_model(ModelName=f"{NAME}-{name}")
print("==> nothing is left")
