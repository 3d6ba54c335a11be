"""From a text such as `boxes.area >= 0.01` to a condition, and back."""

import math
import re
from collections.abc import Iterable

import pyarrow as pa

from open_images.building.class_names import ClassNames
from open_images.building.named_files import quote_field, split_fields
from open_images.values import did_you_mean
from transforms.errors import UsageError
from transforms.kinds.images import IMAGE_ROW
from transforms.selection.conditions import CORNERS, GEOMETRY, OPERATORS, Condition, is_text
from transforms.selection.label_types import LABEL_TYPES
from transforms.wording import LINE_LENGTH

_CONDITION = re.compile(
    r"\s*(?P<subject>\w+)\s*(?:\.\s*(?P<field>\w+))?\s*"
    r"(?P<operator>[=<>!~]+|not\s+in\b|in\b)\s*(?P<value>.*?)\s*",
    re.DOTALL,
)
#: The start of a condition with a field.
_START = re.compile(r"\s*\w+\s*\.\s*\w+\s+(?P<operator>[^\s\w]+|\w+)\s*\S")
#: Operators of classes, of which a name may mean several.
_EQUAL = {"=": "in", "!=": "not in"}


def parse_condition(flag: str, text: str, names: ClassNames) -> Condition:
    """Returns the condition that a text holds.

    Args:
        flag: its name, for messages.
        text: such as `boxes.area >= 0.01`.
        names: of classes.

    Raises:
        UsageError: It is no condition, or there is no such field.
    """
    place = f"--{flag} {text!r}"
    found = _CONDITION.fullmatch(text)
    if not found:
        if start := _START.match(text):
            raise UsageError(f"{place}: {_no_operator(start['operator'])}")
        raise UsageError(
            f"{place}: not SUBJECT.FIELD OPERATOR VALUE in quotes, as in 'boxes.area >= 0.01'"
        )
    subject, field, value = found["subject"], found["field"] or "", found["value"]
    operator = " ".join(found["operator"].split())
    if operator not in OPERATORS:
        raise UsageError(f"{place}: {_no_operator(operator)}")
    if not value:
        raise UsageError(f"{place}: no value after {operator}: write one, as in 'boxes.area > 0.1'")
    subjects = ("images", *LABEL_TYPES)
    if subject not in subjects:
        owners = [] if field else [each for each in subjects if subject in _field_types(each)]
        meant = " or ".join(f"{each}.{subject}" for each in owners)
        hint = f": did you mean {meant}?" if meant else did_you_mean(subject, subjects)
        raise UsageError(f"{place}: {subject!r} is none of {', '.join(subjects)}{hint}")
    if re.search(rf"\b(and|or)\s+({'|'.join(subjects)})\s*\.", value):
        raise UsageError(
            f"{place}: holds several conditions: give each a --{flag} of its own; all have to hold"
        )
    if not field:
        return _parse_triplet(place, text, subject, operator, value, names)
    types = _field_types(subject)
    if field not in types:
        hint = did_you_mean(field, tuple(types))
        if subject == "images" and field in ("width", "height"):
            hint = " (sizes aren't known before pictures are fetched)"
        raise UsageError(f"{place}: {subject} have no {field}, but {', '.join(types)}{hint}")
    texts = _split_list(place, value) if "in" in operator else [_unquoted(value)]
    if _is_label(subject, field):
        if operator not in ("in", "not in", *_EQUAL):
            raise UsageError(f"{place}: {field} is a class: compare it by =, !=, in or not in")
        mids = dict.fromkeys(mid for each in texts for mid in names.mids(place, each))
        return Condition(subject, field, _EQUAL.get(operator, operator), tuple(mids), text)
    if is_text(types[field]):
        if operator in ("<", "<=", ">", ">="):
            raise UsageError(f"{place}: {field} is text: compare it by =, !=, in, not in, ~ or !~")
        return Condition(subject, field, operator, tuple(texts), text)
    if operator in ("~", "!~"):
        raise UsageError(
            f"{place}: {field} is a number: compare it by =, !=, <, <=, >, >=, in or not in"
        )
    numbers = tuple(_number(place, field, each) for each in texts)
    return Condition(subject, field, operator, numbers, text)


def spell_condition(condition: Condition) -> str:
    """Returns a condition as text that `parse_condition` reads, with MIDs for names of classes.

    Raises:
        UsageError: It is longer than a manifest holds.
    """
    text = condition.text
    if not condition.field:
        first, relations, second = condition.values
        parts = ["|".join(first) or "*", *(relations or ["*"]), "|".join(second) or "*"]
        text = f"{condition.subject} {condition.operator} ({_join_fields(parts)})"
    elif _is_label(condition.subject, condition.field):
        values = _join_fields(condition.values)
        text = f"{condition.subject}.{condition.field} {condition.operator} ({values})"
    if len(text) > LINE_LENGTH:
        raise UsageError(
            f"--where {condition.text[:80]!r}…: is longer than {LINE_LENGTH:,} characters: name "
            "fewer classes, or split it into several conditions"
        )
    return text


def _no_operator(text: str) -> str:
    """Returns the message for a text in place of an operator."""
    return f"{text!r} is no operator: use one of {', '.join(OPERATORS)}"


def _field_types(subject: str) -> dict[str, pa.DataType]:
    """Returns the fields that conditions can be on, and their types."""
    row = IMAGE_ROW if subject == "images" else LABEL_TYPES[subject].kind.row
    types = {each.name: each.type for each in row if not pa.types.is_nested(each.type)}
    if types.keys() >= {*CORNERS}:
        types |= {name: pa.float64() for name in GEOMETRY if name not in types}
    return types


def _is_label(subject: str, field: str) -> bool:
    return subject != "images" and field in LABEL_TYPES[subject].kind.labels


def _parse_triplet(
    place: str, text: str, subject: str, operator: str, value: str, names: ClassNames
) -> Condition:
    parts = _split_list(place, value)
    if subject != "relationships" or operator not in ("=", "!=") or len(parts) != 3:
        raise UsageError(
            f"{place}: name a field, as in 'boxes.area >= 0.01', or a triplet, as in "
            "'relationships = (Man, holds, *)'"
        )
    first, relation, second = parts
    return Condition(
        subject,
        "",
        operator,
        (
            () if first == "*" else names.mids(place, first),
            () if relation == "*" else (relation,),
            () if second == "*" else names.mids(place, second),
        ),
        text,
    )


def _split_list(place: str, text: str) -> list[str]:
    """Returns the values of a list in parentheses."""
    if text.startswith("(") != text.endswith(")"):
        raise UsageError(f"{place}: a bracket is missing: write a list as (A, B)")
    fields = split_fields(place, text[1:-1] if text.startswith("(") else text)
    if not fields or not all(fields):
        raise UsageError(f"{place}: a value is missing: write a list as (A, B)")
    return fields


def _join_fields(fields: Iterable[str]) -> str:
    return ", ".join(map(quote_field, fields))


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _number(place: str, field: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        form = "1 for yes, 0 for no, -1 for unknown" if field.startswith("is_") else "one like 0.05"
        raise UsageError(f"{place}: {text!r} is no number: write {form}")
    return number
