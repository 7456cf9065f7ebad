"""Options that name the folders of a server."""

from pathlib import Path
from typing import Annotated

import typer

ModelsFolder = Annotated[
    Path | None, typer.Option(help="Folder of models.  \\[default: ./models]", show_default=False)
]
DataFolder = Annotated[
    Path | None, typer.Option(help="Folder of state.  \\[default: ./data]", show_default=False)
]
