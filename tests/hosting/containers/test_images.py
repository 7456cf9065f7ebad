"""Images of somebody's: a real container host, over an engine that stands in for Docker."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from service.errors import ModelFault, ModelUnreachable
from service.hosting.containers.image_container import ImageContainer
from service.hosting.containers.lease import Lease
from service.hosting.containers.opener import Containers, Images
from service.hosting.containers.spec import ContainerSpec
from service.hosting.containers.web_line import WebLine
from service.hosting.engines.engine import DockerEngine
from service.hosting.engines.household import FAMILY, PLACE, Household
from service.hosting.host import Answer, Call
from tests.conftest import wait_until
from tests.harness.engine import Box, Image, StandIn, stand_in_engine
from tests.harness.image_host import image_host

PATIENCE_S = 60.0
APP = "mine/app:1"
CALL = Call(b"abc", "text/csv", None)


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[StandIn]:
    with stand_in_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def host(shared_engine: StandIn) -> Iterator[Containers]:
    with image_host(shared_engine.environ, memory_bytes=1 << 30) as containers:
        yield containers


@pytest.fixture
def engine(shared_engine: StandIn) -> Iterator[StandIn]:
    """The engine of `host`, with what a test puts into it; it is empty again after the test."""
    yield shared_engine
    wait_until(lambda: not shared_engine.boxes, PATIENCE_S)
    for kept in (shared_engine.images, shared_engine.registry, shared_engine.refuses):
        kept.clear()
    shared_engine.made.clear()
    shared_engine.refused.clear()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder that nobody else may read."""
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True, mode=0o700)
    for name in ("weights", "deep/more"):
        (folder / name).write_bytes(name.encode())
        (folder / name).chmod(0o600)
    return folder


def ask(lease: Lease, call: Call = CALL) -> Answer:
    return asyncio.run(asyncio.wait_for(WebLine(lease).ask(call), PATIENCE_S))


def refusal(containers: Containers, model: Path, image: str = APP) -> str:
    with pytest.raises(ModelFault) as caught:
        containers.open_image(model, "1", {}, image)
    return caught.value.message


def test_a_container_serves_as_long_as_somebody_has_a_lease(
    engine: StandIn, host: Containers, model: Path
) -> None:
    engine.add(APP)
    first, second = (host.open_image(model, "1", {"MINE": "yes"}, APP) for _ in range(2))
    assert first.address == second.address != ""
    assert ask(first) == Answer(b"cba", "application/octet-stream")
    assert first.size_bytes == 40 << 20
    first.close()
    assert ask(second).body == b"cba"
    second.close()
    wait_until(lambda: not engine.boxes, PATIENCE_S)
    assert len(engine.made) == 1


def test_it_is_made_with_what_the_contract_says_and_no_more_rights_than_it_needs(
    engine: StandIn, host: Containers, model: Path
) -> None:
    image = engine.add(APP)
    host.open_image(model, "1", {"MINE": "yes", "AWS_REGION": "eu-west-1"}, APP).close()
    config = engine.made[0].config
    assert (config["Image"], config["Cmd"]) == (image.identity, ["serve"])
    assert sorted(config["Env"]) == ["AWS_DEFAULT_REGION=us-east-1", "AWS_REGION=eu-west-1", "MINE=yes"]
    given = config["HostConfig"]
    assert given["Mounts"] == [
        {"Type": "bind", "Source": str(model), "Target": "/opt/ml/model", "ReadOnly": True}
    ]
    assert given["PortBindings"] == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    assert (given["Memory"], given["NanoCpus"], given["PidsLimit"]) == (1 << 30, 2 * 10**9, 4096)
    assert "MemorySwap" not in given
    assert given["SecurityOpt"] == ["no-new-privileges"]
    assert "NET_RAW" in given["CapDrop"]
    assert config["Labels"][FAMILY] == host.folder.name


