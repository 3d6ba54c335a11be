"""Mistakes in a selection: one line that names flag, file and line, with a remedy; exit code 2.

Where a selection leaves no image, the line says what emptied it, and the exit code is 1.
"""

import contextlib
import gzip
import io
import json
from pathlib import Path

import pytest

from open_images.building.examine import examine
from open_images.building.flags import DoctorFlags
from open_images.building.plan import make_plan
from pipelines.cli import build_flags
from tests.builds import run_build
from transforms.errors import UsageError

FILES: dict[str, str | bytes] = {
    "in/train-images-with-rotation.csv": (
        "ImageID,Subset,OriginalURL,License,Rotation\n"
        "000000000000000a,train,http://x/a.jpg,http://l/by/2.0/,0\n"
        "000000000000000b,train,http://x/b.jpg,http://l/by/2.0/,90\n"
    ),
    "in/train-annotations-bbox.csv": (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf\n"
        "000000000000000a,xclick,/m/01,1,0,0.5,0,0.5,0\n"
        "000000000000000b,xclick,/m/02,1,0,0.1,0,0.1,1\n"
    ),
    "in/train-vrd.csv": (
        "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,"
        "RelationshipLabel\n000000000000000a,/m/01,/m/02,0,1,0,1,0,1,0,1,holds\n"
    ),
    "in/train-localized-narratives.jsonl": (
        '{"dataset_id": "open_images", "image_id": "000000000000000a", "caption": "A cat."}\n'
    ),
    "in/class-descriptions.csv": (
        '/m/01,Cat\n/m/02,Dog\n/m/03,Boat\n/m/04,"Meal, ready-to-eat"\n/m/05,Bat\n/m/06,Bat\n'
        "/m/07,Vehicle\n"
    ),
    "in/class-descriptions-boxable.csv": "/m/02,Dog\n/m/01,Cat\n",
    "in/classes-trainable.txt": "/m/01\n/m/02\n",
    "in/hierarchy.json": '{"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/07"}]}',
    "bare/train-boxes.csv": (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n000000000000000a,x,/m/01,1,0,1,0,1\n"
    ),
    "human/train-human-imagelabels.csv": (
        "ImageID,Source,LabelName,Confidence\n000000000000000a,verification,/m/01,1\n"
    ),
    "classes.txt": "Cat\n\nDgo\n",
    "nested.txt": "@classes.txt\n",
    "empty.txt": "\n",
    "latin.txt": "Caf\xe9\n".encode("latin-1"),
    "broken.gz": gzip.compress(b"Cat\n" * 99)[:-12],
    "ids.txt": "train/000000000000000a\n\nvalidation/00000000b\n",
    "ids.csv": "Image,Split\n000000000000000a,train\n",
    "short.csv": "Split,ImageID\ntrain,000000000000000a\ntrain\n",
    "ids.json": '["000000000000000a", "cat.jpg"]',
    "map.json": '{"000000000000000a": 1}',
    "broken.json": '["000000000000000a"',
    "absent.txt": "00000000000000ff\n",
    "no.toml": "classes = ['Cat'\nseed = 1\n",
    "unknown.toml": "classes = ['Cat']\n\nmatsch = 'all'\n",
    "typed.toml": "classes = ['Cat']\nmax_images = 0\n",
    "null.toml": 'classes = "@a\\u0000b"\n',
    "number.toml": "\nwhere = 3\n",
    "dog.toml": "classes = '@classes.txt'\n",
    "all.json": json.dumps(
        {"manifest_version": 2, "version": "v", "config": {}, "splits": {}, "sources": []}
        | {"failures": {}}
    ),
    "other.json": '{"classes": ["Cat"]}',
    "twice.txt": "Cat\nDog\n/m/01\n",
    "bats.txt": "Cat\nBat\n",
    "gap.pbtxt": "item { name: '/m/01' id: 1 }\nitem {\n  name: '/m/02'\n  id: 3\n}\n",
    "half.pbtxt": "item { name: '/m/01' id: 1 }\nitem { name: '/m/02'\n",
    "noid.pbtxt": "item { name: '/m/01' }\n",
    "long.csv": f"Cat,{'1' * 5000}\nDog,2\n",
    "long.json": f"[{'1' * 5000}]",
    "long.toml": f"max_images = {'1' * 5000}\n",
    "zero.csv": "index,name\n0,Cat\n1,Dog\n",
    "map.csv": "/m/01,Cat\n/m/99,Cow\n",
}

