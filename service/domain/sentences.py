"""Every message that AWS prints and botocore's model lacks, one function each, each with its source.

Sentences marked `ours` are worded by sagebird where AWS's own text is not known (contract Y).
"""

from service.errors import REQUEST_ID

MAX_MESSAGE_CHARS = 2048
"""Longest Message and OriginalMessage. Source: botocore, shape Message."""

MAX_QUOTED_CHARS = 1500
"""Most of a container's text that a Message quotes, so that what follows the quotation fits in too. Ours."""

MAX_FAILURE_REASON_CHARS = 1024
"""Longest FailureReason. Source: botocore, shape FailureReason."""

_NOT_DOWNLOADED = "Failed to download model data for container"


def endpoint_not_found(endpoint: str, account: str) -> str:
    """Source: contract B.4, observed: no ARN, no quotes."""
    return f"Endpoint {endpoint} of account {account} not found."


def no_default_endpoint() -> str:
    """Ours: at AWS every call names its endpoint."""
    return (
        "No default endpoint is declared: name one as default_endpoint in the endpoints file, or call "
        "/endpoints/NAME/invocations."
    )


def target_model_not_supported(endpoint: str) -> str:
    """Source: contract B.4, observed."""
    return f"Endpoint {endpoint} is not a multi-model endpoint and does not support target model header."


def target_model_missing(endpoint: str) -> str:
    """Source: contract Z.37, observed as far as "header"; the rest is ours."""
    return (
        f"Request {REQUEST_ID} is missing a target model header: endpoint {endpoint} is a multi-model "
        "endpoint, so name the model in the X-Amzn-SageMaker-Target-Model header."
    )


def endpoint_is_asynchronous(endpoint: str) -> str:
    """Ours; that it is refused is documented, contract B.2."""
    return (
        f"Endpoint {endpoint} is an asynchronous endpoint (its configuration has an AsyncInferenceConfig) "
        "and does not support InvokeEndpoint, only InvokeEndpointAsync."
    )


def target_model_unknown(target_model: str, endpoint: str, reason: str) -> str:
    """Ours; AWS's own text ends in "failed to download model data … ensure that there is an object"."""
    return (
        f"Failed to download model data for target model {target_model!r} of endpoint {endpoint}. "
        "Please ensure that there is an object located at that name below the endpoint's model folder: "
        f"{reason}"
    )


def variant_unknown(variant: str, endpoint: str, known: list[str]) -> str:
    """Ours: AWS's text is not confirmed (contract Y)."""
    return f"Variant {variant!r} is not found in endpoint {endpoint}; its variants are {', '.join(known)}."


def inference_component_not_allowed() -> str:
    """Source: contract B.4, observed; "dont" is AWS's."""
    return (
        "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy "
        "inference components. Please remove the Inference Component Name header and try again."
    )


def no_traffic(endpoint: str) -> str:
    """Ours; AWS does not say what all-zero weights do."""
    return (
        f"Every variant of endpoint {endpoint} has weight 0, so nothing gets its traffic: give one variant a "
        "weight above 0, or name one in the X-Amzn-SageMaker-Target-Variant header."
    )


def model_not_ready(target_model: str) -> str:
    """Ours: AWS's text is not confirmed (contract Y)."""
    return f"Model {target_model} is still being loaded. Wait and try your request again."


def model_error(status: int, message: str, console_url: str, account: str, container: str = "primary") -> str:
    """Source: contract B.4, observed."""
    side = "client" if 400 <= status < 500 else "server"
    quoted = _cut(message, MAX_QUOTED_CHARS)
    return (
        f'Received {side} error ({status}) from {container} with message "{quoted}". '
        f"See {console_url} in account {account} for more information."
    )


def answer_unreadable(console_url: str, account: str, container: str = "primary") -> str:
    """Source: contract B.4, observed."""
    return (
        f"Received server error (500) from {container} and could not load the entire response body. "
        f"See {console_url} in account {account} for more information."
    )


def model_timed_out(container: str = "primary") -> str:
    """Source: contract B.4, observed; reported with status 0."""
    return (
        f"Your invocation timed out while waiting for a response from container {container}. Review the "
        "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
    )


def not_found(words: str, arn: str) -> str:
    """Source: contract C.7, observed."""
    return f'Could not find {words} "{arn}".'


def already_exists(words: str, arn: str) -> str:
    """Source: contract C.7, observed."""
    return f'Cannot create already existing {words} "{arn}".'


def endpoint_busy(arn: str) -> str:
    """Source: contract C.7, observed; DeleteEndpoint says "update" too."""
    return f'Cannot update in-progress endpoint "{arn}".'