def test_an_image_whose_user_may_not_read_the_files_gets_a_copy_of_them(
    engine: StandIn, host: Containers, model: Path
) -> None:
    engine.add(APP, user="1000:1000")
    host.open_image(model, "1", {}, APP).close()
    box = engine.made[0]
    assert box.config["HostConfig"]["Mounts"] == []
    assert box.put == {
        "opt/ml/model 755": b"",
        "opt/ml/model/deep 755": b"",
        "opt/ml/model/weights 644": b"weights",
        "opt/ml/model/deep/more 644": b"deep/more",
    }


def test_files_that_everybody_may_read_are_mounted_for_any_user(
    engine: StandIn, host: Containers, model: Path
) -> None:
    engine.add(APP, user="app")
    for path in (model, *model.rglob("*")):
        path.chmod(0o755)
    (model / "link").symlink_to("weights")
    host.open_image(model, "1", {}, APP).close()
    assert len(engine.made[0].config["HostConfig"]["Mounts"]) == 1
    model.chmod(0o700)
    host.open_image(model, "2", {}, APP).close()
    assert engine.made[1].config["HostConfig"]["Mounts"] == []


def test_code_apart_from_the_model_is_given_and_no_model_hides_that_of_the_image(
    engine: StandIn, host: Containers, tmp_path: Path
) -> None:
    engine.add(APP)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "code").mkdir()
    code = tmp_path / "code"
    host.open_image(tmp_path / "nothing", "", {}, APP, (code,)).close()
    config = engine.made[0].config
    assert [mount["Target"] for mount in config["HostConfig"]["Mounts"]] == ["/opt/ml/code"]
    assert "SAGEMAKER_SUBMIT_DIRECTORY=/opt/ml/code" in config["Env"]


def test_the_id_that_an_image_had_when_it_was_deployed_counts_while_it_is_there(
    engine: StandIn, host: Containers, model: Path
) -> None:
    old, new = engine.add("old/app:1"), engine.add(APP)
    for identity, expected in ((old.identity, old), ("sha256:0", new)):
        host.open_image(model, identity, {}, f"{APP}#{identity}").close()
        assert engine.made[-1].image is expected


@pytest.mark.parametrize(
    ("host_name", "words"),
    [
        ("unix:///nowhere/docker.sock", "there is none at /nowhere/docker.sock"),
        ("tcp://10.0.0.1:2375", "DOCKER_HOST=tcp://10.0.0.1:2375 is no socket of this machine"),
    ],
)
def test_without_an_engine_it_says_so(model: Path, host_name: str, words: str) -> None:
    with image_host({"DOCKER_HOST": host_name}) as containers:
        said = refusal(containers, model)
    assert said.startswith(f"the image {APP} cannot run here: it needs a Docker engine, and {words}")
    assert "sagebird/sklearn" in said


def test_an_engine_that_listens_no_more_is_told(model: Path) -> None:
    with stand_in_engine() as engine:
        environ = engine.environ
        engine.socket.rename(engine.socket.with_name("kept"))
        engine.socket.touch()
        with image_host(environ) as containers:
            assert "docker.sock cannot be asked (" in refusal(containers, model)


@pytest.mark.parametrize("image", [APP, "No/../reference", "mine/app:1 or so"])
def test_an_image_that_the_engine_has_not_says_what_would_help(
    engine: StandIn, host: Containers, model: Path, image: str
) -> None:
    said = refusal(host, model, image)
    assert said.startswith(f"the image {image} cannot run here: the Docker engine does not have it")
    assert f"docker pull {image}" in said
    assert "SAGEBIRD_IMAGES=pull" in said
    assert engine.made == []


def test_where_images_are_off_none_runs(model: Path, tmp_path: Path) -> None:
    said = refusal(Containers(tmp_path, 1, 1.0), model, f"{APP}#sha256:1")
    assert said.startswith(f"the image {APP} cannot run here: sagebird runs sagebird/sklearn")


