import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.arn import Arns
from service.domain import container_sentences, obstacles, sentences, unserved
from service.domain.kinds import Kind

ACCOUNT = "000000000000"
URL = Arns(ACCOUNT, "us-east-1").console_logs_url("iris")


@pytest.mark.provenance("observed")
def test_an_unknown_endpoint_is_named_without_arn_and_quotes() -> None:
    assert sentences.endpoint_not_found("iris", ACCOUNT) == "Endpoint iris of account 000000000000 not found."


@pytest.mark.provenance("observed")
def test_a_target_model_needs_a_multi_model_endpoint() -> None:
    assert sentences.target_model_not_supported("iris") == (
        "Endpoint iris is not a multi-model endpoint and does not support target model header."
    )


@pytest.mark.provenance("observed")
def test_an_inference_component_is_not_allowed_in_awss_own_spelling() -> None:
    assert sentences.inference_component_not_allowed() == (
        "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy "
        "inference components. Please remove the Inference Component Name header and try again."
    )


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(
    ("status", "side"), [(400, "client"), (499, "client"), (500, "server"), (0, "server"), (399, "server")]
)
def test_a_model_error_says_whose_fault_it_is(status: int, side: str) -> None:
    assert sentences.model_error(status, "bad input", URL, ACCOUNT) == (
        f'Received {side} error ({status}) from primary with message "bad input". '
        "See https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
        "#logEventViewer:group=/aws/sagemaker/Endpoints/iris in account 000000000000 for more information."
    )


@pytest.mark.provenance("observed")
def test_a_model_error_names_its_container() -> None:
    assert "error (500) from container-2 with" in sentences.model_error(500, "", URL, ACCOUNT, "container-2")


@pytest.mark.provenance("observed")
def test_a_model_that_takes_too_long_is_worded_as_aws_does() -> None:
    text = sentences.model_error(0, sentences.model_timed_out(), URL, ACCOUNT)

    assert text.startswith(
        'Received server error (0) from primary with message "Your invocation timed out while waiting for a '
        "response from container primary. Review the latency metrics for each container in Amazon "
        'CloudWatch, resolve the issue, and try again.". See https://'
    )


@pytest.mark.provenance("documented")
def test_too_much_for_the_next_container_is_worded_as_aws_does() -> None:
    assert container_sentences.hop_too_large("MyContainerName1", 200, "MyContainerName2", 6000000) == (
        "Received response from MyContainerName1 with status code 200. However, the request payload from "
        "MyContainerName1 to MyContainerName2 is 6000000 bytes, which has exceeded the maximum limit of 5 MB."
    )


@pytest.mark.provenance("observed")
def test_an_answer_that_cannot_be_read_is_worded_as_aws_does() -> None:
    assert sentences.answer_unreadable(URL, ACCOUNT) == (
        "Received server error (500) from primary and could not load the entire response body. "
        f"See {URL} in account 000000000000 for more information."
    )


@pytest.mark.provenance("botocore")
@given(st.text(max_size=4000) | st.integers(1400, 4000).map(lambda count: "x" * count))
def test_a_message_never_outgrows_awss_shape(text: str) -> None:
    arns = Arns(ACCOUNT, "eusc-de-east-1")
    longest = sentences.model_error(400, text, arns.console_logs_url("n" * 63), ACCOUNT, "c" * 63)

    assert len(longest) <= sentences.MAX_MESSAGE_CHARS
    quoted = text if len(text) <= sentences.MAX_QUOTED_CHARS else text[: sentences.MAX_QUOTED_CHARS - 1] + "…"
    assert f'with message "{quoted}". See' in longest


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind.MODEL, "model"),
        (Kind.ENDPOINT_CONFIG, "endpoint configuration"),
        (Kind.ENDPOINT, "endpoint"),
    ],
)
def test_the_control_plane_names_things_by_kind_and_arn(kind: Kind, words: str) -> None:
    arn = Arns(ACCOUNT, "us-east-1").arn(kind.row.arn_part, "x")

    assert arn == f"arn:aws:sagemaker:us-east-1:000000000000:{kind.value}/x"
    assert sentences.not_found(kind.row.words, arn) == f'Could not find {words} "{arn}".'
    assert sentences.already_exists(kind.row.words, arn) == f'Cannot create already existing {words} "{arn}".'


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        (
            sentences.variants_unknown(["a", "b"], "config"),
            'The variant name(s) "a, b" is/are not present within endpoint configuration "config".',
        ),
        (sentences.variant_twice("a"), 'The variant name "a" was non-unique within the request.'),
        (
            sentences.container_source(),
            "Specify one of either Image and Model Data URL or ModelPackageName in container definition.",
        ),
        (sentences.model_data_missing("s3://b/k"), "Could not find model data at s3://b/k."),
        (
            sentences.model_data_not_downloaded("s3://b/k"),
            'Failed to download model data for container "container_1" from URL: "s3://b/k". Please ensure '
            "that there is an object located at the URL and that the role passed to CreateModel has "
            "permissions to download the object.",
        ),
        (sentences.bad_token("why"), 'Invalid pagination token because "why".'),
    ],
)
def test_the_control_plane_speaks_as_aws_was_heard_to(sentence: str, text: str) -> None:
    assert sentence == text


@pytest.mark.provenance("observed")
def test_a_busy_endpoint_cannot_be_updated() -> None:
    assert sentences.endpoint_busy("arn:x") == 'Cannot update in-progress endpoint "arn:x".'


