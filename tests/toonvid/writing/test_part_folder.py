"""A target appears complete in its place, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from toonvid.errors import TargetError
from toonvid.writing.part_folder import PartFolder, part_folder, running_process


def write(folder: PartFolder, content: bytes = b"new") -> None:
    folder.file.write_bytes(content)


def test_target_appears_when_published_and_the_folder_goes(tmp_path):
    target = tmp_path / "video.mp4"
    with PartFolder(target) as part:
        assert part.folder.name == ".video.mp4.part"
        assert part.file.suffix == ".mp4"
        write(part)
        assert not target.exists()
        part.publish()
        assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_is_left_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), PartFolder(tmp_path / "video.mp4") as part:
        write(part)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_existing_target_is_refused_and_stays(tmp_path):
    target = tmp_path / "video.mp4"
    target.write_bytes(b"old")
    with pytest.raises(TargetError, match="is there already"), PartFolder(target):
        pass
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_existing_target_is_replaced_when_asked_and_only_at_the_end(tmp_path):
    target = tmp_path / "video.mp4"
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="stop"), PartFolder(target, overwrite=True) as part:
        write(part)
        raise ValueError("stop")
    assert target.read_bytes() == b"old"
    with PartFolder(target, overwrite=True) as part:
        write(part)
        part.publish()
    assert target.read_bytes() == b"new"


def test_target_that_was_written_meanwhile_is_not_replaced(tmp_path):
    target = tmp_path / "video.mp4"
    with PartFolder(target) as part:
        write(part)
        target.write_bytes(b"somebody else's")
        with pytest.raises(TargetError, match="is there already"):
            part.publish()
    assert target.read_bytes() == b"somebody else's"


def test_dangling_link_is_an_existing_target(tmp_path):
    target = tmp_path / "video.mp4"
    target.symlink_to(tmp_path / "nowhere.mp4")
    with pytest.raises(TargetError, match="is there already"), PartFolder(target):
        pass
    assert target.is_symlink()


def test_missing_folders_of_the_target_are_made(tmp_path):
    with PartFolder(tmp_path / "new" / "deep" / "video.mp4") as part:
        write(part)
        part.publish()
    assert (tmp_path / "new" / "deep" / "video.mp4").is_file()


def test_folder_as_a_target_is_refused(tmp_path):
    with pytest.raises(TargetError, match="is a folder"), PartFolder(tmp_path):
        pass


def test_file_where_a_folder_should_be_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(TargetError, match=r"cannot write .*[Nn]ot a directory|[Ff]ile exists"),
        PartFolder(tmp_path / "file" / "video.mp4"),
    ):
        pass
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="only Linux has /proc")
def test_folder_that_cannot_be_written_is_refused():
    with (
        pytest.raises(TargetError, match=r"cannot write /proc/video\.mp4"),
        PartFolder(Path("/proc/video.mp4")),
    ):
        pass


def test_name_too_long_for_the_folder_beside_it_is_still_written(tmp_path):
    target = tmp_path / ("x" * 251 + ".mp4")
    with PartFolder(target) as part:
        write(part)
        part.publish()
    assert list(tmp_path.iterdir()) == [target]


def test_second_run_is_refused_while_the_first_writes(tmp_path):
    target = tmp_path / "video.mp4"
    with PartFolder(target) as part:
        write(part)
        with pytest.raises(TargetError, match="another toonvid is writing"), PartFolder(target):
            pass
        assert part.file.read_bytes() == b"new"  # the refused one took nothing away
        part.publish()
    assert target.read_bytes() == b"new"


def test_second_process_is_refused_while_the_first_writes(tmp_path):
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from toonvid.errors import TargetError
        from toonvid.writing.part_folder import PartFolder
        try:
            with PartFolder(Path(sys.argv[1])):
                pass
        except TargetError as error:
            print(error)
    """)
    target = tmp_path / "video.mp4"
    with PartFolder(target) as part:
        write(part)
        said = subprocess.run(
            [sys.executable, "-c", program, str(target)], capture_output=True, text=True, check=True
        ).stdout
        assert said == f"another toonvid is writing {target} now (process {os.getpid()})\n"
        assert part.file.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes no file that is open")
