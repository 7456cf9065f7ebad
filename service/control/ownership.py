"""Who may change what: the endpoints file decides on what it declares, unless it lets the API do so."""

from service.control.resources import Resources
from service.domain import sentences
from service.domain.resource import Resource
from service.errors import ValidationFault

EDITABLE = "editable_endpoints"
"""The fact that lists the declared endpoints which the API may change."""


def check_editable(resources: Resources, resource: Resource) -> None:
    """Raises ValidationFault if the resource is the endpoints file's to change."""
    if resource.declared and resource.name not in (resources.fact(EDITABLE) or ()):
        raise ValidationFault(sentences.declared_is_the_files(resource.kind.row.words, resource.name))
