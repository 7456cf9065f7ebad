"""TorchScript archives that `torch.jit.save` wrote: called as `model(x)`, on the CPU and one thread."""

from __future__ import annotations

from typing import Any

from _sagebird_frameworks import library, model_files, unreadable


def model_fn(model_dir: str) -> Any:
    """Load the model's file, to be called without gradients."""
    path = model_files(model_dir)[0]
    torch = library("torch", path)
    torch.set_num_threads(1)
    try:
        return torch.jit.load(path, map_location="cpu").eval()
    except Exception as error:
        raise unreadable(path, "TorchScript", error) from error
