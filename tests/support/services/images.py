"""Images for tests, made without a registry."""

import io
import tarfile
from pathlib import Path

#: What a test may call; busybox is all of them.
_APPLETS = (
    "sh sleep cat ls id true false kill echo dd env stat hostname head grep touch awk nproc "
    "mount mkdir rm tail free seq md5sum ps yes wc"
)


def busybox(**files: str) -> bytes:
    """Return a file system of 2 MB as a tar; ``files`` are put into its root."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name in ("bin", "tmp", "etc", "proc", "sys", "dev"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
        program = tarfile.TarInfo("bin/busybox")
        content = Path("/bin/busybox").read_bytes()
        program.size, program.mode = len(content), 0o755
        tar.addfile(program, io.BytesIO(content))
        for name in _APPLETS.split():
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        texts = {"etc/passwd": "root:x:0:0:root:/:/bin/sh\n", **files}
        for name, text in texts.items():
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(text.encode()), 0o644
            tar.addfile(file, io.BytesIO(text.encode()))
    return made.getvalue()
