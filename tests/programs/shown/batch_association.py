"""A batch transform whose answers stand beside their inputs: the model sees no ids, the results have them."""

import boto3

ROLE = "arn:aws:iam::000000000000:role/any"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
NAME, BUCKET = "flowers-with-ids", "association"

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")

s3.create_bucket(Bucket=BUCKET)
s3.upload_file("logistic.tar.gz", BUCKET, "logistic.tar.gz")
s3.put_object(Bucket=BUCKET, Key="in/june.csv", Body=b"anna,5.1,3.5,1.4,0.2\nbert,6.7,3.0,5.2,2.3\n")
s3.put_object(Bucket=BUCKET, Key="in/july.csv", Body=b"carl,6.0,2.9,4.5,1.5\n")
sagemaker.create_model(
    ModelName=NAME,
    ExecutionRoleArn=ROLE,
    PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/logistic.tar.gz"},
)
print("==> model and inputs are there")

sagemaker.create_transform_job(
    TransformJobName=NAME,
    ModelName=NAME,
    BatchStrategy="MultiRecord",
    TransformInput={
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/in"}},
        "ContentType": "text/csv",
        "SplitType": "Line",
    },
    TransformOutput={"S3OutputPath": f"s3://{BUCKET}/out", "Accept": "text/csv", "AssembleWith": "Line"},
    TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
)
sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
    TransformJobName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
)
job = sagemaker.describe_transform_job(TransformJobName=NAME)
assert job["TransformJobStatus"] == "Completed", job
print("==> the job is completed")

keys = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET, Prefix="out/")["Contents"]]
assert keys == ["out/july.csv.out", "out/june.csv.out"], keys
june = s3.get_object(Bucket=BUCKET, Key="out/june.csv.out")["Body"].read().decode()
assert june.split() == ["anna,0", "bert,2"], june
print("==> each answer stands beside its id")

sagemaker.delete_model(ModelName=NAME)
print("==> nothing is left")
