"""Why the native engine cannot run is one sentence; what was compiled is kept."""

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from hatlite.executor.native import library


@pytest.fixture(autouse=True)
def _fresh():
    library.load_library.cache_clear()
    yield
    library.load_library.cache_clear()


def test_another_processor(monkeypatch):
    monkeypatch.setattr(library.platform, "machine", lambda: "aarch64")
    with pytest.raises(RuntimeError, match=r"written for x86-64 with AVX-512 VNNI; this is aarch64"):
        library.load_library()


def test_an_x86_processor_without_the_instructions(monkeypatch, tmp_path):
    monkeypatch.setattr(library.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(library, "_compiled", lambda: tmp_path)
    monkeypatch.setattr(library.ctypes, "CDLL", lambda path: SimpleNamespace(usable=lambda: 0))
    with pytest.raises(RuntimeError, match="this processor has no AVX-512 VNNI"):
        library.load_library()


def test_structures_that_differ_are_refused(monkeypatch, tmp_path):
    class Bytes:
        restype = None

        def __call__(self):
            return 7

    monkeypatch.setattr(library.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(library, "_compiled", lambda: tmp_path)
    monkeypatch.setattr(library.ctypes, "CDLL", lambda path: SimpleNamespace(usable=lambda: 1, step_bytes=Bytes()))
    with pytest.raises(RuntimeError, match=r"a step has 7 bytes in C and \d+ in Python"):
        library.load_library()


def test_no_compiler(monkeypatch):
    monkeypatch.setattr(library.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="needs a C compiler: install gcc or clang, or set CC"):
        library._compiled()


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(library.shutil, "which", lambda name: "/bin/cc")
    with pytest.raises(RuntimeError, match=r"cannot write to .*file/hatlite: .*; set XDG_CACHE_HOME"):
        library._compiled()


def test_a_compiler_that_fails_is_quoted(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(library.shutil, "which", lambda name: "/bin/cc")
    failed = SimpleNamespace(returncode=1, stderr="note\nstep.h:3: error: no such header\n")
    monkeypatch.setattr(library.subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(RuntimeError, match="does not compile with /bin/cc: step.h:3: error: no such header"):
        library._compiled()
    assert not list((tmp_path / "hatlite").iterdir())


def test_it_compiles_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(library.shutil, "which", lambda name: "/bin/cc")
    commands = []

    def compiler(command, **options):
        commands.append(command)
        target = command[command.index("-o") + 1]
        subprocess.check_call(["touch", target])
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(library.subprocess, "run", compiler)
    first, second = library._compiled(), library._compiled()
    assert first == second and first.exists() and len(commands) == 1
    assert sum(str(part).endswith(".c") for part in commands[0]) == 4
    assert [file.name for file in first.parent.iterdir()] == [first.name]


def test_a_folder_that_cannot_be_searched(monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(library.shutil, "which", lambda name: "/bin/cc")
    monkeypatch.setattr(library.Path, "exists", refuse)
    with pytest.raises(RuntimeError, match=r"cannot write to .*hatlite: .*Permission denied; set XDG_CACHE_HOME"):
        library._compiled()


def _compiler_that_writes(monkeypatch, tmp_path, *texts):
    """Each call of the compiler writes the next text; a file with the text ``good`` loads."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(library.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(library.shutil, "which", lambda name: "/bin/cc")
    written = iter(texts)

    def compiler(command, **options):
        Path(command[command.index("-o") + 1]).write_text(next(written))
        return SimpleNamespace(returncode=0, stderr="")

    def load(file):
        if not Path(file).read_bytes().startswith(b"good"):
            raise OSError(f"{file}: file too short")
        return "loaded"

    monkeypatch.setattr(library.subprocess, "run", compiler)
    monkeypatch.setattr(library.ctypes, "CDLL", load)


def test_a_damaged_file_in_the_cache_is_compiled_again(monkeypatch, tmp_path):
    _compiler_that_writes(monkeypatch, tmp_path, "damaged", "good")
    assert library._loaded(library._compiled()) == "loaded"
    assert [file.read_bytes()[:4] for file in (tmp_path / "hatlite").iterdir()] == [b"good"]


def test_a_file_that_was_cut_off_is_never_loaded(monkeypatch, tmp_path):
    """The loader of ELF files maps what is not there, and the process dies of SIGBUS."""
    _compiler_that_writes(monkeypatch, tmp_path, "good and long", "good")
    file = library._compiled()
    file.write_bytes(file.read_bytes()[:8])
    assert library._compiled() == file and file.read_bytes().startswith(b"good") and file.stat().st_size == 4 + 32
    assert library._compiled() == file  # and is kept


def test_a_folder_that_nothing_runs_from(monkeypatch, tmp_path):
    """Such as one mounted noexec: an error that callers expect, and automatic choice takes another engine."""
    _compiler_that_writes(monkeypatch, tmp_path, "bad", "bad")
    with pytest.raises(RuntimeError, match=r"compiled .*\.so, which does not load: .*too short; set XDG_CACHE_HOME to"):
        library.load_library()


def test_literals_do_not_wait_for_an_optimiser(tmp_path):
    """Lanes and shifts are literals where clang wants them in the source, as GCC does when it optimises nothing."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None or library.platform.machine() not in library.PROCESSORS:
        pytest.skip("needs a C compiler for x86-64")
    for source in library.FOLDER.glob("*.c"):
        command = [compiler, *library.FLAGS, "-O0", "-S", "-o", str(tmp_path / "out.s"), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