#: The flags of a mistake, and what the line must hold. `{}` is the folder of the files.
MISTAKES: dict[str, tuple[list[str], list[str]]] = {
    "a class that isn't there": (
        ["--classes", "Dgo"],
        ["--classes: there is no class 'Dgo': the nearest are Dog, Bat, Cat"],
    ),
    "a class that isn't there, with others": (
        ["--classes", "Cat, Veicle+"],
        ["no class 'Veicle': the nearest are Vehicle"],
    ),
    "a name with a comma, among others and not quoted": (
        ["--classes", "Cat,Meal, ready-to-eat"],
        ["no class 'Meal'", 'the nearest are "Meal, ready-to-eat"'],
    ),
    "a class in no file": (
        ["--classes", "/m/0zz"],
        ["--classes: no class file has /m/0zz", "--annotations"],
    ),
    "a name where no file has names": (
        ["--annotations", "{}/bare", "--classes", "Cat"],
        ["--classes: 'Cat': no class has a name", "*-class-descriptions*.csv", "or name MIDs"],
    ),
    "classes to leave out alone": (
        ["--classes", "!Cat"],
        ["--classes: no class is left: name some"],
    ),
    "all classes left out again": (["--classes", "Cat,!Cat"], ["--classes: no class is left"]),
    "an alternative that isn't there": (["--classes", "Cat|Dgo"], ["no class 'Dgo'"]),
    "a list that isn't there": (
        ["--classes", "list:trainble"],
        ["--classes list:trainble", "there are: boxable, class-descriptions, trainable"],
    ),
    "a file of classes with an unknown one": (
        ["--classes", "@{}/classes.txt"],
        ["--classes: ", "/classes.txt, line 3: there is no class 'Dgo': the nearest are Dog"],
    ),
    "a file of classes that isn't there": (
        ["--classes", "@{}/none.txt"],
        ["--classes: ", "/none.txt: no such file: check the path"],
    ),
    "a file of classes that names another": (
        ["--classes", "@{}/nested.txt"],
        ["/nested.txt, line 1", "name @classes.txt by --classes"],
    ),
    "a file of no classes": (
        ["--classes", "@{}/empty.txt"],
        ["/empty.txt is empty: write a class into each line"],
    ),
    "a file of classes that isn't UTF-8": (
        ["--classes", "@{}/latin.txt"],
        ["/latin.txt isn't text in UTF-8: save it as such"],
    ),
    "a file of classes that is broken": (
        ["--classes", "@{}/broken.gz"],
        ["/broken.gz is broken gzip: download it again"],
    ),
    "a folder in place of a file": (["--classes", "@{}/in"], ["/in is a folder: name a file"]),
    "a label type as FiftyOne calls it": (
        ["--label_types", "detections"],
        ["'detections' is none of", "did you mean boxes?"],
    ),
    "a label type that is none": (
        ["--label_types", "box"],
        ["--label_types: 'box' is none of", "did you mean boxes?"],
    ),
    "a label type without a file": (
        ["--label_types", "boxes,masks"],
        ["--label_types: no file of masks is there", "--annotations", "leave masks out"],
    ),
    "labels by machines without a file": (
        ["--annotations", "{}/human", "--label_types", "machine_labels"],
        ["--label_types: no file of machine_labels is there", "leave machine_labels out"],
    ),
    "a condition on annotations without a file": (
        ["--where", "masks.area > 0.1"],
        ["--where 'masks.area > 0.1': no file of masks is there", "leave the condition out"],
    ),
    "a condition on images by annotations without a file": (
        ["--label_types", "boxes", "--where_images", "masks.area > 0.1"],
        ["--where_images 'masks.area > 0.1': no file of masks is there"],
    ),
    "classes among annotations without a file": (
        ["--classes", "Cat", "--match_in", "points"],
        ["--match_in: no file of points is there"],
    ),
    "classes among annotations that have none": (
        ["--classes", "Cat", "--match_in", "narratives"],
        ["--match_in narratives: narratives have no class to look for", "boxes"],
    ),
    "classes of narratives alone": (
        ["--classes", "Cat", "--label_types", "narratives"],
        ["--label_types narratives: ", "by --match_in"],
    ),
    "a place to look for no classes": (
        ["--match_in", "boxes"],
        ["--match_in needs --classes or --max_per_class"],
    ),
    "all of no classes": (["--match", "all"], ["--match all needs --classes"]),
    "a match that is none": (
        ["--classes", "Cat", "--match", "every"],
        ["--match", "'every'", "choose from any, all"],
    ),
    "only annotations of no classes": (["--only_matching"], ["--only_matching needs --classes"]),
    "a seed of nothing": (["--seed", "3"], ["--seed needs --sample_fraction, --max_images or"]),
    "a quota of 0": (["--max_images", "0"], ["--max_images: '0' is not a positive number"]),
    "a quota a class of 0": (["--max_per_class", "0"], ["--max_per_class: '0'"]),
    "a fraction above 1": (
        ["--sample_fraction", "1.5"],
        ["--sample_fraction: '1.5' is not a fraction between 0 and 1"],
    ),
    "a fraction of 0": (["--sample_fraction", "0"], ["--sample_fraction: 0 leaves nothing"]),
    "a hierarchy that isn't there": (
        ["--annotations", "{}/bare", "--expand_hierarchy"],
        ["--expand_hierarchy: no hierarchy is there: add bbox_labels_600_hierarchy.json"],
    ),
    "a condition that is none": (
        ["--where", "boxes"],
        ["--where 'boxes': not SUBJECT.FIELD OPERATOR VALUE in quotes, as in 'boxes.area >= 0.01'"],
    ),
    "a condition on a column that isn't there": (
        ["--where", "boxes.is_group != 1"],
        ["boxes have no is_group, but", "did you mean is_group_of?"],
    ),
    "a condition on nothing that there is": (
        ["--where", "box.area > 0"],
        ["'box' is none of images, ", "did you mean boxes?"],
    ),
    "a condition without its label type": (
        ["--where", "is_group_of != 1"],
        ["'is_group_of' is none of", "did you mean boxes.is_group_of or person_boxes.is_group_of?"],
    ),
    "two conditions in one": (
        ["--where", "boxes.area > 0.1 and boxes.is_group_of != 1"],
        ["holds several conditions: give each a --where of its own"],
    ),
    "a condition on sizes": (
        ["--where", "images.width >= 640"],
        ["images have no width", "sizes aren't known before pictures are fetched"],
    ),
    "an unknown operator": (
        ["--where", "boxes.source == xclick"],
        ["'==' is no operator: use one of =, !="],
    ),
    "an operator that is a word": (
        ["--where", "boxes.source like xclick"],
        ["'like' is no operator: use one of =, !="],
    ),
    "a condition without a value": (["--where", "boxes.area >="], ["no value after >="]),
    "a number that is none": (
        ["--where", "boxes.area > big"],
        ["'big' is no number: write one like 0.05"],
    ),
    "a flag of a box that is a word": (
        ["--where", "boxes.is_group_of = true"],
        ["'true' is no number: write 1 for yes, 0 for no, -1 for unknown"],
    ),
    "an order of texts": (
        ["--where", "boxes.source > x"],
        ["source is text: compare it by =, !=, in, not in, ~ or !~"],
    ),
    "a pattern of numbers": (["--where", "boxes.area ~ 1"], ["area is a number: compare it by ="]),
    "an order of classes": (
        ["--where", "boxes.label >= Cat"],
        ["label is a class: compare it by =, !=, in or not in"],
    ),
    "a list without its end": (["--where", "boxes.source in (x"], ["a bracket is missing"]),
    "a list of nothing": (["--where", "boxes.source in ()"], ["a value is missing"]),
    "a condition on a class that isn't there": (
        ["--where_images", "boxes.label != Dgo"],
        ["--where_images 'boxes.label != Dgo': there is no class 'Dgo': the nearest are Dog"],
    ),
    "a triplet of a class that isn't there": (
        ["--where", "relationships = (Cet, holds, *)"],
        ["--where 'relationships = (Cet, holds, *)': there is no class 'Cet'", "Cat"],
    ),
    "a triplet of two": (
        ["--where", "relationships = (Cat, holds)"],
        ["a triplet, as in 'relationships = (Man, holds, *)'"],
    ),
    "an image that is none": (
        ["--image_ids", "cat"],
        ["--image_ids: 'cat' is neither a file nor an ImageID of 16 hex digits"],
    ),
    "images in one flag": (
        ["--image_ids", "00000000000000aa,00000000000000bb"],
        ["is neither a file nor an ImageID", "repeat the flag for each"],
    ),
    "an image whose ID isn't UTF-8": (
        ["--image_ids", "caf\udce9"],
        ["--image_ids: 'caf", "is neither a file nor an ImageID"],
    ),
    "a file whose path is none": (
        ["--selection", "{}/null.toml"],
        ["--classes: ", "a\\x00b' is no path: check it"],
    ),
    "a list of images with another line": (
        ["--image_ids", "{}/ids.txt"],
        ["--image_ids: ", "/ids.txt, line 3: 'validation/00000000b' isn't an ImageID"],
    ),
    "a CSV without ImageIDs": (
        ["--image_ids", "{}/ids.csv"],
        ["/ids.csv, line 1: the header has no column ImageID"],
    ),
    "a CSV whose line is short": (
        ["--image_ids", "{}/short.csv"],
        ["/short.csv, line 3: lacks the column ImageID"],
    ),
    "a JSON list of something else": (
        ["--image_ids", "{}/ids.json"],
        ["/ids.json, entry 2: 'cat.jpg' isn't an ImageID"],
    ),
    "JSON that is no list": (["--image_ids", "{}/map.json"], ["holds no JSON list"]),
    "JSON that is none": (["--image_ids", "{}/broken.json"], ["/broken.json is no JSON", "line 1"]),
    "a list of no images": (["--image_ids", "{}/empty.txt"], ["/empty.txt lists no image"]),
    "a selection that isn't there": (
        ["--selection", "{}/none.toml"],
        ["--selection: ", "/none.toml: no such file: check the path"],
    ),
    "a selection that is no TOML": (
        ["--selection", "{}/no.toml"],
        ["/no.toml is no TOML: ", "line 2", "write FLAG = VALUE lines"],
    ),
    "a selection with an unknown flag": (
        ["--selection", "{}/unknown.toml"],
        ["/unknown.toml, line 3: 'matsch' is no flag of a selection: did you mean match?"],
    ),
    "a selection with a wrong value": (
        ["--selection", "{}/typed.toml"],
        ["/typed.toml, line 2: max_images: '0' is not a positive number"],
    ),
    "a selection with a value of another type": (
        ["--selection", "{}/number.toml"],
        ["/number.toml, line 2: where: 3 is of the wrong type"],
    ),
    "a selection whose file of classes has an unknown one": (
        ["--selection", "{}/dog.toml"],
        ["--classes: ", "/classes.txt, line 3: there is no class 'Dgo'"],
    ),
    "a version of everything": (
        ["--selection", "{}/all.json"],
        ["/all.json: that version was built without a selection: leave --selection out"],
    ),
    "JSON that is no manifest": (
        ["--selection", "{}/other.json"],
        ["/other.json: ", "name a TOML file, or the manifest.json of a version"],
    ),
    "numbers from two places": (
        ["--classes_from", "boxable", "--label_map", "{}/map.csv"],
        ["--classes_from and --label_map exclude each other"],
    ),
    "numbers of a list that isn't there": (
        ["--classes_from", "segmentation"],
        ["--classes_from segmentation: no class file is called so", "boxable"],
    ),
    "numbers of no classes": (
        ["--classes_from", "selected"],
        ["--classes_from selected needs --classes"],
    ),
    "a label map that isn't there": (["--label_map", "{}/no.csv"], ["--label_map", "no such file"]),
    "a label map with a class in no file": (
        ["--label_map", "{}/map.csv"],
        ["/map.csv, line 2: no class file has /m/99"],
    ),
    "a label map with a repeat": (
        ["--label_map", "{}/twice.txt"],
        ["/twice.txt, line 3: Cat (/m/01) is there before (line 1): drop one"],
    ),
    "a label map with a name of two classes": (
        ["--label_map", "{}/bats.txt"],
        ["/bats.txt, line 2: 'Bat' is 2 classes (/m/05, /m/06): name one by its MID"],
    ),
    "a label map with a gap": (
        ["--label_map", "{}/gap.pbtxt"],
        ["/gap.pbtxt, line 2: its number is 3, and 2 is due"],
    ),
    "a label map cut short": (
        ["--label_map", "{}/half.pbtxt"],
        ["/half.pbtxt, line 2", "is no whole item"],
    ),
    "a label map without numbers": (
        ["--label_map", "{}/noid.pbtxt"],
        ["line 1: the item has no id"],
    ),
    "a label map from 0": (
        ["--label_map", "{}/zero.csv"],
        ["/zero.csv, line 2: its number is 0, and 1 is due: number classes from 1"],
    ),
    "a label map with a number of too many digits": (
        ["--label_map", "{}/long.csv"],
        ["/long.csv, line 1: its number has 5,000 digits: number classes from 1"],
    ),
    "a JSON label map with a number of too many digits": (
        ["--label_map", "{}/long.json"],
        ["/long.json is no JSON: ", "digits"],
    ),
    "a JSON list with a number of too many digits": (
        ["--image_ids", "{}/long.json"],
        ["/long.json is no JSON: ", "digits"],
    ),
    "a selection with a number of too many digits": (
        ["--selection", "{}/long.toml"],
        ["/long.toml is no TOML: ", "digits"],
    ),
    "a label map of nothing": (["--label_map", "{}/empty.txt"], ["/empty.txt has no class"]),
}