def variant_failed(variant: str, reason: str, container: str = "primary container") -> str:
    """Why an endpoint failed: its FailureReason, cut to what AWS's shape holds.

    Begins as AWS's does, which says no more; of a container of several there is its name alone, as
    `container-2`. Source: contract C.7 and Z.46, observed; then ours.
    """
    if not reason.startswith(_NOT_DOWNLOADED):
        reason = (
            f"The {container} for production variant {variant} did not pass the ping health check. "
            f"Please check CloudWatch logs for this endpoint. {reason}"
        )
    return _cut(reason.encode("utf-8", "backslashreplace").decode(), MAX_FAILURE_REASON_CHARS)


def declared_update_failed(reason: str) -> str:
    """The same for an update that the endpoints file asked for. Ours."""
    again = (
        " What was served before goes on. It is tried again when the model's files or the endpoints file are "
        "saved again (where SAGEBIRD_RELOAD is off, only the latter)."
    )
    return _cut(reason, MAX_FAILURE_REASON_CHARS - len(again)) + again


def job_failed(reason: str) -> str:
    """The FailureReason of a transform job, cut to what AWS's shape holds.

    Begins as AWS's does, which says no more. Source: contract D.7, observed; then ours.
    """
    if not reason.startswith(_NOT_DOWNLOADED):
        reason = f"See job logs for more information. {reason}"
    return _cut(f"ClientError: {reason}", MAX_FAILURE_REASON_CHARS)


def async_removed(endpoint: str) -> str:
    """Source: contract Z.39, observed up to the name; the rest is ours."""
    return (
        f"The AsyncInferenceConfig parameter cannot be removed from this endpoint {endpoint}. To have a "
        "real-time endpoint, create another one."
    )


def features_exclude(feature: str, other: str) -> str:
    """Source: contract Z.39, observed up to "configuration"; the rest is ours."""
    return (
        "One or more endpoint features are not supported using this configuration: "
        f"{feature} does not go with {other}."
    )


def batch_of_data_source() -> str:
    """Source: contract Z.39, observed."""
    return (
        "SageMaker Batch currently doesn't support Model entity with container definitions which use "
        "ModelDataSource attribute"
    )


def variants_unknown(variants: list[str], config: str) -> str:
    """Source: contract C.7, observed."""
    names = ", ".join(variants)
    return f'The variant name(s) "{names}" is/are not present within endpoint configuration "{config}".'


def variant_twice(variant: str) -> str:
    """Source: contract C.7, observed."""
    return f'The variant name "{variant}" was non-unique within the request.'


def container_source() -> str:
    """Source: contract C.7, observed."""
    return "Specify one of either Image and Model Data URL or ModelPackageName in container definition."


def model_data_missing(location: str) -> str:
    """Source: contract C.7, observed."""
    return f"Could not find model data at {location}."


def model_data_not_downloaded(location: str, container: int = 1) -> str:
    """Source: contract C.7, observed for the first container."""
    return (
        f'{_NOT_DOWNLOADED} "container_{container}" from URL: "{location}". Please ensure '
        "that there is an object located at the URL and that the role passed to CreateModel has permissions "
        "to download the object."
    )


def only_one_of(member: str, other: str) -> str:
    """Ours: botocore's model does not say which members exclude each other."""
    return f"Specify either {member} or {other}, not both."


def one_of(member: str, other: str) -> str:
    """Ours: botocore's model requires neither member by itself."""
    return f"Specify one of {member} and {other}."


def too_much_environment(limit_bytes: int) -> str:
    """Ours; the sum is documented, and no shape of botocore's model has it."""
    return f"The Environment of all containers may have {limit_bytes} bytes, names and values together."


def multi_model_needs_data() -> str:
    """Ours: botocore's model does not tie Mode to ModelDataUrl."""
    return "A container of Mode MultiModel needs a ModelDataUrl: the prefix that its models lie below."


def variant_capacity(variant: str) -> str:
    """Ours: botocore's model requires none of the three."""
    return (
        f'Production variant "{variant}" needs exactly one of InitialInstanceCount with InstanceType, '
        "ServerlessConfig, or InstancePools."
    )


def variant_model_missing(variant: str) -> str:
    """Ours; without a model a configuration is one for inference components and has a role."""
    return (
        f'Production variant "{variant}" needs a ModelName; only a configuration for inference components, '
        "which has an ExecutionRoleArn, goes without."
    )


def serverless_memory(variant: str, memory_mb: int) -> str:
    """Ours; the values are documented, contract G."""
    return (
        f'MemorySizeInMB of production variant "{variant}" must be a multiple of 1024 from 1024 to 6144 '
        f"(is {memory_mb})."
    )


def serverless_provisioned(variant: str) -> str:
    """Ours; the rule is documented, and no shape of botocore's model has it."""
    return f'ProvisionedConcurrency of production variant "{variant}" must not exceed its MaxConcurrency.'


