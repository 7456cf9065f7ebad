"""What should exist after some control-plane calls: a model of it that is small enough to be right.

Calls change a World; `observe` reads one from a running server, with what the endpoints really answer.
"""

import http.client
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tests.harness.control import IMAGE, Control, Refused, variant, wait_for

VARIANTS = ("first", "second")
ENDPOINTS = ("north", "south", "west")
_MOST_CONFIGS = 8
_TRIES = 12
_WEIGHTS = ((1.0, 0.0), (0.0, 2.0), (1.0, 3.0))


class Call(NamedTuple):
    """One call of the control plane."""

    operation: str
    members: Mapping[str, Any]


@dataclass(frozen=True)
class Deployed:
    """What an endpoint serves: its configuration, and the weight and model of each of VARIANTS."""

    config: str
    weights: tuple[float, ...]
    locations: tuple[str, ...]


@dataclass
class World:
    """Locations of models by name, models of configurations by name, endpoints by name."""

    models: dict[str, str] = field(default_factory=dict)
    configs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    endpoints: dict[str, Deployed] = field(default_factory=dict)

    def after(self, call: Call) -> "World":
        """The world that a call leaves if it is done."""
        models, configs, endpoints = dict(self.models), dict(self.configs), dict(self.endpoints)
        asked = call.members
        match call.operation:
            case "CreateModel":
                models[asked["ModelName"]] = asked["PrimaryContainer"]["ModelDataUrl"]
            case "DeleteModel":
                del models[asked["ModelName"]]
            case "CreateEndpointConfig":
                used = tuple(one["ModelName"] for one in asked["ProductionVariants"])
                configs[asked["EndpointConfigName"]] = used
            case "DeleteEndpointConfig":
                del configs[asked["EndpointConfigName"]]
            case "CreateEndpoint" | "UpdateEndpoint":
                config = asked["EndpointConfigName"]
                locations = tuple(models[model] for model in configs[config])
                endpoints[asked["EndpointName"]] = Deployed(config, (1.0,) * len(VARIANTS), locations)
            case "UpdateEndpointWeightsAndCapacities":
                name, desired = asked["EndpointName"], asked["DesiredWeightsAndCapacities"]
                weights = tuple(one["DesiredWeight"] for one in desired)
                endpoints[name] = replace(endpoints[name], weights=weights)
            case "DeleteEndpoint":
                del endpoints[asked["EndpointName"]]
        return World(models, configs, endpoints)


class Calls:
    """Endless random calls that fit a world; most of them are done, some are refused for one under way."""

    def __init__(self, draw: random.Random, locations: tuple[str, ...]) -> None:
        """Deploy the models at `locations`."""
        self._draw = draw
        self._locations = locations
        self._made = 0

    def some(self, world: World) -> Iterator[Call]:
        """A few calls that belong together; each is to be made, and its world known, before the next."""
        endpoint = self._draw.choice(ENDPOINTS)
        if endpoint not in world.endpoints:
            yield from self._deploy("CreateEndpoint", endpoint)
            return
        match self._draw.choice(("update", "update", "weigh", "weigh", "delete", "tidy")):
            case "update":
                yield from self._deploy("UpdateEndpoint", endpoint)
            case "weigh":
                weights = self._draw.choice(_WEIGHTS)
                yield weigh(endpoint, dict(zip(VARIANTS, weights, strict=True)))
            case "delete":
                yield Call("DeleteEndpoint", {"EndpointName": endpoint})
            case _:
                yield from self._tidy(world)

    def _deploy(self, operation: str, endpoint: str) -> Iterator[Call]:
        self._made += 1
        stem = f"{self._made}-{self._draw.randrange(10**9)}"
        variants = []
        for name in VARIANTS:
            model = f"{name}-{stem}"
            container = {"Image": IMAGE, "ModelDataUrl": self._draw.choice(self._locations)}
            yield Call("CreateModel", {"ModelName": model, "PrimaryContainer": container})
            variants.append(variant(name, model))
        config = f"config-{stem}"
        yield Call("CreateEndpointConfig", {"EndpointConfigName": config, "ProductionVariants": variants})
        yield Call(operation, {"EndpointName": endpoint, "EndpointConfigName": config})

    def _tidy(self, world: World) -> Iterator[Call]:
        """Delete configurations and models, also those that an endpoint was made from: AWS allows it."""
        for config in list(world.configs)[: max(1, len(world.configs) - _MOST_CONFIGS)]:
            yield Call("DeleteEndpointConfig", {"EndpointConfigName": config})
            for model in world.configs[config]:
                yield Call("DeleteModel", {"ModelName": model})


