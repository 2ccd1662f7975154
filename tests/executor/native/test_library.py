"""Why the native engine cannot run is one sentence; what was compiled is kept."""

import subprocess
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
