"""The SageMaker Python SDK, version 2, deploys and calls models.

It does not install beside our versions, so it has an environment of its own: `make sdk` makes `.venv-sdk`.
SAGEBIRD_TEST_SDK names the Python of another one.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.aws.control.conftest import Account
from tests.conftest import ROOT

_PYTHON = Path(os.environ.get("SAGEBIRD_TEST_SDK", ROOT / ".venv-sdk" / "bin" / "python"))
_SCORE = """
def predict_fn(data, model):
    return [f"class {label}" for label in model.predict(data)]


def output_fn(prediction, accept):
    import json

    return json.dumps(prediction), accept
"""


@pytest.mark.provenance("observed")
@pytest.mark.skipif(not _PYTHON.exists(), reason="needs the SageMaker Python SDK: make sdk")
def test_the_sdk_deploys_calls_and_deletes_a_model_and_one_with_code_apart(account: Account) -> None:
    weights = (ROOT / "models" / "iris-logistic" / "model.joblib").read_bytes()
    model_data = account.put("sdk/model.tar.gz", {"model.joblib": weights})
    code = account.put("sdk/sourcedir.tar.gz", {"score.py": _SCORE})
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "AWS_ENDPOINT_URL": account.server.url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    done = subprocess.run(
        [str(_PYTHON), str(Path(__file__).with_name("program.py")), model_data, code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "csv": [["0"], ["2"]],
        "json": [0, 2],
        "code": ["class 0", "class 2"],
    }
    account.wait_gone("from-the-sdk")
    listed = account.sagemaker.list_endpoint_configs(NameContains="from-the-sdk")
    assert listed["EndpointConfigs"] == []
