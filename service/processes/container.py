"""What the container role declares: its one model, or none yet."""

from service.control.declaration import Declaration, DeclaredVariant
from service.settings import Settings

CONTAINER_ENDPOINT = "model"
"""The endpoint that the container role serves its one model behind."""


def container_declaration(settings: Settings, environment: dict[str, str], multi_model: bool) -> Declaration:
    """The model in `settings.models` with its environment; one that serves many starts empty."""
    if multi_model:
        return Declaration({})
    variant = DeclaredVariant("AllTraffic", settings.models, False, 1.0, False, False, environment)
    return Declaration({CONTAINER_ENDPOINT: (variant,)}, CONTAINER_ENDPOINT)
