"""What people see of a model while its environment is made, and of two versions in one host."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from service.domain.endpoint import ModelSource
from service.errors import ModelFailure
from service.hosting.containers.opener import Containers
from service.hosting.environments.environments import Environments
from service.hosting.host import Call, HostedModel
from tests.harness.wheels import write_base, write_wheel
from tests.hosting.test_inline import House, house, put_model, run

SCRIPT = """
    def model_fn(model_dir):
        return 1

    def transform_fn(model, body, content_type, accept):
        import greeting
        return greeting.WORD, "text/plain"
"""


def put_script(folder: Path, requirements: str) -> None:
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(dedent(SCRIPT))
    (folder / "code" / "requirements.txt").write_text(requirements)


@contextmanager
def silent_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """An index that takes calls and answers none, until it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{listener.getsockname()[1]}/simple")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        yield listener


async def seen(it: House, words: str) -> HostedModel:
    """The one model, once its note has these words."""
    while True:
        for model in it.host.models():
            if any(words in note for note in model.notes):
                return model
        await asyncio.sleep(0.01)


def test_how_it_goes_is_told_until_it_is_loaded_or_failed(
    tmp_path: Path, containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments = Environments(tmp_path / "environments", (tmp_path / "models",))

    async def test(listener: socket.socket) -> None:
        async with house(tmp_path, containers=replace(containers, environments=environments)) as it:
            put_script(it.models / "a", "greeting\n")
            loading = asyncio.create_task(it.host.warm_up(ModelSource("a")))
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            model = await seen(it, "its environment is being made, for code/requirements.txt with Python 3.")
            assert (model.name, model.loaded, model.loading) == ("a", False, True)
            listener.close()
            connection.close()
            with pytest.raises(ModelFailure, match="Failed to fetch"):
                await loading
            (model,) = it.host.models()
            assert (model.loaded, model.loading) == (False, False)
            assert model.notes[0].startswith("code/requirements.txt cannot be installed")

    with silent_index(monkeypatch) as listener:
        run(test(listener))


def test_forty_models_that_wait_for_one_environment_keep_no_other_from_being_loaded(
    tmp_path: Path, containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments = Environments(tmp_path / "environments", (tmp_path / "models",))

    async def test(listener: socket.socket) -> None:
        async with house(tmp_path, containers=replace(containers, environments=environments)) as it:
            names = [f"waits-{number}" for number in range(40)]
            for name in names:
                put_script(it.models / name, "greeting\n")
            waiting = [asyncio.create_task(it.host.warm_up(ModelSource(name))) for name in names]
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            put_model(it.models / "other")
            await it.host.warm_up(ModelSource("other"))
            assert it.loaded() == ["other"]
            assert not any(task.done() for task in waiting)
            listener.close()
            connection.close()
            faults = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(fault) for fault in faults} == {ModelFailure}
            assert len({str(fault) for fault in faults}) == 1

    with silent_index(monkeypatch) as listener:
        run(test(listener))


def test_two_models_of_a_host_run_in_environments_of_their_own(
    tmp_path: Path, containers: Containers
) -> None:
    wheels = tmp_path / "wheels"
    write_base(wheels)
    write_wheel(wheels, "greeting", "1.0", {"greeting.py": "WORD = 'good day'\n"})
    environments = Environments(tmp_path / "environments", (tmp_path / "models",), wheels=wheels)

    async def test() -> None:
        async with house(tmp_path, containers=replace(containers, environments=environments)) as it:
            put_model(it.models / "new")
            put_script(it.models / "old", "greeting\n")
            call = Call(b"1,2", "text/csv", None)
            for name, answer in (("new", b"[3.0]"), ("old", b"good day")):
                source = ModelSource(name)
                await it.host.warm_up(source)
                assert (await it.host.single(source).invoke(call)).body.startswith(answer[:3])
            assert all(model.loaded and not model.notes for model in it.host.models())

    run(test())


def test_models_are_apart_by_image_only_where_images_count(tmp_path: Path, containers: Containers) -> None:
    old = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
    environments = Environments(tmp_path / "environments", everywhere=True)

    async def test(chosen: Containers, kinds: int) -> None:
        async with house(tmp_path, containers=chosen) as it:
            put_model(it.models / "a")
            images = ("", "sagebird/sklearn", old)
            assert len({it.host.locate(ModelSource("a", image=image), None) for image in images}) == kinds

    run(test(containers, 1))
    run(test(replace(containers, environments=replace(environments, everywhere=False)), 1))
    run(test(replace(containers, environments=environments), 2))
