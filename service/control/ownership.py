"""Who may change what: the endpoints file decides on what it declares, unless it lets the API do so."""

from service.control.resources import Resources
from service.domain import sentences
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.errors import ValidationFault
from service.store.store import EDITABLE_ENDPOINTS


def check_editable(resources: Resources, resource: Resource) -> None:
    """Raises ValidationFault if the resource is the endpoints file's to change.

    Declared models and configurations always are: a declared endpoint needs them when it is made anew.
    """
    if not resource.declared:
        return
    if resource.kind is not Kind.ENDPOINT or resource.name not in (resources.fact(EDITABLE_ENDPOINTS) or ()):
        raise ValidationFault(sentences.declared_is_the_files(resource.kind.row.words, resource.name))
