"""The commands that change what is served, through the control plane: deploy, describe, weights, delete."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from service.cli.refusal import fail
from service.cli.server import GivenUrl, Refused, Url, locate, operate
from service.cli.shipment import ship
from service.cli.told import cell, told

_LOOK_S = 0.1
_ALL_TRAFFIC = "AllTraffic"
_INSTANCE_TYPE = "ml.m5.large"  # AWS wants one; here every type is this machine
_IN_PROGRESS = ("Creating", "Updating", "Deleting")

Endpoint = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint.")]
Environment = Annotated[
    list[str] | None, typer.Option("--environment", "-e", help="NAME=VALUE for the model; again for more.")
]
Data = Annotated[
    Path, typer.Option(envvar="SAGEBIRD_DATA", help="The server's data folder; the model is copied there.")
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
            help="Add or replace this variant and keep the others.  [default: the only variant]",
            show_default=False,
        ),
    ] = None,
    weight: Annotated[float, typer.Option(min=0, help="The variant's part of the traffic.")] = 1.0,
    instances: Annotated[int, typer.Option(min=1, help="Instances: calls at once, times so many.")] = 1,
    image: Annotated[str, typer.Option(help="Container image to stand in for.")] = "sagebird/sklearn",
    environment: Environment = None,
    data: Data = Path("data"),
    wait: Wait = True,
    given_url: GivenUrl = None,
) -> None:
    """Serve a model: make the model, a configuration and the endpoint, and wait until it answers."""
    url = locate(given_url, data)
    told = dict(_assignment(text, "--environment") for text in environment or ())
    new = {
        "VariantName": _ALL_TRAFFIC if variant is None else variant,
        "InitialInstanceCount": instances,
        "InstanceType": _INSTANCE_TYPE,
        "InitialVariantWeight": weight,
    }
    try:
        known = _find(url, name)
        shipment = ship(path, f"{name}-{new['VariantName']}", data)
        container = {"Image": image, **shipment.container, **({"Environment": told} if told else {})}
        others = _other_variants(url, known, variant) if known and variant is not None else []
        config = _put(url, name, shipment.version, container, [*others, new])
        if known and known["EndpointStatus"] == "Failed":  # nothing else can be done with it
            operate(url, "DeleteEndpoint", {"EndpointName": name})
            _wait_gone(url, name)
            known = None
        change = "UpdateEndpoint" if known else "CreateEndpoint"
        operate(url, change, {"EndpointName": name, "EndpointConfigName": config})
    except Refused as refused:
        hint = ""
        if refused.message.startswith("Could not find model data"):
            hint = f" It was copied below {data}: is this the server's data folder? Name it with --data."
        fail(refused.message + hint)
    if wait:
        _wait(url, name, config)


def _put(
    url: str, endpoint: str, version: str, container: Mapping[str, Any], variants: list[dict[str, Any]]
) -> str:
    """Make the model of the last variant and a configuration of all of them; the configuration's name."""
    *others, new = variants
    stamp = f"{version[:8]}-{time.time_ns() // 1_000_000 % 16**8:x}"
    model, config = f"{endpoint[:20]}-{new['VariantName'][:16]}-{stamp}", f"{endpoint[:36]}-{stamp}"
    operate(url, "CreateModel", {"ModelName": model, "PrimaryContainer": container})
    production = [*others, {**new, "ModelName": model}]
    operate(url, "CreateEndpointConfig", {"EndpointConfigName": config, "ProductionVariants": production})
    return config


def describe(
    endpoint: Endpoint,
    as_json: Annotated[bool, typer.Option("--json", help="DescribeEndpoint's answer.")] = False,
    url: Url = "",
) -> None:
    """Show one endpoint: its status, its variants, what they are given and what they have."""
    found = _described(url, endpoint)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    console = Console()
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
    console.print(table)
    for name, model in _models(url, found.get("EndpointConfigName", "")).items():
        console.print(told(f"{name} is {model}"), markup=False, highlight=False, soft_wrap=True)
    if "PendingDeploymentSummary" in found:
        console.print(
            told(f"going over to {found['PendingDeploymentSummary']['EndpointConfigName']}"), markup=False
        )
    if "FailureReason" in found:
        console.print(told(found["FailureReason"]), markup=False, style="red")


def _models(url: str, config: str) -> dict[str, str]:
    """Variant -> its model's name and where its files are, as far as these are still told."""
    try:
        variants = operate(url, "DescribeEndpointConfig", {"EndpointConfigName": config})[
            "ProductionVariants"
        ]
    except Refused:
        return {}
    return {variant["VariantName"]: _model(url, variant.get("ModelName", "")) for variant in variants}


def _model(url: str, name: str) -> str:
    try:
        found = operate(url, "DescribeModel", {"ModelName": name})
    except Refused:
        return name
    container = found.get("PrimaryContainer", {})
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    place = container.get("ModelDataUrl", source.get("S3Uri", ""))
    return f"{name}, at {place}" if place else name


def weights(
    endpoint: Endpoint,
    assignments: Annotated[
        list[str], typer.Argument(metavar="VARIANT=WEIGHT", help="New weights, as logistic=9 forest=1.")
    ],
    wait: Wait = True,
    url: Url = "",
) -> None:
    """Share an endpoint's traffic out anew; variants that are not named keep their weight."""
    desired = []
    for text in assignments:
        variant, number = _assignment(text, "a weight")
        try:
            desired.append({"VariantName": variant, "DesiredWeight": float(number)})
        except ValueError:
            fail(f"A weight is a number, not {number!r}: write VARIANT=WEIGHT, as in logistic=9.")
    fields = {"EndpointName": endpoint, "DesiredWeightsAndCapacities": desired}
    try:
        operate(url, "UpdateEndpointWeightsAndCapacities", fields)
    except Refused as refused:
        fail(refused.message)
    if wait:
        _wait(url, endpoint)


def delete(
    endpoint: Endpoint,
    everything: Annotated[
        bool, typer.Option("--everything", help="Delete its configuration and its models as well.")
    ] = False,
    wait: Wait = True,
    url: Url = "",
) -> None:
    """Delete an endpoint; calls that are running are answered."""
    config = _described(url, endpoint).get("EndpointConfigName")
    try:
        operate(url, "DeleteEndpoint", {"EndpointName": endpoint})
        if everything and config is not None:
            _delete_config(url, config)
    except Refused as refused:
        fail(refused.message)
    if wait:
        _wait_gone(url, endpoint)
        typer.echo(f"{endpoint} is deleted")


def _delete_config(url: str, config: str) -> None:
    described = operate(url, "DescribeEndpointConfig", {"EndpointConfigName": config})
    operate(url, "DeleteEndpointConfig", {"EndpointConfigName": config})
    for model in {variant["ModelName"] for variant in described["ProductionVariants"]}:
        operate(url, "DeleteModel", {"ModelName": model})


def _assignment(text: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        fail(f"{what} is written NAME=VALUE, not {text!r}.")
    return name, value


def _find(url: str, endpoint: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = operate(url, "DescribeEndpoint", {"EndpointName": endpoint})
    except Refused as refused:
        if refused.is_not_found:
            return None
        raise
    return found


def _described(url: str, endpoint: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = operate(url, "DescribeEndpoint", {"EndpointName": endpoint})
    except Refused as refused:
        fail(refused.message)
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
        except Refused as refused:
            fail(refused.message)
