"""What a container of an image is made with: its variables, mounts, limits and rights. Values only.

Source: contract A.1, A.2; Docker Engine API, ContainerCreate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PORT: Final = "8080/tcp"
MODEL: Final = "/opt/ml/model"
CODE: Final = "/opt/ml/code"
_COMMAND: Final = ("serve",)
_LOG: Final = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}}
_MOST_PROCESSES: Final = 4096
# What a server of models has no use for of the rights that root has in a container; the others let it change
# its user, own its files and read the model, as ordinary images do.
_DROPPED: Final = ("AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT")
_ROOT: Final = ("", "0", "root")


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """One container: `image` by name or id; folders of this machine by their paths in it, only to be read.

    `memory_bytes` and `cpus` are limits, 0 for none.
    """

    image: str
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, Path] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int = 0
    cpus: int = 0

    def config(self, machine: Mapping[str, Any]) -> dict[str, Any]:
        """What the engine is asked to make; `machine` is what it says of itself."""
        return {
            "Image": self.image,
            "Cmd": list(_COMMAND),
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "Labels": dict(self.labels),
            "ExposedPorts": {PORT: {}},
            "HostConfig": {
                "PortBindings": {PORT: [{"HostIp": "127.0.0.1", "HostPort": ""}]},
                "Mounts": [
                    {"Type": "bind", "Source": str(folder), "Target": target, "ReadOnly": True}
                    for target, folder in self.mounts.items()
                ],
                "LogConfig": _LOG,
                "SecurityOpt": ["no-new-privileges"],
                "CapDrop": list(_DROPPED),
                **self._limits(machine),
            },
        }

    def _limits(self, machine: Mapping[str, Any]) -> dict[str, int]:
        limits: dict[str, int] = {}
        if self.memory_bytes and machine.get("MemoryLimit"):
            limits["Memory"] = self.memory_bytes
            if machine.get("SwapLimit"):
                limits["MemorySwap"] = self.memory_bytes
        if self.cpus and machine.get("CpuCfsQuota"):
            limits["NanoCpus"] = min(self.cpus, int(machine.get("NCPU", self.cpus))) * 10**9
        if machine.get("PidsLimit"):
            limits["PidsLimit"] = _MOST_PROCESSES
        return limits


def is_run_by_root(image: Mapping[str, Any]) -> bool:
    """Whether an image's processes may read files of all users; `image` is what the engine says of it."""
    user = str((image.get("Config") or {}).get("User", ""))
    return user.partition(":")[0] in _ROOT


def address_of(container: Mapping[str, Any]) -> str:
    """Where the server of a container that runs is reached; "" where nowhere."""
    bound = (container.get("NetworkSettings") or {}).get("Ports") or {}
    ports = [each["HostPort"] for each in bound.get(PORT) or () if each.get("HostPort")]
    return f"http://127.0.0.1:{ports[0]}" if ports else ""


def ending_of(container: Mapping[str, Any]) -> str:
    """How a container ended, in words."""
    state = container.get("State") or {}
    if state.get("OOMKilled"):
        return "it needed more memory than SAGEBIRD_CONTAINER_MEMORY allows"
    return str(state.get("Error") or f"exit code {state.get('ExitCode', 'unknown')}")
