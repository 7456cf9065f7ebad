"""`python -m tests.harness.model_host FOLDER`: a model host that lives as long as who started it."""

import os
import sys
from pathlib import Path

from service.log import configure
from service.processes.model_host import run_model_host

if __name__ == "__main__":
    configure("info", "text")
    sys.exit(run_model_host(Path(sys.argv[1]), os.getppid()))
