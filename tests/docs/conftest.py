"""Who reads the pages: one reader for those of a file, with a server over a copy of the samples.

All pages share its server and its folder: each puts back what it made, and none needs another one.
"""

import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.conftest import ROOT, RunningServer, StartServer, wait_until
from tests.docs.reader import Reader

ORIGIN = "http://localhost:3000"


@pytest.fixture(scope="module")
def reader(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Pages add models and edit files, so the samples are a copy."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "models", folder / "models", ignore=shutil.ignore_patterns("__pycache__"))
    server = start_server(folder / "models", folder / "data", cors_origins=ORIGIN, workers="1")
    return Reader(folder, server, _client(server))


def check_page(page: Path, reader: Reader) -> None:
    """Fail unless the page prints what it shows and leaves nothing behind."""
    files, served = reader.files(), reader.served()

    failures = reader.follow(page)

    assert not failures, "\n\n".join(["", *failures])
    wait_until(lambda: reader.served() == served)
    assert reader.files() == files


def _client(server: RunningServer) -> Any:
    return boto3.client(
        "sagemaker",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
