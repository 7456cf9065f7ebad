# MLflow's deployments to SageMaker, by its command line: create, predict, replace and delete.
set -euo pipefail
role=arn:aws:iam::000000000000:role/any
deploy() { mlflow deployments "$@" --target sagemaker:/us-east-1; }

python save_mlflow.py first 1
python save_mlflow.py second 0.1
echo '==> two models are saved'

# Where MLflow looks for its image, which it would build and push there itself with Docker.
python -c 'import boto3; boto3.client("ecr").create_repository(repositoryName="mlflow-pyfunc")'

deploy create --name flowers-mlflow --model-uri first -C execution_role_arn=$role -C timeout_seconds=300
echo '==> mlflow deployments create'

echo '[{"a": 5.1, "b": 3.5, "c": 1.4, "d": 0.2}, {"a": 6.7, "b": 3.0, "c": 5.2, "d": 2.3}]' >rows.json
deploy predict --name flowers-mlflow --input-path rows.json | tee answer.json
python -c 'import json; assert json.load(open("answer.json"))["predictions"] == [0, 2]'
echo '==> mlflow deployments predict'

deploy update --name flowers-mlflow --model-uri second -C mode=replace -C execution_role_arn=$role -C timeout_seconds=300
deploy get --name flowers-mlflow >described.txt
echo '==> mlflow deployments update'

deploy predict --name flowers-mlflow --input-path rows.json | grep -q predictions
echo '==> the new model answers'

deploy delete --name flowers-mlflow
echo '==> mlflow deployments delete'
