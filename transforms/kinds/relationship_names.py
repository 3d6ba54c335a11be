"""The list of relationships: `*-relationships-description.csv`, a name and the same name again."""

from transforms.kinds.vocabulary import UnusedKind

RELATIONSHIP_NAMES = UnusedKind(
    name="relationship_names",
    matches=lambda names: len(names) == 2 and names[0] == names[1],
    reason="two equal names a row, as the list of relationships has; examples hold these names "
    "already",
)
