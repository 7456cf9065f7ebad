"""The commands that change what is served, through the control plane: deploy, describe, weights, delete."""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from service.cli.refusal import fail
from service.cli.remains import Remains, delete_copies, delete_records, find_remains, tags_of
from service.cli.server import GivenUrl, OperationRefused, Url, hint_names, locate, operate
from service.cli.shipment import ship
from service.cli.told import cell, open_console, print_table, told, told_lines
from service.domain.image import needs_engine

_LOOK_S = 0.1
_ANY_FILE = ("",)  # an image knows what its files mean
_ALL_TRAFFIC = "AllTraffic"
_INSTANCE_TYPE = "ml.m5.large"  # AWS wants one; here every type is this machine
_IN_PROGRESS = ("Creating", "Updating", "Deleting")

EndpointName = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint.")]
ModelEnvironment = Annotated[
    list[str] | None, typer.Option("--environment", "-e", help="NAME=VALUE for the model; again for more.")
]
ServerDataFolder = Annotated[
    Path, typer.Option(envvar="SAGEBIRD_DATA", help="The server's data folder, where models are copied.")
]
Wait = Annotated[bool, typer.Option(help="Wait until it is done.")]


def deploy(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A model's folder, its model.tar.gz, or an s3:// address.")
    ],
    name: Annotated[
        str, typer.Option(help="Name of the endpoint; a known one is updated, a failed one is made anew.")
    ],
    variant: Annotated[
        str | None,
        typer.Option(
            help="Add or replace this variant and keep the others.  \\[default: the only variant]",
            show_default=False,
        ),
    ] = None,
    weight: Annotated[float, typer.Option(min=0, help="The variant's part of the traffic.")] = 1.0,
    instances: Annotated[int, typer.Option(min=1, help="Instances: calls at once, times so many.")] = 1,
    image: Annotated[
        str, typer.Option(help="Container image: one to stand in for, or yours.")
    ] = "sagebird/sklearn",
    environment: ModelEnvironment = None,
    data: ServerDataFolder = Path("data"),
    wait: Wait = True,
    given_url: GivenUrl = None,
) -> None:
    """Serve a model: make the model, a configuration and the endpoint, and wait until it answers."""
    url = locate(given_url, data)
    told = dict(_assignment(text, "--environment") for text in environment or ())
    new = _variant(_ALL_TRAFFIC if variant is None else variant, instances, weight)
    made = Remains()
    try:
        known = _find(url, name)
        others = _other_variants(url, known, variant) if known and variant is not None else []
        _check_weights(name, [each["InitialVariantWeight"] for each in (*others, new)])
        endings = _ANY_FILE if needs_engine(image) else None
        shipment = ship(path, f"{name}/{new['VariantName']}", data, endings)
        made.copies.update([] if shipment.copy is None else [shipment.copy])
        container = {"Image": image, **shipment.container, **({"Environment": told} if told else {})}
        config = _put(url, name, shipment.version, container, [*others, new], made)
        if known and known["EndpointStatus"] == "Failed":  # nothing else can be done with it
            operate(url, "DeleteEndpoint", {"EndpointName": name})
            _wait_gone(url, name)
            known = None
        change = "UpdateEndpoint" if known else "CreateEndpoint"
        operate(url, change, {"EndpointName": name, "EndpointConfigName": config})
    except OperationRefused as refused:
        _take_back(url, made)
        fail(refused.message + _hint_data(refused, data))
    _tell_replaced(name, known, variant)
    if wait:
        _wait(url, name, config)


def _variant(name: str, instances: int, weight: float) -> dict[str, Any]:
    return {
        "VariantName": name,
        "InitialInstanceCount": instances,
        "InstanceType": _INSTANCE_TYPE,
        "InitialVariantWeight": weight,
    }


def _take_back(url: str, made: Remains) -> None:
    """What was made for a change that is refused is of no use; why it was refused is what counts."""
    with suppress(OperationRefused):
        delete_records(url, made)
    delete_copies(made)


def _hint_data(refused: OperationRefused, data: Path) -> str:
    if not refused.message.startswith("Could not find model data"):
        return ""
    return f" It was copied below {data}: is this the server's data folder? Name it with --data."


def _check_weights(endpoint: str, weights: Iterable[float]) -> None:
    """AWS takes weights that are all 0, but nobody means them."""
    if not any(weights):
        fail(
            f"Every weight of {endpoint} would be 0, so no call that names no variant could be answered: "
            "give one variant more than 0."
        )