def weigh(endpoint: str, weights: Mapping[str, float]) -> Call:
    """UpdateEndpointWeightsAndCapacities."""
    desired = [{"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()]
    members = {"EndpointName": endpoint, "DesiredWeightsAndCapacities": desired}
    return Call("UpdateEndpointWeightsAndCapacities", members)


def statuses(control: Control) -> dict[str, str]:
    """The status of every endpoint."""
    found = names_and_more(control, "Endpoints")
    return {one["EndpointName"]: one["EndpointStatus"] for one in found}


def observe(control: Control, port: int, locations: tuple[str, ...]) -> World:
    """The world as it is, once every endpoint is InService and every deletion is done.

    Models are told by their answers: the one at `locations[n]` answers n + 1.
    """
    wait_for(lambda: set(statuses(control).values()) <= {"InService"})
    models = {
        name: control.call("DescribeModel", ModelName=name)["PrimaryContainer"]["ModelDataUrl"]
        for name in _names(control, "Models", "ModelName")
    }
    configs = {}
    for name in _names(control, "EndpointConfigs", "EndpointConfigName"):
        described = control.call("DescribeEndpointConfig", EndpointConfigName=name)
        configs[name] = tuple(one["ModelName"] for one in described["ProductionVariants"])
    endpoints = {name: _deployed(control, port, name, locations) for name in statuses(control)}
    return World(models, configs, endpoints)


def names_and_more(control: Control, what: str) -> list[dict[str, Any]]:
    """All summaries of a List call, page by page."""
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        page = control.call(f"List{what}", MaxResults=100, **token)
        found += page[what]
        if "NextToken" not in page:
            return found
        token = {"NextToken": page["NextToken"]}


def _names(control: Control, what: str, member: str) -> list[str]:
    return [one[member] for one in names_and_more(control, what)]


def _deployed(control: Control, port: int, endpoint: str, locations: tuple[str, ...]) -> Deployed:
    described = control.describe(endpoint)
    shown = {one["VariantName"]: one for one in described["ProductionVariants"]}
    for one in shown.values():
        assert one["CurrentWeight"] == one["DesiredWeight"], described
    weights = tuple(shown[name]["CurrentWeight"] for name in VARIANTS)
    given = [_invoke(port, endpoint, name) for name in VARIANTS]
    assert [name for name, _ in given] == list(VARIANTS), given
    resting = {name for name, weight in zip(VARIANTS, weights, strict=True) if weight == 0}
    drawn = {_invoke(port, endpoint)[0] for _ in range(_TRIES)}
    assert not drawn & resting, f"{endpoint} sends requests to {drawn & resting} of weight 0"
    return Deployed(
        described["EndpointConfigName"], weights, tuple(locations[answer - 1] for _, answer in given)
    )


def _invoke(port: int, endpoint: str, target: str | None = None) -> tuple[str, int]:
    """The variant that answers over a connection of its own, and what it answers."""
    headers = {"Content-Type": "text/csv"} | ({"X-Amzn-SageMaker-Target-Variant": target} if target else {})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", f"/endpoints/{endpoint}/invocations", "1", headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise Refused(response.status, json.loads(body))
    return response.headers["x-amzn-invoked-production-variant"], int(json.loads(body)[0])
