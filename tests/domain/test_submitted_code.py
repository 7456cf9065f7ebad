"""Which environments name code that lies apart from the model."""

import pytest

from service.domain.submitted_code import code_address


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("s3://bucket/a/sourcedir.tar.gz", "s3://bucket/a/sourcedir.tar.gz"),
        ("https://bucket.s3.amazonaws.com/code.tar.gz", "https://bucket.s3.amazonaws.com/code.tar.gz"),
        ("/opt/ml/model/code", None),
        ("file:///opt/ml/model/code", None),
        ("s3://../escape", None),
        ("", None),
    ],
)
def test_only_an_object_of_a_bucket_is_code_apart(named: str, address: str | None) -> None:
    assert code_address({"SAGEMAKER_SUBMIT_DIRECTORY": named}) == address


def test_no_environment_names_no_code() -> None:
    assert code_address({}) is None
