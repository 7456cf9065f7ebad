"""The command that installs packages for models beside sagebird."""

import sys
from typing import Annotated

import typer

from service.cli.folders import ModelsFolder
from service.cli.refusal import fail
from service.cli.told import told
from service.errors import NotInstalled
from service.hosting.environments.beside import install_beside
from service.settings import load_settings


def install(
    packages: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PACKAGE", help="What to install, as `lightgbm` or `xgboost==2.1.4`.", show_default=False
        ),
    ] = None,
    models: ModelsFolder = None,
) -> None:
    """Install what models need beside sagebird: these packages, else requirements.txt beside endpoints.yaml.

    It goes into the environment that sagebird runs in, which keeps the versions that it needs. A model that
    asks for others in its code/requirements.txt gets an environment of its own (SAGEBIRD_ENVIRONMENTS).
    A running server has it for models that are loaded afterwards.
    """
    settings = load_settings(models=models)
    listed = None if packages else settings.listed_packages
    if listed is not None and not listed.is_file():
        fail(f"Name a package: there is no {listed}.")
    try:
        install_beside(packages or (), listed, settings.wheels, _show)
    except NotInstalled as error:
        fail(f"{error.message}.")


def _show(line: str) -> None:
    sys.stderr.write(f"{told(line)}\n")