def weight_not_finite(variant: str) -> str:
    """Ours; JSON has numbers that no double holds, and AWS's model sets no maximum."""
    return f'The weight of variant "{variant}" must be a finite number.'


def serverless_conversion(arn: str) -> str:
    """Ours; the rule is documented, contract C.11."""
    return f'Cannot turn endpoint "{arn}" from instances to serverless or back: create another endpoint.'


def one_shadow() -> str:
    """Ours; the rule is documented, contract C.4."""
    return (
        "An endpoint configuration with a shadow variant has one production variant and one shadow variant."
    )


def instance_count(variant: str) -> str:
    """Ours: botocore's model allows 0, which no variant with instances means."""
    return f'DesiredInstanceCount of variant "{variant}" must be at least 1.'


def nothing_desired(variant: str) -> str:
    """Ours: botocore's model requires none of the three."""
    return f'Give variant "{variant}" a DesiredWeight, a DesiredInstanceCount or a ServerlessUpdateConfig.'


def not_serverless(variant: str) -> str:
    """Ours: only the endpoint's state tells which of the two fits."""
    return (
        f'Variant "{variant}" is not serverless: it takes a DesiredInstanceCount, not a '
        "ServerlessUpdateConfig."
    )


def is_serverless(variant: str) -> str:
    """Ours: only the endpoint's state tells which of the two fits."""
    return (
        f'Variant "{variant}" is serverless: it takes a ServerlessUpdateConfig, not a DesiredInstanceCount.'
    )


def endpoint_failed(arn: str) -> str:
    """Ours; that a Failed endpoint can only be deleted is documented, contract C.6."""
    return f'Cannot update failed endpoint "{arn}": delete it and create it anew.'


def exclusions_without_retaining() -> str:
    """Ours: exclusions from what is not done mean nothing."""
    return "ExcludeRetainedVariantProperties needs RetainAllVariantProperties to be true."


def both_update_policies() -> str:
    """Ours; the rule is documented, contract C.11."""
    return "A DeploymentConfig has either a BlueGreenUpdatePolicy or a RollingUpdatePolicy, not both."


def declared_is_the_files(words: str, name: str) -> str:
    """Ours: AWS has no endpoints file."""
    return (
        f'The {words} "{name}" is declared in the endpoints file, which decides on it: change it there, or '
        "let the API change the endpoint by `api_edits: true`."
    )


def job_ended(status: str, arn: str) -> str:
    """Ours; AWS's own text is not known (contract Y)."""
    return f'The transform job "{arn}" cannot be stopped: it is {status} already.'


def bad_token(reason: str) -> str:
    """Source: contract C.2 (moto's wording)."""
    return f'Invalid pagination token because "{reason}".'


def bad_arn(arn: str) -> str:
    """Ours: what AWS says to the ARN of another account is not known."""
    return (
        f'"{arn}" is not the ARN of a model, endpoint configuration, endpoint or transform job of this '
        "account and region."
    )


def tag_of_aws(key: str) -> str:
    """Source: contract Z.39, observed."""
    return f"System prefix 'aws:' reserved for AWS usage in tag key: {key}"


def tag_twice(key: str) -> str:
    """Ours: botocore's model does not say that keys are unique."""
    return f'The tag key "{key}" is given twice.'


def too_many_tags(most: int) -> str:
    """Ours; the limit is the model's."""
    return f"A resource has at most {most} tags."


def not_authorized(principal: str, action: str, resource: str | None = None) -> str:
    """Source: contract B.4, AccessDeniedException."""
    where = "" if resource is None else f" on resource: {resource}"
    return (
        f"User: {principal} is not authorized to perform: {action}{where} because no identity-based policy "
        f"allows the {action} action"
    )


def unsigned_form() -> str:
    """The first sentence is AWS's; the rest is ours."""
    return (
        "Request is missing Authentication Token. A form changes nothing unless it is signed, as clients "
        "of AWS do: any web page could have sent it."
    )


def operation_not_served(operation: str) -> str:
    """Ours: AWS serves them all."""
    return f"Operation {operation} is not served by sagebird yet."


def operation_unknown(operation: str) -> str:
    """Ours: stock clients send names of the model only, so this is for people."""
    return f"SageMaker has no operation {operation!r}."


def target_missing() -> str:
    """Ours; for people who send a prediction to the wrong path."""
    return (
        "POST / is the AWS control plane and needs an X-Amz-Target header such as SageMaker.ListEndpoints; "
        "predictions go to /endpoints/NAME/invocations."
    )


def _cut(text: str, most_chars: int) -> str:
    return text if len(text) <= most_chars else text[: most_chars - 1] + "…"