def _tell_replaced(endpoint: str, known: Mapping[str, Any] | None, variant: str | None) -> None:
    """Without --variant a deployment is all that an endpoint has: say what it had."""
    had = [each["VariantName"] for each in (known or {}).get("ProductionVariants", ())]
    if variant is None and had not in ([], [_ALL_TRAFFIC]):
        sys.stderr.write(
            f"{endpoint} had {told(', '.join(had))}; {_ALL_TRAFFIC} replaces all of it. --variant NAME adds "
            "or replaces one variant and keeps the others.\n"
        )


def _put(
    url: str,
    endpoint: str,
    version: str,
    container: Mapping[str, Any],
    variants: list[dict[str, Any]],
    made: Remains,
) -> str:
    """Make the model of the last variant and a configuration of all of them; the configuration's name.

    Both are noted in `made`.
    """
    tags = tags_of(endpoint)
    *others, new = variants
    stamp = f"{version[:8]}-{time.time_ns() // 1_000_000 % 16**8:x}"
    model, config = f"{endpoint[:20]}-{new['VariantName'][:16]}-{stamp}", f"{endpoint[:36]}-{stamp}"
    operate(url, "CreateModel", {"ModelName": model, "PrimaryContainer": container, "Tags": tags})
    made.models.add(model)
    production = [*others, {**new, "ModelName": model}]
    fields = {"EndpointConfigName": config, "ProductionVariants": production, "Tags": tags}
    operate(url, "CreateEndpointConfig", fields)
    made.configs.add(config)
    return config


def describe(
    endpoint: EndpointName,
    as_json: Annotated[bool, typer.Option("--json", help="DescribeEndpoint's answer.")] = False,
    url: Url = "",
) -> None:
    """Show one endpoint: its status, its variants, what they are given and what they have."""
    found = _described(url, endpoint)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    console = open_console()
    console.print(told(f"{endpoint}: {found['EndpointStatus']}"), markup=False, highlight=False)
    table = Table(
        "variant",
        "weight",
        "instances",
        "image",
        title=cell(f"configuration {found.get('EndpointConfigName', '')}"),
    )
    for variant in found.get("ProductionVariants", ()):
        images = [image["SpecifiedImage"] for image in variant.get("DeployedImages", ())]
        table.add_row(
            cell(variant["VariantName"]),
            _moving(variant, "Weight"),
            _moving(variant, "InstanceCount"),
            cell(", ".join(images)),
        )
    print_table(console, table)
    for name, model in _models(url, found.get("EndpointConfigName", "")).items():
        console.print(told(f"{name} is {model}"), markup=False, highlight=False, soft_wrap=True)
    if "PendingDeploymentSummary" in found:
        console.print(
            told(f"going over to {found['PendingDeploymentSummary']['EndpointConfigName']}"), markup=False
        )
    if "FailureReason" in found:
        console.print(told_lines(found["FailureReason"]), markup=False, style="red", soft_wrap=True)


def _models(url: str, config: str) -> dict[str, str]:
    """Variant -> its model's name and where its files are, as far as these are still told."""
    try:
        variants = operate(url, "DescribeEndpointConfig", {"EndpointConfigName": config})[
            "ProductionVariants"
        ]
    except OperationRefused:
        return {}
    return {variant["VariantName"]: _model(url, variant.get("ModelName", "")) for variant in variants}


def _model(url: str, name: str) -> str:
    try:
        found = operate(url, "DescribeModel", {"ModelName": name})
    except OperationRefused:
        return name
    containers = [found["PrimaryContainer"]] if "PrimaryContainer" in found else found.get("Containers", ())
    places = ", ".join(place for place in map(_place, containers) if place)
    return f"{name}, at {places}" if places else name


def _place(container: Mapping[str, Any]) -> str:
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    return str(container.get("ModelDataUrl", source.get("S3Uri", "")))


def weights(
    endpoint: EndpointName,
    assignments: Annotated[
        list[str], typer.Argument(metavar="VARIANT=WEIGHT", help="New weights, as logistic=9 forest=1.")
    ],
    wait: Wait = True,
    url: Url = "",
) -> None:
    """Share an endpoint's traffic out anew; variants that are not named keep their weight."""
    desired: list[dict[str, Any]] = []
    for text in assignments:
        variant, number = _assignment(text, "a weight")
        try:
            desired.append({"VariantName": variant, "DesiredWeight": float(number)})
        except ValueError:
            fail(f"A weight is a number, not {number!r}: write VARIANT=WEIGHT, as in logistic=9.")
    variants = _described(url, endpoint).get("ProductionVariants", ())
    now = {each["VariantName"]: each.get("DesiredWeight", 1.0) for each in variants}
    if now:
        _check_weights(
            endpoint, (now | {each["VariantName"]: each["DesiredWeight"] for each in desired}).values()
        )
    fields = {"EndpointName": endpoint, "DesiredWeightsAndCapacities": desired}
    try:
        operate(url, "UpdateEndpointWeightsAndCapacities", fields)
    except OperationRefused as refused:
        fail(refused.message)
    if wait:
        _wait(url, endpoint)


