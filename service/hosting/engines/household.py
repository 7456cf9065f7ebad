"""Whose containers are whose, on an engine that others use as well: labels, names, and what killed ones left.

A family is known by its private folder. Where that is gone, or a new model host has it, whatever the engine
still runs for it is left over.
"""

import asyncio
import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Final

from service.errors import EngineFault
from service.hosting.engines.engine import DockerEngine
from service.log import get_logger

PLACE: Final = "sagebird.place"
FAMILY: Final = "sagebird.family"


class Household:
    """The containers of one family on the engine. For one event loop."""

    def __init__(self, engine: DockerEngine, folder: Path) -> None:
        """`folder` is the family's own; those of other families of its data folder are beside it."""
        self.engine = engine
        self._folder = folder
        self._numbers = count()
        self._lock = asyncio.Lock()
        self._is_clear = False
        self._left: list[str] = []
        self._log = get_logger("sagebird.containers")

    @property
    def labels(self) -> Mapping[str, str]:
        """Those of all its containers."""
        status = os.stat(self._folder.parent)  # wherever it is mounted, and whatever it is called there
        return {PLACE: f"{status.st_dev}:{status.st_ino}", FAMILY: self._folder.name}

    def name(self) -> str:
        """The name of a container that is to be made."""
        return f"sagebird-{self._folder.name}-{next(self._numbers)}-{os.getpid()}"

    async def clear(self) -> None:
        """See that nothing is left over. Raises EngineFault: the engine cannot be asked."""
        async with self._lock:
            if not self._is_clear:
                await self._find_left()
                self._is_clear = True
            left, self._left = self._left, []
            for name in left:
                await self.remove(name)

    async def remove(self, name: str) -> None:
        """End a container and remove it; the engine is asked again where it could not be."""
        try:
            await self.engine.remove(name)
        except EngineFault as fault:
            self._left.append(name)
            self._log.warning("container stays", container=name, reason=fault.message)

    async def _find_left(self) -> None:
        for found in await self.engine.labelled(f"{PLACE}={self.labels[PLACE]}"):
            family = str(found.get("Labels", {}).get(FAMILY, ""))
            if family == self._folder.name or not self._lives(family):
                self._left.append(str(found["Id"]))
                self._log.info("left container found", container=str(found["Id"])[:12], family=family)

    def _lives(self, family: str) -> bool:
        return not family or "/" in family or os.path.exists(self._folder.parent / family)
