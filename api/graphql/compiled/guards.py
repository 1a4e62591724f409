"""What keeps compiled code from answering otherwise than graphql-core, and how it gives up."""

from collections.abc import Set as AbstractSet
from enum import Enum, auto
from typing import TypeAlias


class Unsupported(Exception):
    """The compiler does not know this, so that graphql-core has to execute it."""


class Surprise(BaseException):
    """A value that only graphql-core treats rightly: compiled code gives up, and makes no error of its own.

    It is no Exception, so that a resolver which catches everything cannot take it for a failure of what it called.
    """


class Guard(Enum):
    """One condition that compiled code depends on. Tests switch each off and show that answers are wrong without it.

    The first ones refuse to compile a selection, the others let compiled code give up.
    """

    FIELD_EXTENSIONS = auto()
    """Permissions and other extensions of a field run around its resolver."""
    FOREIGN_RESOLVER = auto()
    """A resolver that somebody put over Strawberry's does more than what stands beside the field."""
    DEFAULT_RESOLVER = auto()
    """A schema's own default resolver reads attributes in its own way."""
    FOREIGN_TYPE_CHECK = auto()
    """A type that tells its objects by a function of its own has to be asked."""
    DIRECTIVES = auto()
    """Directives other than @skip and @include may change how a field is executed."""
    FRAGMENT_ARGUMENTS = auto()
    """Arguments of fragments are values that plans are not told apart by."""
    VARIANTS = auto()
    """What @skip and @include leave depends on variables, so that each combination is a plan of its own."""
    MIDDLEWARE = auto()
    """Middleware sees every field."""
    ABORT_SIGNAL = auto()
    """Whoever may abort an execution expects it to stop at every field."""

    NULL = auto()
    """Null where the schema promises a value is an error."""
    EXCEPTION_VALUE = auto()
    """An exception that is returned counts as raised."""
    AWAITABLE_VALUE = auto()
    """A resolver that is no coroutine function may return an awaitable all the same."""
    LIST_CLASS = auto()
    """Only lists and tuples can be read twice and in order; text is no list."""
    LEAF_CLASS = auto()
    """Leaves of an unexpected class are coerced, or refused."""
    INT_RANGE = auto()
    """GraphQL's Int has 32 bits."""
    LEAF_RESULT = auto()
    """A scalar that coerces a value to null is mistaken."""
    OBJECT_TYPE = auto()
    """An object of a type with interfaces has to be of its class, or cast to it."""
    RUNTIME_TYPE = auto()
    """An object behind an interface or union has to be of one of its types."""
    CAST = auto()
    """`strawberry.cast` makes an object of another type than its class."""
    MUTABLE_ARGUMENT = auto()
    """Arguments are shared by all objects of a list, so that none may be changed by its resolver."""
    PATH = auto()
    """`info` is shared too, so that a resolver cannot ask it where the object is."""
    BATCH_SIZE = auto()
    """A resolver of many objects has to answer for each of them, or values would go to others."""
    NO_TASK = auto()
    """Resolvers that are driven without a task of their own must not find their parent's, and cancel it."""


Guards: TypeAlias = AbstractSet[Guard]

ALL_GUARDS: Guards = frozenset(Guard)