@pytest.mark.parametrize("name", ["mine/app", "host:5000/app:2", "mine/app@sha256:00"])
def test_an_image_is_pulled_where_that_is_allowed(engine: StandIn, model: Path, name: str) -> None:
    whole = name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"
    engine.registry[whole] = Image(name)
    with image_host(engine.environ, Images(pull=True)) as containers:
        engine.registry[whole].name = whole
        lease = containers.open_image(model, "1", {}, whole)
        assert ask(lease).body == b"cba"
        lease.close()
        engine.images.clear()
        said = refusal(containers, model, "nobody/app:1")
    assert "could not pull it (pull access denied), `docker pull nobody/app:1` may after a login" in said


def test_a_container_that_ends_at_once_says_how_and_what_it_said(
    engine: StandIn, host: Containers, model: Path
) -> None:
    engine.add(APP, ends={"ExitCode": 3}, words=((1, b"loading\n"), (2, b"no weights\nin"), (2, b" here")))
    said = refusal(host, model)
    assert said == (
        f"the container of {APP} ended before it answered /ping with 200 (exit code 3), and said last: "
        "in here"
    )
    engine.add(APP, ends={"ExitCode": 137, "OOMKilled": True})
    assert "(it needed more memory than SAGEBIRD_CONTAINER_MEMORY allows)" in refusal(host, model)
    engine.add(APP, start='exec: "serve": executable file not found in $PATH')
    assert refusal(host, model) == (
        f'the image {APP} does not start: exec: "serve": executable file not found in $PATH'
    )


@pytest.mark.parametrize("broken", [{"ping": lambda box: 503}, {"publishes": False}])
def test_a_container_that_never_is_well_is_given_up(
    engine: StandIn, model: Path, broken: dict[str, Any]
) -> None:
    engine.add(APP, words=((1, b"so far\n"),), **broken)
    with image_host(engine.environ, load_timeout_s=2.5) as containers:  # enough for its last words
        said = refusal(containers, model)
    assert said.startswith(f"the container of {APP} did not answer /ping with 200 within 2.5 seconds")
    assert "said last: so far" in said


def test_a_folder_that_is_gone_is_told(engine: StandIn, host: Containers, tmp_path: Path) -> None:
    engine.add(APP)
    assert "cannot be made" in refusal(host, tmp_path / "gone")


