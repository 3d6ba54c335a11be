"""Classes are found by what people call them."""

from pathlib import Path

import pytest

from open_images.building.class_names import ClassNames
from transforms.dataset.classes import ClassFile, build_classes
from transforms.errors import UsageError
from transforms.kinds.class_list import CLASS_LIST
from transforms.kinds.classes import CLASSES
from transforms.kinds.hierarchy import HIERARCHY

FILES = {
    "a/oidv7-class-descriptions.csv": (
        'LabelName,DisplayName\n/m/01,Cat\n/m/02,Dog\n/m/03,Boat\n/m/04,"Meal, ready-to-eat"\n'
        "/m/05,Bat\n/m/06,Bat\n/m/07,Vehicle\n/m/08,Polar bear\n/m/09,Ship\n/m/0a,Go\n"
        "/m/0b,Caf\xe9\n"
    ),
    "a/class-descriptions-boxable.csv": "/m/02,Dog\n/m/01,Cat\n",
    "v3/classes-trainable.txt": "/m/05\n/m/01\n",
    "v3/classes-bbox.txt": "/m/01\n",
    "v3/classes-bbox-trainable.txt": "/m/08\n",
    "v3/classes.txt": "/m/01\n/m/02\n/m/03\n",
    "a/challenge-2019-classes-description-500.csv": "/m/03,Boat,1\n",
    "a/bbox_labels_600_hierarchy.json": (
        '{"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/02"}, {"LabelName": "/m/07",'
        ' "Subcategory": [{"LabelName": "/m/03", "Subcategory": [{"LabelName": "/m/09"}]}]}]}'
    ),
}


@pytest.fixture(scope="module")
def names() -> ClassNames:
    kinds = {"csv": CLASSES, "txt": CLASS_LIST, "json": HIERARCHY}
    files = []
    for path, text in FILES.items():
        kind = kinds[path.rpartition(".")[2]]
        files.append(ClassFile(kind.rank, path, kind.read(text.encode(), path).good))
    return ClassNames(build_classes(files, ()), files)


@pytest.mark.parametrize(
    ("texts", "terms"),
    [
        (["cat"], [["/m/01"]]),
        (["DOG, Cat"], [["/m/02"], ["/m/01"]]),
        (["polar_bear", "Polar-Bear"], [["/m/08"]]),
        (["bat"], [["/m/05", "/m/06"]]),
        (["CAFE\u0301"], [["/m/0b"]]),  # as other systems write the same letter
        (["Cat,\nDog\n"], [["/m/01"], ["/m/02"]]),  # in TOML
        (["Cat | dog"], [["/m/01", "/m/02"]]),
        (["Vehicle+"], [["/m/07", "/m/03", "/m/09"]]),
        (["Boat+|Cat,Dog"], [["/m/03", "/m/09", "/m/01"], ["/m/02"]]),
        (["Vehicle+", "!Boat"], [["/m/07", "/m/09"]]),
        (["Vehicle+,! Boat+"], [["/m/07"]]),
        (['Cat, "meal, ready to eat"'], [["/m/01"], ["/m/04"]]),
        (["Meal, Ready-to-eat", "Cat"], [["/m/04"], ["/m/01"]]),
        (["list:boxable"], [["/m/02"], ["/m/01"]]),
        (["list:boxable,!Cat"], [["/m/02"]]),
        (["list:trainable"], [["/m/05"], ["/m/01"]]),
        (["list:bbox"], [["/m/01"]]),
        (["list:bbox-trainable"], [["/m/08"]]),
        (["list:500"], [["/m/03"]]),
        (["list:classes"], [["/m/01"], ["/m/02"], ["/m/03"]]),
    ],
)
def test_terms(names: ClassNames, texts: list[str], terms: list[list[str]]):
    assert [list(term) for term in names.terms(texts)] == terms


def test_a_file_of_classes(names: ClassNames, tmp_path: Path):
    path = tmp_path / "classes.txt"
    path.write_text('Vehicle+\n\n"Meal, ready-to-eat"\n!Boat\nlist:boxable\n')
    assert names.terms([f"@{path}"]) == (("/m/07", "/m/09"), ("/m/04",), ("/m/02",), ("/m/01",))
    path.write_text("Dog\r\nCat\r\n")
    assert names.terms(["Cat", "Dog", "Go", f"!@{path}"]) == (("/m/0a",),)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("Dgo", "Dog, Go, Bat"),
        ("vehicel", "Vehicle"),
        ("kat", "Bat, Cat, Boat"),
        ("Meal", '"Meal, ready-to-eat"'),
        ("bear", "Polar bear"),
    ],
)
def test_the_nearest_names(names: ClassNames, text: str, nearest: str):
    with pytest.raises(UsageError, match=f"the nearest are {nearest}"):
        names.terms([text])


def test_any_mid_is_a_class_without_class_files():
    assert ClassNames([]).terms(["/m/01,/m/02"]) == (("/m/01",), ("/m/02",))
