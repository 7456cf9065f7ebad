"""What a batch transform made, read as data frames: by awswrangler, by pandas from s3://, and by s3fs."""

import awswrangler
import boto3
import pandas
import s3fs

ROLE = "arn:aws:iam::000000000000:role/any"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
NAME, BUCKET = "flowers-frames", "frames"

boto3.client("s3").create_bucket(Bucket=BUCKET)
files = s3fs.S3FileSystem()
files.put("logistic.tar.gz", f"{BUCKET}/logistic.tar.gz")
flowers = pandas.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [6.0, 2.9, 4.5, 1.5]])
flowers.to_csv(f"s3://{BUCKET}/in/june.csv", header=False, index=False)
awswrangler.s3.to_csv(flowers, f"s3://{BUCKET}/in/july.csv", header=False, index=False)
assert files.ls(f"{BUCKET}/in") == [f"{BUCKET}/in/july.csv", f"{BUCKET}/in/june.csv"]
print("==> s3fs, pandas and awswrangler write")

sagemaker = boto3.client("sagemaker")
sagemaker.create_model(
    ModelName=NAME,
    ExecutionRoleArn=ROLE,
    PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/logistic.tar.gz"},
)
sagemaker.create_transform_job(
    TransformJobName=NAME,
    ModelName=NAME,
    TransformInput={
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/in/"}},
        "ContentType": "text/csv",
        "SplitType": "Line",
    },
    TransformOutput={"S3OutputPath": f"s3://{BUCKET}/out", "Accept": "text/csv", "AssembleWith": "Line"},
    TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    DataProcessing={"JoinSource": "Input"},
)
sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
    TransformJobName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
)
print("==> the job is completed")

columns = ["a", "b", "c", "d", "class"]
june = pandas.read_csv(f"s3://{BUCKET}/out/june.csv.out", names=columns)
assert list(june["class"]) == [0, 2, 1], june
print("==> pandas reads")
both = awswrangler.s3.read_csv(f"s3://{BUCKET}/out/", path_suffix=".out", names=columns)
assert len(both) == 6 and list(both["class"]) == [0, 2, 1, 0, 2, 1], both
print("==> awswrangler reads all files of a prefix")
awswrangler.s3.to_parquet(both, f"s3://{BUCKET}/answers/", dataset=True, partition_cols=["class"])
again = awswrangler.s3.read_parquet(f"s3://{BUCKET}/answers/", dataset=True)
assert len(again) == 6 and set(again["class"].astype(int)) == {0, 1, 2}, again
print("==> awswrangler writes and reads a partitioned dataset")
with files.open(f"{BUCKET}/out/july.csv.out") as file:
    assert len(file.read().splitlines()) == 3
files.rm(f"{BUCKET}/answers", recursive=True)
assert not files.exists(f"{BUCKET}/answers")
print("==> s3fs reads and removes")

sagemaker.delete_model(ModelName=NAME)
print("==> nothing is left")
