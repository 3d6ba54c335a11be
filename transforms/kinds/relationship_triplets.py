"""Which relationships occur between which classes: `*-relationship-triplets.csv`."""

from transforms.kinds.vocabulary import UnusedKind

RELATIONSHIP_TRIPLETS = UnusedKind(
    name="relationship_triplets",
    matches=lambda names: [*names] == ["LabelName1", "LabelName2", "RelationshipLabel"],
    reason="the list of relationships that occur; examples hold their own",
)