@pytest.mark.provenance("guess")
@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        (sentences.no_default_endpoint(), ["default_endpoint", "/endpoints/NAME/invocations"]),
        (sentences.target_model_missing("iris"), ["iris", "X-Amzn-SageMaker-Target-Model"]),
        (sentences.target_model_unknown("m", "iris", "not a file"), ["'m'", "iris", ": not a file"]),
        (sentences.variant_unknown("v", "iris", ["a", "b"]), ["'v'", "iris", "a, b."]),
        (container_sentences.container_hostname_not_supported("iris"), ["iris", "hostname"]),
        (container_sentences.container_hostname_missing("iris", ["a", "b"]), ["iris", "Hostname", "a, b."]),
        (container_sentences.container_hostname_unknown("c", "iris", ["a", "b"]), ["'c'", "iris", "a, b."]),
        (container_sentences.no_direct_multi_model(), ["MultiModel", "directly"]),
        (container_sentences.hostnames_of_all(), ["each container", "ContainerHostname"]),
        (container_sentences.hostname_twice("a"), ['"a"', "ContainerHostname"]),
        (sentences.no_traffic("iris"), ["iris", "weight 0", "X-Amzn-SageMaker-Target-Variant"]),
        (sentences.model_not_ready("m"), ["m", "being loaded"]),
        (sentences.operation_not_served("CreateAlgorithm"), ["CreateAlgorithm"]),
        (sentences.variant_failed("a", "no such file"), ["variant a did", "no such file"]),
        (sentences.job_failed("no such file"), ["no such file"]),
        (sentences.async_removed("iris"), ["iris", "create another one"]),
        (sentences.features_exclude("A", "B"), ["A does not go with B"]),
        (sentences.endpoint_is_asynchronous("iris"), ["iris", "InvokeEndpointAsync"]),
        (sentences.only_one_of("A", "B"), ["either A or B"]),
        (sentences.one_of("A", "B"), ["one of A and B"]),
        (sentences.too_much_environment(32768), ["32768 bytes"]),
        (sentences.multi_model_needs_data(), ["MultiModel", "ModelDataUrl"]),
        (sentences.variant_capacity("a"), ['"a"', "InstanceType", "ServerlessConfig", "InstancePools"]),
        (sentences.variant_model_missing("a"), ['"a"', "ModelName", "ExecutionRoleArn"]),
        (sentences.serverless_memory("a", 1500), ['"a"', "1024", "6144", "1500"]),
        (sentences.serverless_provisioned("a"), ['"a"', "ProvisionedConcurrency", "MaxConcurrency"]),
        (sentences.weight_not_finite("a"), ['"a"', "finite"]),
        (sentences.serverless_conversion("arn:x"), ['"arn:x"', "serverless", "another endpoint"]),
        (sentences.one_shadow(), ["one production variant", "one shadow variant"]),
        (sentences.instance_count("a"), ['"a"', "at least 1"]),
        (sentences.nothing_desired("a"), ['"a"', "DesiredWeight", "ServerlessUpdateConfig"]),
        (sentences.not_serverless("a"), ['"a"', "DesiredInstanceCount"]),
        (sentences.is_serverless("a"), ['"a"', "ServerlessUpdateConfig"]),
        (sentences.endpoint_failed("arn:x"), ['"arn:x"', "delete it"]),
        (sentences.exclusions_without_retaining(), ["RetainAllVariantProperties"]),
        (sentences.both_update_policies(), ["BlueGreenUpdatePolicy", "RollingUpdatePolicy"]),
        (sentences.declared_is_the_files("endpoint", "iris"), ['endpoint "iris"', "`api_edits: true`"]),
        (obstacles.image_cannot_run("pytorch:2"), ["pytorch:2", "sagebird/sklearn"]),
        (obstacles.image_needs_engine("pytorch:2", "there is none"), ["pytorch:2", "there is none"]),
        (obstacles.image_is_missing("pytorch:2"), ["docker pull pytorch:2", "SAGEBIRD_IMAGES=pull"]),
        (obstacles.image_cannot_be_pulled("pytorch:2", "denied"), ["pytorch:2", "(denied)"]),
        (obstacles.image_has_one_model("pytorch:2"), ["pytorch:2", "many models"]),
        (obstacles.no_image(), ["Image"]),
        (obstacles.of_container("second", obstacles.no_image()), ["second: ", "Image"]),
        (obstacles.direct_cannot_transform(), ["directly", "the one that you mean"]),
        (obstacles.no_model_data(), ["ModelDataUrl", "ModelDataSource"]),
        (obstacles.components_cannot_run(), ["name a model"]),
        (sentences.bad_arn("arn:x"), ['"arn:x"']),
        (sentences.tag_twice("team"), ['"team"']),
        (sentences.too_many_tags(50), ["50"]),
    ],
)
def test_sentences_of_our_own_name_what_to_mend(sentence: str, words: list[str]) -> None:
    assert all(word in sentence for word in words)


def test_who_misses_the_control_plane_is_told_where_to_go() -> None:
    assert sentences.operation_unknown("Fly") == "SageMaker has no operation 'Fly'."
    assert "/endpoints/NAME/invocations" in sentences.target_missing()
    text = unserved.service_not_served("GetRole", "iam")
    assert text.startswith("sagebird does not serve GetRole of iam: ")
    assert "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME" in text


@pytest.mark.provenance("observed")
def test_failure_reasons_begin_as_aws_words_them_and_go_on_with_ours() -> None:
    assert sentences.variant_failed("v", "no model found.") == (
        "The primary container for production variant v did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint. no model found."
    )
    assert sentences.job_failed("a.csv: Row 1 is blank.") == (
        "ClientError: See job logs for more information. a.csv: Row 1 is blank."
    )
    missing = sentences.model_data_not_downloaded("s3://b/k")
    assert sentences.variant_failed("v", missing) == missing
    assert sentences.job_failed(missing) == f"ClientError: {missing}"
    assert len(sentences.job_failed("x" * 2000)) == 1024
