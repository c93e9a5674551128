"""class_indices.json, written, read, and refused."""

import json

import pytest

from course_utils.data.class_indices import read_class_indices, write_class_indices

NAMES = ("daisy", "roses", "Gänseblümchen", "hard-leaved pocket orchid")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "class_indices.json"


def test_written_as_tutorials_write_it(path):
    write_class_indices(path, ["daisy", "roses"])
    assert path.read_text() == '{\n    "0": "daisy",\n    "1": "roses"\n}'
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("classes", [NAMES, [f"class {k}" for k in range(102)]])
def test_read_back_and_written_again_it_is_the_same(path, classes):
    write_class_indices(path, classes)
    before = path.read_bytes()
    assert read_class_indices(path) == tuple(classes)
    write_class_indices(path, read_class_indices(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_lines_in_another_order_and_from_another_editor(path, encoding):
    path.parent.mkdir()
    text = json.dumps({"2": "tulips", "0": "Nelke ü", "1": "roses"}, ensure_ascii=False)
    path.write_text(text, encoding)
    assert read_class_indices(path) == ("Nelke ü", "roses", "tulips")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"0": "daisy", "2": "roses"}', r"keys .* are '0', '2'; expected '0' to '1'"),
        ('{"1": "daisy", "2": "roses"}', "expected '0' to '1', each once"),
        ('{"daisy": "0", "roses": "1"}', "are 'daisy', 'roses'"),
        ('{"0": "daisy", "00": "roses"}', "are '0', '00'"),
        ('{"0": "daisy", "1": "roses", "1": "tulips"}', "are '0', '1', '1'"),
        ('{"-1": "daisy", "0": "roses"}', "are '-1', '0'"),
        ('{"0": "daisy", "1": 7}', "holds the name 7, which is not text"),
        ('{"0": "daisy", "1": null}', "holds the name None, which is not text"),
        ('{"0": {"name": "daisy"}}', "which is not text"),
        ('{"0": "daisy", "1": "daisy"}', "holds the name 'daisy' 2 times"),
        ('["daisy", "roses"]', "holds a list; expected an object"),
        ('"daisy"', "holds a str; expected an object"),
        ("null", "holds a NoneType; expected an object"),
        ("{}", "expected the names of the classes: give at least one"),
        ("", "is not JSON"),
        ('{"0": "daisy",', "is not JSON"),
        ("{'0': 'daisy'}", "is not JSON"),
        (b'{"0": "\xff"}', "is not JSON"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(path, text, reason):
    path.parent.mkdir()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=reason) as caught:
        read_class_indices(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_how_it_is_made(path):
    with pytest.raises(FileNotFoundError, match="write it with write_class_indices"):
        read_class_indices(path)


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        ([], "give at least one"),
        ("daisy", "holds 'daisy'; expected the names"),
        (["daisy", 1], "the name 1, which is not text"),
        (["daisy", "roses", "daisy"], "'daisy' 2 times"),
    ],
)
def test_bad_names_are_not_written(path, classes, reason):
    write_class_indices(path, NAMES)
    with pytest.raises(ValueError, match=reason):
        write_class_indices(path, classes)
    assert read_class_indices(path) == NAMES