def test_a_run_that_leaves_does_not_release_the_lock_of_the_next_one(tmp_path, monkeypatch):
    target = tmp_path / "video.mp4"
    close, following = os.close, PartFolder(target)

    def enter_the_next_run_after(descriptor: int) -> None:
        close(descriptor)
        monkeypatch.undo()
        following.__enter__()

    with PartFolder(target):
        monkeypatch.setattr(os, "close", enter_the_next_run_after)
    assert running_process(target) == os.getpid()
    with pytest.raises(TargetError, match="another toonvid is writing"), PartFolder(target):
        pass
    following.__exit__(None, None, None)
    assert list(tmp_path.iterdir()) == []


def test_folder_of_a_killed_run_is_taken_over(tmp_path):
    program = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from toonvid.writing.part_folder import PartFolder
        part = PartFolder(Path(sys.argv[1])).__enter__()
        part.file.write_bytes(b"half")
        os._exit(9)
    """)
    target = tmp_path / "video.mp4"
    subprocess.run([sys.executable, "-c", program, str(target)], check=False)
    assert (tmp_path / ".video.mp4.part" / "target.mp4").read_bytes() == b"half"
    with PartFolder(target) as part:
        assert not part.file.exists()
        write(part)
        part.publish()
    assert list(tmp_path.iterdir()) == [target]


def test_files_of_the_user_in_a_folder_of_that_name_are_not_deleted(tmp_path):
    folder = tmp_path / ".video.mp4.part"
    folder.mkdir()
    (folder / "diary.txt").write_text("mine")
    with PartFolder(tmp_path / "video.mp4") as part:
        write(part)
        part.publish()
    assert (folder / "diary.txt").read_text() == "mine"


def test_the_running_process_is_known_until_it_ends_or_is_killed(tmp_path):
    target = tmp_path / "video.mp4"
    assert running_process(target) is None
    with PartFolder(target):
        assert running_process(target) == os.getpid()
    assert running_process(target) is None
    program = (
        "import os; from pathlib import Path; from toonvid.writing.part_folder import PartFolder;"
    )
    program += f"PartFolder(Path({str(target)!r})).__enter__(); os._exit(9)"
    subprocess.run([sys.executable, "-c", program], check=False)
    assert (part_folder(target) / "lock").read_text().isdigit()
    assert running_process(target) is None


def test_folder_is_for_the_user_alone_and_not_a_link(tmp_path):
    target = tmp_path / "video.mp4"
    with PartFolder(target) as part:
        assert part.folder.stat().st_mode & 0o077 == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    part_folder(target).symlink_to(elsewhere)
    with pytest.raises(TargetError, match="is in the way"), PartFolder(target):
        pass
    assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_folder_of_somebody_else_is_refused(tmp_path):
    target = tmp_path / "video.mp4"
    part_folder(target).mkdir()
    os.chown(part_folder(target), 65534, 65534)
    with pytest.raises(TargetError, match="belongs to somebody else"), PartFolder(target):
        pass
    assert list(part_folder(target).iterdir()) == []


def test_lock_that_is_a_link_is_not_followed(tmp_path):
    target = tmp_path / "video.mp4"
    part_folder(target).mkdir()
    diary = tmp_path / "diary.txt"
    diary.write_text("mine")
    (part_folder(target) / "lock").symlink_to(diary)
    with pytest.raises(TargetError, match="cannot write"), PartFolder(target):
        pass
    assert diary.read_text() == "mine"


def test_folder_that_others_may_enter_is_closed_to_them(tmp_path):
    target = tmp_path / "video.mp4"
    part_folder(target).mkdir()
    part_folder(target).chmod(0o777)
    with PartFolder(target) as part:
        assert part.folder.stat().st_mode & 0o077 == 0


def test_a_move_whose_answer_was_lost_counts_as_done(tmp_path, monkeypatch):
    """NFS clients ask a second time when the server's answer is lost."""
    target = tmp_path / "video.mp4"
    replace = os.replace

    def replace_twice(source: Path, other: Path) -> None:
        replace(source, other)
        replace(source, other)

    monkeypatch.setattr(os, "replace", replace_twice)
    with PartFolder(target) as part:
        write(part)
        part.publish()
    assert target.read_bytes() == b"new"


def test_a_move_that_fails_is_an_error_and_the_old_target_stays(tmp_path, monkeypatch):
    target = tmp_path / "video.mp4"
    target.write_bytes(b"old")

    def fail(source: Path, _: Path) -> None:
        source.unlink()
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "replace", fail)
    with (
        pytest.raises(TargetError, match=r"cannot write .*: No such file"),
        PartFolder(target, overwrite=True) as part,
    ):
        write(part)
        part.publish()
    assert target.read_bytes() == b"old"
