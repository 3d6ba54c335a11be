"""Flags of single formats: they count where their format is written."""

import dataclasses
from pathlib import Path

import pytest

from open_images.building.format_flags import FormatFlags
from open_images.building.plan import make_plan
from pipelines.cli import build_flags
from transforms.formats.registry import FORMATS
from transforms.formats.settings import FORMAT_OF_SETTING


@pytest.mark.parametrize("form", ["parquet", "webdataset", "tfds_v4", "openimages"])
def test_versions_are_the_same_whatever_flags_other_formats_have(form: str, tmp_path: Path):
    """Else each new flag would have all versions of the release before built anew."""
    path = tmp_path / "train-labels.csv"
    path.write_text("ImageID,Source,LabelName,Confidence\n000000000000000a,verification,/m/01,1\n")
    flags, _ = build_flags.parse(
        ["--annotations", f"{path}", "--images=none", f"--output={tmp_path}", f"--format={form}"]
    )
    assert not {field.name for field in dataclasses.fields(FormatFlags)} & {*make_plan(flags).flags}


def test_each_flag_is_of_one_format():
    names = [field.name for field in dataclasses.fields(FormatFlags)]
    assert sorted(FORMAT_OF_SETTING) == sorted(names)
    assert {*FORMAT_OF_SETTING.values()} <= {*FORMATS}
