"""Programs as users of SageMaker write them go to their end: here those whose steps no other test does.

`make programs` runs all of them; most have environments of their own, which take minutes to make.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, RunningServer, StartServer
from tests.programs import environments
from tests.programs.battery import BUCKETS, CLIENTS, STEPS
from tests.programs.catalogue import FOLDER, PROGRAMS
from tests.programs.running import address, run

_IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
_DATA = {"Fn::Join": ["", ["s3://", {"Fn::Sub": "cdk-assets-${AWS::AccountId}"}, "/model.tar.gz"]]}
_VARIANT = {
    "VariantName": "AllTraffic",
    "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
    "InitialInstanceCount": 1,
    "InstanceType": "ml.m5.large",
    "InitialVariantWeight": 1,
}
# As CDK writes them: in the order of their names, with references in place of names.
_RESOURCES = {
    "Endpoint": {
        "Type": "AWS::SageMaker::Endpoint",
        "Properties": {"EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}},
    },
    "Config": {
        "Type": "AWS::SageMaker::EndpointConfig",
        "Properties": {"ProductionVariants": [_VARIANT]},
    },
    "Model": {
        "Type": "AWS::SageMaker::Model",
        "Properties": {
            "ModelName": "flowers-cdk",
            "ExecutionRoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
            "PrimaryContainer": {"Image": _IMAGE, "ModelDataUrl": _DATA},
        },
    },
    "Role": {"Type": "AWS::IAM::Role", "Properties": {}},
}


@pytest.fixture(scope="module")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    return start_server(tmp_path_factory.mktemp("models"), gateways=1)


def test_the_battery_of_clients_has_steps_that_its_table_shows() -> None:
    found = {
        step
        for file, _ in CLIENTS.values()
        for step in re.findall(r'^(?:await )?step\("([^"]+)"', (BUCKETS / file).read_text(), re.MULTILINE)
    }

    assert found == set(STEPS)


def test_a_program_goes_to_its_end(server: RunningServer, tmp_path: Path) -> None:
    ran = run(PROGRAMS["registry"], server.url, tmp_path)

    assert ran.passed, ran.said
    assert not (server.data / "s3" / "registry").exists()


def test_what_cdk_makes_of_an_app_is_created_from_its_template(server: RunningServer, tmp_path: Path) -> None:
    bucket = server.data / "s3" / "cdk-assets-000000000000"
    bucket.mkdir(parents=True)
    shutil.make_archive(str(bucket / "model"), "gztar", ROOT / "models" / "iris-logistic", "model.joblib")
    template = tmp_path / "app.template.json"
    template.write_text(json.dumps({"Resources": _RESOURCES}), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, str(FOLDER / "cdk_template.py"), str(template)],
        env={"PATH": os.environ["PATH"], **address(server.url)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    kinds = ("Model flowers-cdk", "EndpointConfig Config", "Endpoint Endpoint")
    assert done.stdout.splitlines() == [f"AWS::SageMaker::{kind}" for kind in kinds]


def test_programs_have_steps_and_what_they_need() -> None:
    for program in PROGRAMS.values():
        assert program.steps > 2
        assert all((FOLDER / name).is_file() for name in program.needs)


def test_an_environment_that_is_not_there_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert not environments.is_ready("sdk2")
