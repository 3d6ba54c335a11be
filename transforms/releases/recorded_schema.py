"""The schemas that a version records, by which it is judged, not by what this release writes."""

from collections.abc import Mapping

from transforms.dataset.schema import MAP_COLUMNS
from transforms.formats.registry import find_format
from transforms.kinds.registry import example_columns
from transforms.releases.manifest import Manifest

#: By format, what `Format.schema` returns.
Schemas = Mapping[str, Mapping[str, str]]


def recorded_schemas(manifest: Manifest) -> Schemas:
    """Returns what a version says its examples consist of, or what this release writes."""
    if manifest.schemas is not None:
        return manifest.schemas
    maps = {f"{name}_map" for name in manifest.config.get("mask_maps", ())}
    columns = example_columns(
        with_image=manifest.with_pictures, maps=[name for name in MAP_COLUMNS if name in maps]
    )
    return {form: find_format(form).schema(columns) for form in manifest.formats}


def shared_columns(schemas: Schemas) -> tuple[str, ...]:
    """Returns the columns that all these formats have, by which they are compared."""
    first, *others = map(column_names, schemas.values())
    return tuple(name for name in first if all(name in names for names in others))


def column_names(schema: Mapping[str, str]) -> list[str]:
    """Returns the columns of examples, of which a recorded schema may have several features."""
    return [*dict.fromkeys(key.partition("/")[0] for key in schema)]
