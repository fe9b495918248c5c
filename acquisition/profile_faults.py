"""What is wrong with a hardware profile, in the operator's words.

Pydantic finds all faults at once but tells them to programmers; here each becomes one entry with the key as it stands
in the file, the value found, what is allowed, and what to do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    import tomllib
    from collections.abc import Iterable

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_MISSING = object()


@dataclass(frozen=True)
class Fault:
    """One fault: `key` as in the file (``objective.na``; empty: the file itself), value `found`, what is `allowed`."""

    key: str
    found: str
    allowed: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.key} = {self.found}" if self.key else self.found
        return f"{where}\n      allowed: {self.allowed}\n      remedy:  {self.remedy}"


class ProfileError(OperatorError):
    """A hardware profile cannot be used; `faults` are all that were found in the file `origin`."""

    def __init__(self, origin: str, faults: Sequence[Fault]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        listed = "\n".join(f"  {number}. {fault}" for number, fault in enumerate(faults, 1))
        super().__init__(f"Hardware profile {origin}: {count}\n{listed}", f"Correct {origin} and load it again.")
        self.origin = origin
        self.faults = tuple(faults)

    def __reduce__(self) -> tuple[type[ProfileError], tuple[str, tuple[Fault, ...]]]:  # type: ignore[override]
        return type(self), (self.origin, self.faults)


def broken_rule(allowed: str, remedy: str = "", key: str = "") -> PydanticCustomError:
    """Make the error a model's own check raises; `key` is the key below the checked one that is wrong."""
    return PydanticCustomError("broken_rule", "{allowed}", {"allowed": allowed, "remedy": remedy, "key": key})


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, None if none is near."""
    return next(iter(difflib.get_close_matches(word, list(known), 1)), None)


def syntax_fault(error: tomllib.TOMLDecodeError, text: str) -> Fault:
    """Tell where the text stops being TOML."""
    place = re.search(r"at line (\d+), column (\d+)", str(error))
    lines = text.splitlines()
    line = int(place[1]) if place else len(lines)
    shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    reason = str(error).split(" (at ")[0].lower()
    return Fault(
        key="",
        found=f"line {line}: {shown or '(end of the file)'}",
        allowed="TOML: [table], key = value, text in quotes",
        remedy=f"correct line {line} or the one before it ({reason})",
    )


def faults_of(error: ValidationError, model: type[BaseModel], data: Mapping[str, Any]) -> list[Fault]:
    """Translate all faults of one validation of `data` by `model`."""
    return [_fault(detail, model, data) for detail in error.errors(include_url=False)]


def _fault(detail: ErrorDetails, model: type[BaseModel], data: Mapping[str, Any]) -> Fault:
    context = detail.get("ctx", {})
    location = [*detail["loc"], *([context["key"]] if context.get("key") else [])]
    if detail["type"].startswith("union_tag"):
        location.append("kind")
    keys, value, table, field = _look_up(location, model, data)
    description = field.description if field is not None else None
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in keys).lstrip(".")
    found = "(missing)" if value is _MISSING else _shorten(value)
    if detail["type"] == "extra_forbidden":
        near = nearest(str(keys[-1]), table)
        remedy = f"did you mean {near}?" if near else "take the key out"
        return Fault(key, found, f"the keys {', '.join(table)}", remedy)
    allowed = _allowed(detail["type"], context, detail["msg"])
    if detail["type"] in _LIMIT_WORDS and field is not None and not isinstance(keys[-1], int):
        allowed = _limits(field) or allowed  # both ends, not the broken one alone
    remedy = context.get("remedy") or f"{'add' if value is _MISSING else 'correct'} {key}"
    if isinstance(value, str) and (near := nearest(value, re.findall(r"'([^']+)'", allowed))):
        remedy = f"did you mean '{near}'?"
    return Fault(key, found, allowed, f"{remedy} ({description})" if description else remedy)


def _allowed(kind: str, context: Mapping[str, Any], message: str) -> str:
    """Say what may stand there; pydantic's own words where they are plain enough."""
    match kind:
        case "broken_rule":
            return str(context["allowed"])
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            limit, words = _LIMIT_WORDS[kind]
            return f"{words} {context[limit]:g}"
        case "literal_error":
            return f"one of {context['expected']}"
        case "union_tag_invalid" | "union_tag_not_found":
            return f"one of {context.get('expected_tags', _GEOMETRIES)}"
        case "missing":
            return "a value: this key is needed"
        case "float_type" | "float_parsing" | "finite_number":
            return "a finite number, without quotes"
        case "int_type" | "int_parsing" | "int_from_float":
            return "a whole number, without quotes"
        case "string_type":
            return "text in quotes"
        case "string_too_short":
            return "text that is not empty"
        case "bool_type":
            return "true or false"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "a table of keys"
        case "tuple_type" | "missing_argument" | "too_long" | "too_short":
            return f"a list in brackets ({message.lower()})"
    return message


_GEOMETRIES = "'grid', 'ring', 'list', 'board'"

_LIMIT_WORDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _limits(field: FieldInfo) -> str:
    """Say all limits of a number's field."""
    return " and ".join(
        f"{words} {getattr(constraint, limit):g}"
        for limit, words in _LIMIT_WORDS.values()
        for constraint in field.metadata
        if hasattr(constraint, limit)
    )


def _look_up(
    location: Sequence[str | int], model: type[BaseModel], data: Mapping[str, Any]
) -> tuple[list[str | int], Any, list[str], FieldInfo | None]:
    """Follow a location through file and models.

    Returns the keys as they stand in the file (pydantic adds the chosen kind of a union, which is none), the value
    there, the keys known in its table, and its field (None: the model has none there).
    """
    keys: list[str | int] = []
    value: Any = data
    models: list[type[BaseModel]] = [model]
    table: list[str] = []
    field: FieldInfo | None = None
    for part in location:
        chosen = [m for m in models if isinstance(part, str) and "kind" in m.model_fields and part in _kinds(m)]
        if chosen and len(models) > 1:
            models = chosen
            continue
        keys.append(part)
        if isinstance(part, int):
            value = value[part] if isinstance(value, Sequence) and part < len(value) else _MISSING
            continue
        value = value.get(part, _MISSING) if isinstance(value, Mapping) else _MISSING
        table = [name for m in models for name in m.model_fields]
        found = [m.model_fields[part] for m in models if part in m.model_fields]
        if found:
            field = found[0]
            models = _models_in(field.annotation)
    return keys, value, table, field


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(model.model_fields["kind"].annotation)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every model that an annotation names, through unions, tuples and optional parts."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _shorten(value: Any) -> str:
    text = "{...}" if isinstance(value, Mapping) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
