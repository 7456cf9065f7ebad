import pytest

from service.arn import Arns, find_partition, log_group

ARNS = Arns("123456789012", "eu-west-1")


@pytest.mark.provenance("documented")
def test_each_kind_has_its_tail() -> None:
    assert (
        ARNS.arn("transform-job", "churn") == "arn:aws:sagemaker:eu-west-1:123456789012:transform-job/churn"
    )


def test_a_name_keeps_its_case() -> None:
    assert ARNS.arn("endpoint", "DEMO-x").endswith(":endpoint/DEMO-x")


@pytest.mark.provenance("documented")
def test_the_account_itself_is_its_root_user() -> None:
    assert ARNS.assumed_role("r", "s") == "arn:aws:sts::123456789012:assumed-role/r/s"
    assert Arns("123456789012", "cn-north-1").assumed_role("r", "s").startswith("arn:aws-cn:sts::")


@pytest.mark.provenance("observed")
def test_the_log_stream_of_an_error_names_the_log_group_of_the_endpoint() -> None:
    expected = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/sagemaker/Endpoints/churn"

    assert ARNS.log_stream("churn") == expected
    assert expected.endswith(log_group("churn"))


@pytest.mark.provenance("observed")
def test_the_console_page_of_an_endpoints_logs_is_in_its_region() -> None:
    assert ARNS.console_logs_url("churn") == (
        "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1"
        "#logEventViewer:group=/aws/sagemaker/Endpoints/churn"
    )


def test_the_console_page_can_be_asked_for_another_region() -> None:
    url = ARNS.console_logs_url("churn", "us-east-2")

    assert url.startswith("https://us-east-2.console.aws.amazon.com/cloudwatch/home?region=us-east-2#")


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("us-east-1", "aws"),
        ("eu-central-1", "aws"),
        ("mx-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("us-isof-south-1", "aws-iso-f"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_the_region_tells_the_partition(region: str, partition: str) -> None:
    assert find_partition(region) == partition
    assert Arns("123456789012", region).arn("model", "m").startswith(f"arn:{partition}:sagemaker:{region}:")
