"""The images that a selection chooses are those that a build publishes, and so are their masks."""

import dataclasses
from collections import defaultdict
from pathlib import Path

import pytest

from open_images.building import plan
from open_images.building.flags import BuildFlags
from open_images.building.one_choice import ImageChoice
from open_images.progress import Observer
from tests import builds
from tests.conftest import CorpusMaker
from transforms.releases.workspace import workspace

SELECTIONS: dict[str, dict] = {
    "annotations that are dropped": {
        "classes": "list:segmentation",
        "only_matching": True,
        "where": ("boxes.is_group_of != 1", "masks.predicted_iou > 0.8", "masks.area >= 0.02"),
        "match_in": "masks",
    },
    "quotas by classes of labels": {
        "label_types": "masks",
        "match_in": "image_labels,points",
        "max_per_class": 1,
        "seed": 3,
    },
    "labels that aren't carried": {
        "label_types": "narratives",
        "match_in": "boxes,relationships",
        "classes": "Animal+,Mammal+",
        "max_images": 4,
    },
    "few, which are chosen first": {
        "label_types": "boxes,masks",
        "classes": ("Vehicle+", "!Boat+"),
        "max_images": 3,
        "splits": "train",
    },
    "repeated for ancestors": {"label_types": "masks", "expand_hierarchy": True},
    "images by their rows": {"where_images": ("boxes.is_occluded = 0", "images.rotation = 0")},
}


@pytest.fixture(scope="module")
def corpus(make_corpus: CorpusMaker) -> Path:
    return make_corpus("v7", 60)


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
def test_they_are_those_that_are_built(
    corpus: Path, tmp_path: Path, selection: dict, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plan, "BUCKET_BYTES", 1 << 15)
    output = tmp_path / "out"
    flags = BuildFlags(
        annotations=corpus / "annotations",
        images="none",
        output=output,
        num_workers=1,
        format="parquet",
        **selection,
    )
    with workspace(str(tmp_path / "work"), fingerprint="") as (work, _):
        with_folder = dataclasses.replace(flags, work_folder=work)
        chosen = ImageChoice(with_folder, [], Observer()).run()
    done = builds.run_build(*_command_line(flags, selection))
    assert done.returncode == 0, done.stderr
    images, masks = defaultdict(set), defaultdict(set)
    for example in done.version.examples.values():
        images[example["split"]].add(example["image_id"])
        boxes = {(example["image_id"], mask["box_id"]) for mask in example["masks"] or ()}
        masks[example["split"]] |= boxes
    assert {split: ids.to_pylist() for split, ids in chosen.image_ids.items()} == {
        split: sorted(ids) for split, ids in images.items()
    }
    for split, names in chosen.mask_names.items():
        assert names.to_pylist() == sorted(set(names.to_pylist()))
        found = [name.removesuffix(".png").split("_") for name in names.to_pylist()]
        assert {(parts[0], parts[-1]) for parts in found} == masks[split]


def _command_line(flags: BuildFlags, selection: dict) -> list[object]:
    words: list[object] = ["--annotations", *flags.annotations, "--images", "none"]
    words += ["--format", "parquet", "--output", flags.output]
    for name, value in selection.items():
        if value is True:
            words.append(f"--{name}")
        for each in () if value is True else value if isinstance(value, tuple) else (value,):
            words += [f"--{name}", each]
    return words
