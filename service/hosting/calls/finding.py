"""Files of models that are asked for over a network, found in threads: no call of another model waits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from service.domain.endpoint import ModelSource
from service.errors import ModelNotReady, ModelTimeout
from service.hosting.cache.source import ModelKey


class Finding:
    """Finds the models of one source, each by one thread however many ask for it. For one event loop."""

    def __init__(
        self,
        key: Callable[[str | None], ModelKey],
        executor: Executor,
        source: ModelSource,
    ) -> None:
        """`key` finds that of a target model, and may take as long as it likes."""
        self._key = key
        self._executor = executor
        self._source = source
        self._under_way: dict[str | None, asyncio.Future[ModelKey]] = {}

    async def found(self, target_model: str | None, timeout_s: float | None = None) -> ModelKey:
        """The model that a call with this target uses; who asks waits so long, and it is looked for on.

        Raises:
            ModelFault: there is none, or it is still being looked for when the time is over.
            ModelNotReady: the latter, of one of many models.
        """
        finding = self._under_way.get(target_model)
        if finding is None:
            loop = asyncio.get_running_loop()
            finding = loop.run_in_executor(self._executor, self._key, target_model)
            self._under_way[target_model] = finding
            finding.add_done_callback(partial(self._end, target_model))
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(finding)
        except TimeoutError:
            late = ModelNotReady if self._source.multi else ModelTimeout
            raise late(f"Model {target_model or self._source.location} is still being loaded.") from None

    def _end(self, target_model: str | None, finding: "asyncio.Future[ModelKey]") -> None:
        del self._under_way[target_model]
        if not finding.cancelled():
            finding.exception()  # who has waited may be gone