def delete(
    endpoint: EndpointName,
    everything: Annotated[
        bool,
        typer.Option(
            "--everything",
            help="Delete its configuration, its models and all that `deploy` left under its name as well.",
        ),
    ] = False,
    wait: Wait = True,
    data: ServerDataFolder = Path("data"),
    given_url: GivenUrl = None,
) -> None:
    """Delete an endpoint; calls that are running are answered."""
    url = locate(given_url, data)
    left = Remains()
    try:
        known = _find(url, endpoint)
        if everything:
            left = find_remains(url, endpoint, (known or {}).get("EndpointConfigName"), data)
        if known is not None or not left:
            operate(url, "DeleteEndpoint", {"EndpointName": endpoint})
        delete_records(url, left)
    except OperationRefused as refused:
        _fail(url, endpoint, refused)
    if wait and known is not None:
        _wait_gone(url, endpoint)
    delete_copies(left)
    if known is None:
        typer.echo(f"What {endpoint} left is deleted")
    elif wait:
        typer.echo(f"{endpoint} is deleted")


def _fail(url: str, endpoint: str, refused: OperationRefused) -> NoReturn:
    """End with what the server said, and the endpoints that there are if it knows none of that name."""
    fail(refused.message + (hint_names(url, endpoint) if refused.is_not_found else ""))


def _assignment(text: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        fail(f"{what} is written NAME=VALUE, not {text!r}.")
    return name, value


def _find(url: str, endpoint: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = operate(url, "DescribeEndpoint", {"EndpointName": endpoint})
    except OperationRefused as refused:
        if refused.is_not_found:
            return None
        raise
    return found


def _described(url: str, endpoint: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = operate(url, "DescribeEndpoint", {"EndpointName": endpoint})
    except OperationRefused as refused:
        _fail(url, endpoint, refused)
    return found


def _other_variants(url: str, known: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The variants that an endpoint has beside the named one, with the weights and counts they have now."""
    config = operate(url, "DescribeEndpointConfig", {"EndpointConfigName": known["EndpointConfigName"]})
    now = {variant["VariantName"]: variant for variant in known["ProductionVariants"]}
    kept = []
    for variant in config["ProductionVariants"]:
        if variant["VariantName"] == name:
            continue
        current = now.get(variant["VariantName"], {})
        changed = {"InitialVariantWeight": current.get("DesiredWeight", variant["InitialVariantWeight"])}
        if "InitialInstanceCount" in variant:
            count = current.get("DesiredInstanceCount", variant["InitialInstanceCount"])
            changed["InitialInstanceCount"] = count
        kept.append({**variant, **changed})
    return kept


def _moving(variant: Mapping[str, Any], member: str) -> str:
    """What a variant has, and what it is given if that is something else."""
    current, desired = variant.get(f"Current{member}"), variant.get(f"Desired{member}")
    if desired is None:
        return ""
    return f"{desired:g}" if current == desired else f"{current:g} -> {desired:g}"


def _wait(url: str, endpoint: str, config: str | None = None) -> None:
    """Wait until an endpoint is in service, and with that configuration; a failure ends the command."""
    console = Console(stderr=True)
    begun_s = time.monotonic()
    with console.status(f"{endpoint}: …") as progress:
        while (found := _described(url, endpoint))["EndpointStatus"] in _IN_PROGRESS:
            progress.update(f"{endpoint}: {found['EndpointStatus']}, {time.monotonic() - begun_s:.0f} s")
            time.sleep(_LOOK_S)
    missed = config is not None and found.get("EndpointConfigName") != config
    if found["EndpointStatus"] != "InService" or missed:
        reason = found.get("FailureReason", "another change came between")
        fail(f"{endpoint} is {found['EndpointStatus']}: {reason}")
    took_s = time.monotonic() - begun_s
    address = f"{url.rstrip('/')}/endpoints/{endpoint}/invocations"
    typer.echo(f"{endpoint} is InService after {took_s:.1f} s: {address}")


def _wait_gone(url: str, endpoint: str) -> None:
    with Console(stderr=True).status(f"{endpoint}: Deleting"):
        try:
            while (found := _find(url, endpoint)) is not None and found["EndpointStatus"] == "Deleting":
                time.sleep(_LOOK_S)
        except OperationRefused as refused:
            fail(refused.message)
