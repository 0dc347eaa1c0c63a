"""Names that become a part of a path: none leads elsewhere, and none is a pattern for others."""

from pathlib import Path

import pytest

from regen_lib.core.errors import StudyError
from regen_lib.study.files import bank_file, units_file
from regen_lib.study.stage import Stage
from regen_lib.training.checkpoint import file_name

BAD = ["../x", "..", "/x", "", "*", "?", "[a-z]*", "a/b", "a b", "a\n", "ä", "--help", "a" * 65]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    for folder in ("banks/uaps/net", "units/ours"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "banks/uaps/net/uap.safetensors").touch()
    (tmp_path / "units/ours/net.safetensors").touch()
    assert bank_file(tmp_path, "net", "uap").name == "uap.safetensors"
    assert units_file(tmp_path, "net", "ours").parent.name == "ours"
    for call in (bank_file, units_file):
        for arguments in ((name, "uap"), ("net", name)):
            with pytest.raises(StudyError, match="letters, digits"):
                call(tmp_path, *arguments)
    with pytest.raises(StudyError, match="letters, digits"):
        Stage("01_filter_norms", name, "filter_norms", ())


@pytest.mark.parametrize("name", ["a net", "prn vgg16", "../../x", "/x", "a\0b", "a\nb", "", "..", "\udc80", "中"])
def test_a_training_of_any_name_keeps_its_epochs_in_its_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{file_name(name)}.safetensors"
    assert path.resolve().parent == tmp_path.resolve()
    path.touch()
    assert file_name("a net") == "a-net"
    assert file_name("a/b") != file_name("a-b")
    with pytest.raises(StudyError, match="at most 200"):
        file_name("a" * 201)
