"""Both file stores behave alike, and nothing outside of a root is ever touched."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgeless_sim.errors import EdgelessError, RejectedError, ResourceError
from edgeless_sim.resources.files import (
    FileQuotas,
    FileStore,
    SandboxedFiles,
    VirtualFiles,
    check_path,
)

SMALL: Final = FileQuotas(file_bytes_max=10, root_bytes_max=25, files_max=4)
Maker: TypeAlias = Callable[[FileQuotas], FileStore]
BAD_PATHS: Final = [
    *("", "/etc/passwd", "../x", "a/../../x", "..", ".", "./x", "a//b", "a/", "/"),
    *("a\x00b", "x" * 4096, "x" * 129, "a\nb", "a b", "a\\b", "C:\\x", "~/x?", "é", "a\ud800"),
    *("CON", "aux", "nul.txt", "d/COM1.log", "a.", "...", "a./b", "a ", "1/2/3/4/5/6/7/8/9"),
]


@pytest.fixture(params=["virtual", "sandboxed"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Maker]:
    stores: list[FileStore] = []

    def made(quotas: FileQuotas) -> FileStore:
        if request.param == "virtual":
            stores.append(VirtualFiles(quotas))
        else:
            stores.append(SandboxedFiles(tmp_path / "root", quotas))
        return stores[-1]

    yield made
    for store in stores:
        store.close()
        store.close()


@pytest.fixture
def files(make: Maker) -> FileStore:
    return make(FileQuotas())


@pytest.fixture
def small(make: Maker) -> FileStore:
    return make(SMALL)


def test_texts_are_appended_in_order(files: FileStore) -> None:
    files.append("a.log", "one\n")
    files.append("b.log", "ö")
    files.append("a.log", "two\n")
    assert files.read("a.log") == b"one\ntwo\n"
    assert files.read("b.log") == b"\xc3\xb6"


def test_an_empty_text_makes_an_empty_file_and_leaves_another_alone(files: FileStore) -> None:
    files.append("new", "")
    assert files.read("new") == b""
    files.append("new", "x")
    files.append("new", "")
    assert files.read("new") == b"x"


def test_folders_are_made_where_needed(files: FileStore) -> None:
    files.append("1/2/3/4/5/6/7/8", "deep")
    files.append("1/2/x", "y")
    assert files.read("1/2/3/4/5/6/7/8") == b"deep"
    assert files.read("1/2/x") == b"y"


def test_a_file_exists_once_something_was_appended(files: FileStore) -> None:
    assert not files.exists("a/b")
    files.append("a/b", "")
    assert files.exists("a/b")
    assert not files.exists("a")
    assert not files.exists("a/b/c")


@pytest.mark.parametrize("path", ["missing", "a/missing", "a", "a/b/c"])
def test_what_is_no_file_cannot_be_read(files: FileStore, path: str) -> None:
    files.append("a/b", "x")
    with pytest.raises(ResourceError, match=path):
        files.read(path)


@pytest.mark.parametrize("path", ["a", "a/b/c", "a/b/c/d"])
def test_a_file_is_no_folder_and_a_folder_no_file(files: FileStore, path: str) -> None:
    files.append("a/b", "x")
    with pytest.raises(ResourceError, match=path):
        files.append(path, "y")
    assert files.read("a/b") == b"x"


@pytest.mark.parametrize("path", BAD_PATHS)
def test_b25_a_bad_path_is_refused_by_every_operation(files: FileStore, path: str) -> None:
    for operation in (files.read, files.exists, lambda p: files.append(p, "x")):
        with pytest.raises(RejectedError) as refusal:
            operation(path)
        assert refusal.value.summary == "Invalid resource configuration"
        assert len(str(refusal.value.detail)) < 200


@pytest.mark.parametrize("path", ["a", "A-b_c.d", ".hidden", "x" * 128, "-rf", "console", "a..b"])
def test_an_ordinary_path_is_good(files: FileStore, path: str) -> None:
    files.append(f"{path}/{path}", "x")
    assert files.read(f"{path}/{path}") == b"x"


def test_a_file_takes_exactly_its_quota_and_no_part_of_more(small: FileStore) -> None:
    small.append("a", "12345678")
    with pytest.raises(ResourceError, match="a: the file may have 10 bytes at most"):
        small.append("a", "abc")
    small.append("a", "90")
    assert small.read("a") == b"1234567890"


def test_a_file_that_would_be_too_large_from_the_start_is_not_made(small: FileStore) -> None:
    with pytest.raises(ResourceError, match="10 bytes at most"):
        small.append("new/a", "12345678901")
    assert not small.exists("new/a")
    small.append("new", "")


def test_a_root_takes_exactly_its_quota(small: FileStore) -> None:
    small.append("a", "1234567890")
    small.append("b", "1234567890")
    with pytest.raises(ResourceError, match="the root may have 25 bytes at most"):
        small.append("c", "123456")
    assert not small.exists("c")
    small.append("c", "12345")
    with pytest.raises(ResourceError, match="the root may have 25 bytes at most"):
        small.append("c", "6")


def test_a_root_has_a_largest_number_of_files(small: FileStore) -> None:
    for path in ("a", "b/c", "b/d", "e"):
        small.append(path, "")
    with pytest.raises(ResourceError, match="the root may have 4 files at most"):
        small.append("f", "")
    small.append("e", "still good")


#: Few names, so that files, folders and quotas get into each other's way.
PATHS: Final = st.lists(st.sampled_from(["a", "b", "..", "x y"]), min_size=1, max_size=3).map(
    "/".join
)
TEXTS: Final = st.sampled_from(["", "1", "123456", "12345678901"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(PATHS, TEXTS), max_size=25))
def test_both_stores_take_and_refuse_the_same(
    tmp_path_factory: pytest.TempPathFactory, appends: list[tuple[str, str]]
) -> None:
    virtual = VirtualFiles(SMALL)
    real = SandboxedFiles(tmp_path_factory.mktemp("both") / "root", SMALL)
    for path, text in appends:
        assert outcome(virtual, path, text) == outcome(real, path, text)
        assert virtual.contents() == {path: real.read(path) for path in virtual.contents()}
    real.close()


def outcome(files: FileStore, path: str, text: str) -> type[EdgelessError] | None:
    try:
        files.append(path, text)
    except RejectedError:
        return RejectedError
    except ResourceError:
        return ResourceError
    return None


PIECES: Final = st.sampled_from(
    ["..", ".", "/", "a", "outside", "secret", "root", "link", "up", "\x00", "~", "%2e", "\\", " "]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=20))
@example("../secret")
@example("link/secret")
@example("up")
def test_b25_no_path_leads_out_of_the_root(
    tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    base = tmp_path_factory.mktemp("base")
    root = base / "root"
    root.mkdir()
    (base / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(base)
    (root / "up").symlink_to(base / "secret")
    files = SandboxedFiles(root)
    outcome(files, path, "planted")
    assert sorted(entry.name for entry in base.iterdir()) == ["root", "secret"]
    assert (base / "secret").read_bytes() == b"secret"
    files.close()


@settings(deadline=None)
@given(st.text(max_size=40))
def test_a_checked_path_has_only_harmless_parts(path: str) -> None:
    try:
        parts = check_path(path)
    except RejectedError:
        return
    assert "/".join(parts) == path
    assert all(part.isascii() and part.strip(".") and part.isprintable() for part in parts)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


@pytest.mark.parametrize("kind", ["link", "dangling link", "second name", "pipe", "socket"])
def test_b25_what_is_no_plain_file_is_neither_written_nor_read(root: Path, kind: str) -> None:
    place = root / "place"
    if kind == "link":
        place.symlink_to("../secret")
    elif kind == "dangling link":
        place.symlink_to("../new")
    elif kind == "second name":
        place.hardlink_to(root.parent / "secret")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place))
    files = SandboxedFiles(root)
    with pytest.raises(ResourceError, match="place: "):
        files.append("place", "x")
    with pytest.raises(ResourceError, match="place: "):
        files.read("place")
    assert not files.exists("place")
    assert (root.parent / "secret").read_bytes() == b"secret"
    assert not (root.parent / "new").exists()
    files.close()


def test_a_pipe_with_a_reader_is_not_written(root: Path) -> None:
    os.mkfifo(root / "pipe")
    reader = os.open(root / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    files = SandboxedFiles(root)
    with pytest.raises(ResourceError, match="is not a regular file"):
        files.append("pipe", "x")
    assert os.read(reader, 10) == b""
    os.close(reader)
    files.close()


def test_a_folder_that_became_a_link_is_not_followed(root: Path) -> None:
    files = SandboxedFiles(root)
    files.append("logs/a", "1")
    (root / "logs" / "a").rename(root / "a")
    (root / "logs").rmdir()
    (root / "logs").symlink_to("..")
    with pytest.raises(ResourceError, match="logs/a: "):
        files.append("logs/a", "2")
    assert not (root.parent / "a").exists()
    files.close()


def test_files_that_lie_there_already_count(root: Path) -> None:
    (root / "old").write_bytes(b"1234567890")
    (root / "older").write_bytes(b"1234567890")
    files = SandboxedFiles(root, SMALL)
    files.append("new", "12345")
    with pytest.raises(ResourceError, match="root may have 25 bytes"):
        files.append("new", "6")
    files.append("last", "")
    with pytest.raises(ResourceError, match="root may have 4 files"):
        files.append("one-more", "")
    files.close()


def test_space_that_somebody_freed_counts_again(root: Path) -> None:
    (root / "old").write_bytes(b"x" * 25)
    files = SandboxedFiles(root, SMALL)
    (root / "old").unlink()
    files.append("new", "1")
    assert files.read("new") == b"1"
    files.close()


def test_no_descriptor_is_left_open(root: Path) -> None:
    descriptors = Path(f"/proc/{os.getpid()}/fd")
    if not descriptors.is_dir():
        pytest.skip("needs a system that lists descriptors")
    before = len(list(descriptors.iterdir()))
    files = SandboxedFiles(root, SMALL)
    (root / "link").symlink_to("../secret")
    for path in ("a/b", "a", "link", "link/x", "../x", "a/b/c", "z"):
        outcome(files, path, "123456789012" if path == "z" else "1")
    files.close()
    assert len(list(descriptors.iterdir())) == before


def test_a_root_that_cannot_be_made_is_a_resource_error(root: Path) -> None:
    (root / "file").write_bytes(b"")
    with pytest.raises(ResourceError, match=r"Not a directory|File exists"):
        SandboxedFiles(root / "file")


def test_a_closed_root_takes_nothing(root: Path) -> None:
    files = SandboxedFiles(root)
    files.close()
    with pytest.raises(ResourceError):
        files.append("a", "x")
    assert list(root.iterdir()) == []


def test_virtual_contents_are_sorted_copies_and_are_exported(tmp_path: Path) -> None:
    files = VirtualFiles()
    files.append("b/c", "2")
    files.append("a", "1")
    assert list(files.contents().items()) == [("a", b"1"), ("b/c", b"2")]
    files.export(tmp_path / "out")
    files.append("a", "3")
    files.export(tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == b"13"
    assert (tmp_path / "out" / "b" / "c").read_bytes() == b"2"


def test_an_export_that_the_system_refuses_is_a_resource_error(tmp_path: Path) -> None:
    files = VirtualFiles()
    files.append("a/b", "1")
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(ResourceError, match="a/b"):
        files.export(tmp_path)
