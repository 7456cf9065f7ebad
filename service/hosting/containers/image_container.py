"""One container of an image: it runs in the Docker engine, and answers at a port of this machine alone.

One that ends, or stays silent, is made anew, after longer and longer waits where that happens again and
again; meanwhile it has no address.
Not in here: how the engine is asked (engines); who uses it, and when it is not needed any more
(container_host); who calls it (web_line).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

import httpx

from service.domain import obstacles
from service.domain.image import engine_image, named_image
from service.domain.log_places import KeepLine
from service.errors import EngineFault, ModelFailure, ModelFault
from service.hosting.containers.deaths import Deaths
from service.hosting.containers.output import Lines
from service.hosting.containers.printed import Printed
from service.hosting.containers.spec import ContainerSpec, Loaded
from service.hosting.engines.engine import EngineUsage
from service.hosting.engines.household import Household
from service.hosting.engines.packed import is_open_to_all, packed
from service.hosting.engines.plan import CODE, MODEL, ContainerPlan, address_of, ending_of, is_run_by_root
from service.log import get_logger

_PING_S: Final = 2.0  # in which one that starts has to answer. Source: contract A.1
_ASKED_ANEW_S: Final = 0.1
_LOOK_S: Final = 5.0
_MOST_BAD_PINGS: Final = 3
_SILENT_CALLS: Final = 3.0  # a server of one thread may be at so many calls before a ping gets its turn
_MEASURE_S: Final = 2.0
_HEALTHY_S: Final = 10.0
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 10.0
_LAST_WORDS_S: Final = 5.0
_STDOUT: Final = 1


class ImageContainer:
    """The container of one spec. For one event loop."""

    def __init__(
        self,
        spec: ContainerSpec,
        household: Household,
        broken: Callable[[ModelFault], None],
        moved: Callable[[str], None],
        look_s: float = _LOOK_S,
        keep: KeepLine | None = None,
    ) -> None:
        """`broken` is told when it cannot be had any more; `moved` where it answers from now on, "": nowhere.

        It is pinged each `look_s`; `keep` keeps what it prints.
        """
        self.spec = spec
        self.printed = Printed(keep)
        self.address = ""
        self._image = named_image(spec.image)
        self._household = household
        self._engine = household.engine
        self._broken = broken
        self._moved = moved
        self._look_s = look_s
        self._log = get_logger("sagebird.container").bind(model=spec.name, image=self._image)
        self._name = ""
        self._lines = (
            Lines(self._tell("stdout"), self.printed),
            Lines(self._tell("stderr"), self.printed, 1),
        )
        loop = asyncio.get_running_loop()
        self._printing: asyncio.Future[None] = loop.create_future()
        self._ending: asyncio.Future[None] = loop.create_future()
        self._keeping: asyncio.Task[None] | None = None
        self._used = EngineUsage(0, 0.0)
        self._cpu_s = 0.0
        self.deaths = Deaths()

    async def start(self) -> Loaded:
        """Have it run and be healthy; what is known of it.

        Raises:
            ModelFault: it cannot run, or is not healthy in time.
        """
        begun_s = monotonic()
        await self._stand_up()
        self._keeping = asyncio.get_running_loop().create_task(self._keep())
        return Loaded(monotonic() - begun_s, kind=self._image)

    def size_bytes(self) -> int:
        """Memory that it held when it was last looked at."""
        return self._used.held_bytes

    def cpu_s(self) -> float:
        """Seconds of CPUs that it had used by then, and those that it came in place of."""
        return self._cpu_s

    def trouble(self) -> str:
        """What people should know of it, "" for nothing."""
        return self.deaths.trouble()

    async def close(self) -> None:
        """End it, whatever it is at."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._remove()

    # ------------------------------------------------------------------ how it comes to stand

    async def _stand_up(self) -> None:
        self._used = self._used._replace(cpu_s=0.0)  # what comes in another one's place begins anew
        try:
            await self._make()
            async with asyncio.timeout(self.spec.load_timeout_s):
                await self._be_healthy()
        except TimeoutError:
            how = f"did not answer /ping with 200 within {self.spec.load_timeout_s:g} seconds"
            fault = ModelFailure(f"the container of {self._image} {how}{self._last_words()}")
            await self._remove()
            raise fault from None
        except EngineFault as error:
            await self._remove()
            raise ModelFailure(f"the image {self._image} does not start: {error.message}") from error
        except OSError as error:
            await self._remove()
            raise ModelFailure(f"the container of {self._image} cannot be made: {error}") from error
        except BaseException:
            await self._remove()
            raise

    async def _make(self) -> None:
        """Have the container run. Raises EngineFault, ModelFailure."""
        machine = await self._machine()
        image = await self._found()
        folders, environment = self._given()
        mounted = is_run_by_root(image) or await asyncio.to_thread(_all_open, folders)
        plan = ContainerPlan(
            str(image["Id"]),
            environment,
            folders if mounted else {},
            self._household.labels,
            self.spec.memory_bytes,
            self.spec.workers,
        )
        self._name = self._household.name()
        await _whole(self._engine.create(self._name, plan.config(machine)))
        if not mounted:  # its user may not read the files of ours
            for target, folder in folders.items():
                await self._engine.put(self._name, packed(folder, target.lstrip("/")))
        await self._engine.start(self._name)
        loop = asyncio.get_running_loop()
        self._printing = loop.create_task(self._take_over_lines(self._name))
        self._ending = loop.create_task(self._engine.wait(self._name))

    def _given(self) -> tuple[dict[str, Path], dict[str, str]]:
        """The folders that it is given, by their paths in it, and its variables."""
        model, environment = Path(self.spec.model_dir), dict(self.spec.environment)
        # What has no files is not put in the place of a model that the image brings along.
        folders = {MODEL: model} if any(model.iterdir()) else {}
        for folder in self.spec.code_dirs:
            folders[CODE], environment["SAGEMAKER_SUBMIT_DIRECTORY"] = Path(folder), CODE
        return folders, environment

    async def _machine(self) -> dict[str, Any]:
        try:
            await self._household.clear()
            return await self._engine.info()
        except EngineFault as error:
            raise ModelFailure(obstacles.image_needs_engine(self._image, error.message)) from error

    async def _found(self) -> dict[str, Any]:
        """The image, as the engine has it. Raises EngineFault, ModelFailure."""
        image = await self._engine.image(engine_image(self.spec.image))
        if image is None:  # the one of that time is gone, perhaps
            image = await self._engine.image(self._image)
        if image is None and self.spec.pull:
            self._log.info("image is being pulled")
            try:
                await self._engine.pull(self._image)
            except EngineFault as error:
                why = error.message.rstrip(".")
                raise ModelFailure(obstacles.image_cannot_be_pulled(self._image, why)) from error
            self._log.info("image is pulled")
            image = await self._engine.image(self._image)
        if image is None:
            raise ModelFailure(obstacles.image_is_missing(self._image))
        return image

    async def _be_healthy(self) -> None:
        """Wait until it answers. Raises ModelFailure if it ends before."""
        address = ""
        async with _web(_PING_S) as web:
            while not self._ending.done():
                address = address or address_of(await self._engine.inspect(self._name))
                if address and await _is_well(web, address):
                    self.address = address
                    await self._measure()
                    return
                await asyncio.wait((self._ending,), timeout=_ASKED_ANEW_S)
        await self._hear_the_end()
        ending = ending_of(await self._engine.inspect(self._name))
        raise ModelFailure(
            f"the container of {self._image} ended before it answered /ping with 200 ({ending})"
            f"{self._last_words()}"
        )

    # ------------------------------------------------------------------ while it stands

    async def _keep(self) -> None:
        """Have one stand as long as one can be had."""
        quick_deaths = 0
        while True:
            begun_s = monotonic()
            how = await self._until_it_fails()
            self.address = ""
            self._moved("")
            quick_deaths = quick_deaths + 1 if monotonic() - begun_s < _HEALTHY_S else 0
            wait_s = _wait_s(quick_deaths)
            self.deaths.note(how)
            self._log.warning("container replaced", ended=how, wait_s=wait_s)
            try:
                await self._remove()
                await asyncio.sleep(wait_s)
                await self._stand_up()
            except ModelFault as fault:
                self._broken(fault)
                return
            self._moved(self.address)

    async def _until_it_fails(self) -> str:
        """Wait until it ends or has to be ended; why."""
        watching = asyncio.ensure_future(self._watch())
        measuring = asyncio.ensure_future(self._measure_on())
        try:
            await asyncio.wait((self._ending, watching), return_when=asyncio.FIRST_COMPLETED)
            if not self._ending.done():
                return watching.result()
            await self._hear_the_end()
            with suppress(EngineFault):
                return ending_of(await self._engine.inspect(self._name))
            return "it is gone"
        finally:
            for task in (watching, measuring):
                task.cancel()
            await asyncio.gather(watching, measuring, return_exceptions=True)

    async def _watch(self) -> str:
        """Ping it from time to time; why it has to be ended."""
        bad, silent_s = 0, _SILENT_CALLS * self.spec.timeout_s
        async with _web(silent_s) as web:
            while bad < _MOST_BAD_PINGS:
                await asyncio.sleep(self._look_s)
                try:
                    bad = 0 if await _is_well(web, self.address, patient=True) else bad + 1
                except httpx.TimeoutException:
                    return f"it did not answer /ping for {silent_s:g} seconds"
        return f"it did not answer /ping with 200, {bad} times in a row"

    async def _measure_on(self) -> None:
        while True:
            await asyncio.sleep(_MEASURE_S)
            await self._measure()

    async def _measure(self) -> None:
        with suppress(EngineFault):  # it has just ended, or the engine does not count
            before, self._used = self._used, await self._engine.usage(self._name)
            self._cpu_s += max(0.0, self._used.cpu_s - before.cpu_s)

    # ------------------------------------------------------------------ what it prints, and its end

    def _tell(self, stream: str) -> Callable[[str], None]:
        return lambda line: self._log.info(line, stream=stream)

    async def _take_over_lines(self, name: str) -> None:
        with suppress(EngineFault):  # the engine is gone, and the container with it
            async for stream, data in self._engine.printed(name):
                self._lines[0 if stream == _STDOUT else 1].add(data)
        for lines in self._lines:
            lines.end()

    async def _hear_the_end(self) -> None:
        await asyncio.wait((self._printing,), timeout=_LAST_WORDS_S)

    def _last_words(self) -> str:
        last = self._lines[1].last or self._lines[0].last
        return f", and said last: {last}" if last else ""

    async def _remove(self) -> None:
        for task in (self._printing, self._ending):
            task.cancel()
        await asyncio.gather(self._printing, self._ending, return_exceptions=True)
        name, self._name = self._name, ""
        if name:
            await _whole(self._household.remove(name))


def _wait_s(quick_deaths: int) -> float:
    """How long to wait before the next one, after so many in a row that did not last."""
    if quick_deaths < 2:
        return 0.0
    return float(min(_FIRST_WAIT_S * 2.0 ** min(quick_deaths - 2, 20), _LONGEST_WAIT_S))


def _all_open(folders: dict[str, Path]) -> bool:
    return all(map(is_open_to_all, folders.values()))


@asynccontextmanager
async def _web(timeout_s: float) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=timeout_s, trust_env=False) as client:
        yield client


async def _is_well(web: httpx.AsyncClient, address: str, *, patient: bool = False) -> bool:
    """Whether /ping answers 200. Raises TimeoutException only for who is `patient`."""
    try:
        async with web.stream("GET", f"{address}/ping") as response:  # whatever it says beside
            return response.status_code == httpx.codes.OK
    except httpx.TimeoutException:
        if patient:
            raise
        return False
    except httpx.HTTPError:
        return False


async def _whole(work: Any) -> None:
    """Do something to its end, though who wanted it may have gone: half of it would be left over."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
