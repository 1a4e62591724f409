"""Whether a document can be trusted with what it asks for, before it is registered."""

from graphql import GraphQLError, TypeInfo, TypeInfoVisitor, Visitor, parse, validate, visit
from graphql.language import FieldNode

from api.graphql.documents import Documents
from api.graphql.guards import DocumentLimits
from api.graphql.rules import rule_of
from api.graphql.schema import schema as strawberry_schema
from domain.access import Capability
from domain.errors import BadInput
from domain.trusted_documents import TrustedDocument

_SCHEMA = strawberry_schema._schema  # noqa: SLF001  Strawberry has no public name for the graphql-core schema inside


def complaint_about(document: TrustedDocument) -> str | None:
    """What is wrong with a document: it does not fit the schema, or is not given what it needs. None where all is well."""
    try:
        ast = parse(document.text)
    except GraphQLError as error:
        return error.message
    errors = validate(_SCHEMA, ast)
    if errors:
        return errors[0].message
    try:
        Documents(_SCHEMA, DocumentLimits()).read(document.text)
    except BadInput as error:
        return error.message
    if document.capabilities is None:
        return None
    info = TypeInfo(_SCHEMA)
    needs = _Needs(info)
    visit(ast, TypeInfoVisitor(info, needs))
    missing = sorted(needs.found - document.capabilities)
    return f"it needs {', '.join(missing)}, which its line `florin capabilities` does not name" if missing else None


class _Needs(Visitor):
    """Collects the capabilities without which a field of a document would be refused."""

    def __init__(self, info: TypeInfo) -> None:
        super().__init__()
        self._info = info
        self.found: set[Capability] = set()

    def enter_field(self, *_: FieldNode) -> None:
        field = self._info.get_field_def()
        rule = None if field is None else rule_of(field)
        if rule is not None and rule.capability is not None and not rule.withheld:
            self.found.add(rule.capability)
