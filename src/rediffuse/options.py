"""Options: the same classes for the keys of a study and for the library, declared once, with bounds and meanings."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rediffuse.errors import UserError

#: No count of anything here is larger: a mistake of typing is found before it becomes a wait or a full memory.
LARGEST = 10**12
#: What pydantic says, and what a user would say.
WORDS = {
    "input should": "it should",
    "tuple": "the list",
    "dictionary": "the mapping",
    " after validation": "",
    "be a valid object": "be a mapping of keys",
    "be an object": "be a mapping of keys",
}
PositiveInt = Annotated[int, Field(gt=0, le=LARGEST)]
NotNegativeInt = Annotated[int, Field(ge=0, le=LARGEST)]
NotNegative = Annotated[float, Field(ge=0.0, le=1e12)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0, le=1e12)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]


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
    return f"{name} is {first['input']!r}; {in_words(message)}"


def in_words(message: str) -> str:
    """A message of pydantic's in plain words."""
    message = message[:1].lower() + message[1:]
    for theirs, ours in WORDS.items():
        message = message.replace(theirs, ours)
    return message