#: Flags that leave no image, and what the line must hold.
EMPTY: dict[str, tuple[list[str], list[str]]] = {
    "a class that no image shows": (
        ["--classes", "Boat"],
        ["none is left by --classes", "name others"],
    ),
    "conditions on annotations": (
        ["--classes", "Dog", "--where", "boxes.area >= 0.9", "--match_in", "boxes"],
        ["none is left by --classes: name others, or mind --match_in, --where"],
    ),
    "a condition on images": (
        ["--where", "images.rotation = 0", "--where", "images.license ~ by-nc"],
        ["none is left by --where 'images.license ~ by-nc': loosen it"],
    ),
    "images that aren't there": (
        ["--image_ids", "{}/absent.txt"],
        ["the inputs have none of --image_ids: check the list"],
    ),
    "a sample of a split that isn't there": (
        ["--sample_fraction", "0.9", "--splits", "test"],
        ["none is left by --sample_fraction 0.9: ", "--seed, and mind --splits"],
    ),
    "a small sample": (
        ["--sample_fraction", "0.0001"],
        ["none is left by --sample_fraction 0.0001: raise it, or choose another --seed"],
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of inputs in `in`, and of wrong files."""
    folder = tmp_path_factory.mktemp("mistakes")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def arguments(folder: Path, output: Path, flags: list[str]) -> list[str]:
    given = [flag.replace("{}", str(folder)) for flag in flags]
    if "--annotations" not in given:
        given += ["--annotations", str(folder / "in")]
    return [*given, "--images", "none", "--output", str(output)]


def complaint(given: list[str]) -> str:
    """What is said of these arguments, by the parser or the plan, before anything is done."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            flags, _ = build_flags.parse(given)
    except SystemExit as ended:
        assert ended.code == 2
        return said.getvalue().removesuffix("\n")
    with pytest.raises(UsageError) as raised:
        make_plan(flags)
    return str(raised.value)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_one_line(folder: Path, tmp_path: Path, name: str):
    flags, wanted = MISTAKES[name]
    line = complaint(arguments(folder, tmp_path / "out", flags))
    assert "\n" not in line
    assert str(folder) not in line or "{}" in "".join(flags)
    for part in wanted:
        assert part in line, line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a class that isn't there", "a quota of 0"])
def test_the_program_ends_with_2(folder: Path, tmp_path: Path, name: str):
    flags, wanted = MISTAKES[name]
    built = run_build(*arguments(folder, tmp_path / "out", flags))
    assert (built.returncode, built.stdout) == (2, "")
    (line,) = built.stderr.splitlines()
    assert line.startswith("python -m pipelines.build: error: ")
    assert wanted[0] in line


def test_the_doctor_tells_a_mistake(folder: Path):
    flags = DoctorFlags(annotations=[folder / "in"], images=["none"], classes=["Dgo"])
    found = next(each for each in examine(flags, []) if each.text.startswith("inputs: "))
    assert found.mark == "fix"
    assert "there is no class 'Dgo': the nearest are Dog" in found.text


@pytest.mark.parametrize("name", EMPTY)
def test_what_emptied_a_selection_is_told(folder: Path, tmp_path: Path, name: str):
    flags, wanted = EMPTY[name]
    built = run_build(*arguments(folder, tmp_path / "out", flags))
    assert built.returncode == 1
    (line,) = built.stderr.splitlines()
    assert "no images to publish" in line
    for part in wanted:
        assert part in line, line