def test_one_that_ends_is_made_anew_and_calls_wait_for_it(
    engine: StandIn, host: Containers, model: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def ping(box: Box) -> int:
        if box is engine.made[0]:
            return 200
        begun.set()
        return 200 if go_on.is_set() else 500

    engine.add(APP, ping=ping)
    lease = host.open_image(model, "1", {}, APP)
    before = lease.address

    async def test() -> Answer:
        line = WebLine(lease)
        assert (await line.ask(CALL)).body == b"cba"
        engine.made[0].end(ExitCode=1)
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        waiting = asyncio.ensure_future(line.ask(CALL))
        await asyncio.to_thread(wait_until, lambda: lease.look() and not lease.address, PATIENCE_S)
        assert not waiting.done()
        go_on.set()
        return await asyncio.wait_for(waiting, PATIENCE_S)

    assert asyncio.run(test()).body == b"cba"
    assert lease.address != before
    assert len(engine.boxes) == 1
    lease.close()


def test_one_that_cannot_be_made_anew_is_lost_with_the_reason(
    engine: StandIn, host: Containers, model: Path
) -> None:
    engine.add(APP)
    lease = host.open_image(model, "1", {}, APP)
    engine.images.clear()
    engine.box.end(ExitCode=1)
    wait_until(lambda: not lease.look(), PATIENCE_S)
    assert "does not have it" in str(lease.lost)

    async def waits() -> None:
        with pytest.raises(ModelUnreachable, match="cannot be reached"):
            await WebLine(lease).ask(CALL)

    lease.address = ""
    asyncio.run(waits())
    lease.close()


def test_a_container_that_cannot_be_removed_is_removed_later(
    engine: StandIn, host: Containers, model: Path
) -> None:
    engine.add(APP)
    engine.refuses["DELETE /containers"] = "not now"
    host.open_image(model, "1", {}, APP).close()
    wait_until(lambda: engine.refused, PATIENCE_S)
    other = host.open_image(model, "2", {}, APP)
    engine.refuses.clear()
    assert len(engine.boxes) == 2
    host.open_image(model, "3", {}, APP).close()
    other.close()
    wait_until(lambda: not engine.boxes, PATIENCE_S)


def test_a_lease_that_is_given_up_while_its_container_is_made_leaves_none(
    engine: StandIn, host: Containers, model: Path
) -> None:
    engine.add(APP, ping=lambda box: 500)
    with socket.socket(socket.AF_UNIX) as gone:
        gone.connect(str(host.folder / "host.sock"))
        gone.sendall(ContainerSpec("m", "1", str(model), image=APP).to_json() + b"\n")
        wait_until(lambda: engine.boxes and engine.box.pings, PATIENCE_S)
    wait_until(lambda: not engine.boxes, PATIENCE_S)


def container(docker: DockerEngine, folder: Path, model: Path, broken: list[ModelFault]) -> ImageContainer:
    """One that is looked at often."""
    household = Household(docker, folder)
    spec = ContainerSpec("m", "1", str(model), image=APP, timeout_s=0.5)
    return ImageContainer(spec, household, broken.append, lambda _: None, look_s=0.01)


@pytest.mark.parametrize("silent", [False, True])
def test_one_that_is_not_well_any_more_is_made_anew(
    engine: StandIn, tmp_path: Path, model: Path, silent: bool
) -> None:
    ill, over = threading.Event(), threading.Event()

    def ping(box: Box) -> int:
        if box is not engine.made[0] or not ill.is_set():
            return 200
        if silent:
            over.wait(PATIENCE_S)
        return 500

    engine.add(APP, ping=ping)

    async def test() -> None:
        docker = DockerEngine(engine.environ)
        broken: list[ModelFault] = []
        one = container(docker, tmp_path, model, broken)
        await one.start()
        assert one.size_bytes() == 40 << 20
        assert one.cpu_s() == 1.5
        assert one.address != ""
        ill.set()
        await asyncio.to_thread(wait_until, lambda: len(engine.made) > 1 and one.address, PATIENCE_S)
        assert broken == []
        await asyncio.to_thread(wait_until, lambda: one.cpu_s() == 3.0, PATIENCE_S)  # of both
        await one.close()
        await docker.close()

    asyncio.run(test())
    over.set()


@pytest.fixture
def places() -> Iterator[Path]:
    with TemporaryDirectory(prefix="sagebird-") as name:
        yield Path(name)


def test_what_killed_families_left_goes_and_what_others_have_stays(engine: StandIn, places: Path) -> None:
    ours, living = places / "run-ours", places / "run-living"
    ours.mkdir()
    living.mkdir()
    labels = Household(DockerEngine(engine.environ), ours).labels
    of = {
        "own": labels,
        "dead": {**labels, FAMILY: "run-dead"},
        "living": {**labels, FAMILY: living.name},
        "odd": {**labels, FAMILY: "../x"},
        "bare": {PLACE: labels[PLACE]},
        "elsewhere": {**labels, PLACE: "1:1"},
        "stranger": {},
    }
    for name, given in of.items():
        engine.boxes[name] = Box(name, Image(APP), {"Labels": dict(given)})
    with image_host(engine.environ, folder=ours):
        wait_until(lambda: len(engine.boxes) == 5, PATIENCE_S)
    assert sorted(engine.boxes) == ["bare", "elsewhere", "living", "odd", "stranger"]
    engine.boxes.clear()


def test_names_of_containers_are_no_others(places: Path) -> None:
    household = Household(DockerEngine({}), places)
    names = {household.name() for _ in range(3)}
    assert len(names) == 3
    assert all(str(os.getpid()) in name for name in names)
