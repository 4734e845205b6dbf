"""Options: the same classes for the keys of a study and for the library, declared once, with bounds and meanings."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError, PydanticKnownError

from rediffuse.errors import UserError, shown

#: No count of anything here is larger: a mistake of typing is found before it becomes a wait or a full memory.
LARGEST = 10**9
#: What pydantic says, and what a user would say.
WORDS = {
    "input should": "it should",
    "string should": "it should",
    "tuple": "the list",
    "dictionary": "the mapping",
    "be a valid array": "be a list, such as [5]",
    " after validation": "",
    "be a valid object": "be a mapping of keys",
    "be an object": "be a mapping of keys",
}


def _not_huge(number: float) -> float:
    if number > LARGEST:
        raise PydanticKnownError("less_than_equal", {"le": LARGEST})
    return number


#: A bound of its own, not `le`: pydantic would take it in the place of the narrower `le` of a field.
_NOT_HUGE = AfterValidator(_not_huge)
PositiveInt = Annotated[int, Field(gt=0), _NOT_HUGE]
NotNegativeInt = Annotated[int, Field(ge=0), _NOT_HUGE]
NotNegative = Annotated[float, Field(ge=0.0), _NOT_HUGE]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0), _NOT_HUGE]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]


def _line(text: str) -> str:
    """Text as a table's cell or a figure can show it: line breaks count as spaces,
    and what does not print is refused.
    """
    line = " ".join(text.split())
    if strange := next((letter for letter in line if not letter.isprintable()), None):
        raise PydanticCustomError(
            "line", "it should hold no U+{code}, which does not print", {"code": f"{ord(strange):04X}"}
        )
    return line


def _path(text: str) -> str:
    """A path without line breaks and control characters."""
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise PydanticCustomError("path", "it should be a path, without line breaks and control characters")
    return text


def _not_blank(text: str) -> str:
    if not text:
        raise PydanticCustomError("blank", "it should hold a word")
    return text


def _drawn(label: str) -> str:
    if label.startswith("_"):
        raise PydanticCustomError("label", "it should not begin with _, which figures leave out of their legends")
    return label


#: Words that a page shows, in one line; a field says how many letters at most.
Line = Annotated[str, AfterValidator(_line)]
Words = Annotated[Line, AfterValidator(_not_blank)]
#: The same of what figures show in a legend.
Label = Annotated[Words, AfterValidator(_drawn)]
#: A file or folder of the user's.
PathText = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_path)]


class Options(BaseModel):
    """A group of options: frozen, unknown ones are refused, nothing is infinite.

    Made by keywords, a wrong one raises UserError in one line that names it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UserError(first_line(error)) from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def replace(self, **changes: Any) -> Self:
        """The same options but for some, checked anew."""
        return type(self)(**{**dict(self), **changes})


def first_line(error: ValidationError) -> str:
    """The first mistake as "name is value; what it must be"."""
    first = error.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"])) or "options"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return message if not first["loc"] else f"{name}: {message}"
    if first["type"] == "missing":
        return f"{name} is missing; give it"
    if first["type"] == "extra_forbidden":
        return f"{name} is no option here"
    return f"{name} is {shown(first['input'])}; {in_words(message)}"


def in_words(message: str) -> str:
    """A message of pydantic's in plain words."""
    message = message[:1].lower() + message[1:]
    for theirs, ours in WORDS.items():
        message = message.replace(theirs, ours)
    return message
