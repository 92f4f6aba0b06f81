"""A virtual machine: Debian with systemd, control groups v2 and Docker, run by QEMU.

It takes the machine's own hardware help (KVM) where a kernel boots with it, and does without
elsewhere.  It reaches the loopback of the machine below at ``GATEWAY``.
"""

import platform
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.support.services.programs import Program, need, skip_or_fail
from tests.support.services.rabbitmq import free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "vm"
#: The machine below, as QEMU shows it to the one above.
GATEWAY = "10.0.2.2"
#: Seconds for a disk that is made anew, and for a start without KVM on a busy machine.
BUILD_SECONDS, BOOT_SECONDS = 900, 600.0
_DISK_BYTES = 4 << 30
#: A second disk, /dev/vda, all zeros: as slow as one that spins, so that waiting for it shows.
_SLOW_BYTES, _SLOW = 1 << 30, "if=virtio,format=raw,throttling.iops-total=300"
_WITHOUT = "tcg,thread=multi"
#: A feature that a KVM inside a virtual machine may refuse is left out.
_CPU = "max,arch-capabilities=off"
#: Debian's kernel needs no modules for ext4 on NVMe, and so no initial RAM disk.
_KERNEL = "root=/dev/nvme0n1 rw console=ttyS0 quiet apparmor=1 security=apparmor"


def make_system(root: Path) -> None:
    """Unpack the system into ``root``, an empty directory; the first time it is made."""
    need("vm")
    if platform.machine() != "x86_64":
        skip_or_fail("the virtual machine is an x86_64")
    done = subprocess.run(
        [ROOT / "tests/vm/build_system.sh"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    subprocess.run(
        ["tar", "--numeric-owner", "-C", str(root), "-xf", str(KEPT / "root.tar")], check=True
    )


def find_accelerator() -> str:
    """Return KVM if a kernel boots with it, as far as its complaint that it has no disk."""
    if not Path("/dev/kvm").exists():
        return _WITHOUT
    command = [
        "qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "q35",
        "-accel", "kvm", "-cpu", _CPU, "-m", "256", "-no-reboot", "-serial", "stdio",
        "-kernel", str(KEPT / "vmlinuz"), "-append", "console=ttyS0 panic=-1",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    except subprocess.TimeoutExpired:
        return _WITHOUT
    return "kvm" if b"Kernel panic" in done.stdout else _WITHOUT


class VirtualMachine:
    """One virtual machine; ``boot`` starts it, ``cut_power`` ends it as a pulled plug does."""

    def __init__(self, directory: Path, root: Path) -> None:
        """Make its disk in ``directory`` of the system in ``root``; nothing is started yet."""
        self.directory, self.port = directory, free_port()
        disk = directory / "disk"
        with open(disk, "wb") as file:
            file.truncate(_DISK_BYTES)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(disk)], check=True)
        with open(directory / "slow", "wb") as file:
            file.truncate(_SLOW_BYTES)
        self._key = directory / "key"
        shutil.copy(KEPT / "key", self._key)
        self._key.chmod(0o600)
        self._accelerator = find_accelerator()
        self._qemu: Program | None = None

    def boot(self, *options: str) -> None:
        """Start it, with further ``options`` of QEMU, and wait until one can log in."""
        assert self._qemu is None
        network = f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-:22"
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", "q35", "-accel", self._accelerator, "-cpu", _CPU,
            "-smp", "2", "-m", "2G", "-no-reboot",
            "-kernel", str(KEPT / "vmlinuz"), "-append", _KERNEL,
            "-drive", f"file={self.directory / 'disk'},if=none,id=disk,format=raw",
            "-device", "nvme,drive=disk,serial=1",
            "-drive", f"file={self.directory / 'slow'},{_SLOW}",
            "-netdev", network, "-device", "virtio-net-pci,netdev=net",
            "-device", "virtio-rng-pci", "-serial", f"file:{self.directory / 'console.log'}",
            *options,
        ]  # fmt: skip
        self._qemu = Program(command, self.directory / "qemu.log")
        wait_until(self._answers, "the machine to boot", timeout=BOOT_SECONDS, state=self.said)
        self._connect()

    def run(self, command: str, stdin: bytes = b"", seconds: float = 120.0) -> str:
        """Run a shell command as root, which must succeed; return what it prints."""
        done = self.call(command, stdin, seconds)
        assert done.returncode == 0, f"{command}: {done.stdout!r} {done.stderr!r}"
        return done.stdout.decode()

    def call(
        self, command: str, stdin: bytes = b"", seconds: float = 120.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a shell command as root, which may fail.

        Args:
            command: for its ``sh``.
            stdin: the command's standard input.
            seconds: that it may take.

        Returns:
            Its exit status and output; 255 where nobody answers.
        """
        return subprocess.run(
            ["ssh", *self.ssh_options(), "-p", str(self.port), "root@127.0.0.1", command],
            input=stdin,
            capture_output=True,
            timeout=seconds,
        )

    def ssh_options(self) -> list[str]:
        """Return ssh's options: its key, and no questions."""
        return [
            "-i", str(self._key), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
            # A machine below that is busy may hold this one for half a minute.
            "-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=30",
            "-o", f"ControlPath={self.directory / 'ssh'}",
        ]  # fmt: skip

    def write(self, path: str, content: str) -> None:
        """Write a file there."""
        self.run(f"cat > {shlex.quote(path)}", content.encode())

    def cut_power(self) -> None:
        """End it at once: nothing more is written to its disk."""
        assert self._qemu is not None
        self._qemu.process.kill()
        self._qemu.process.wait()
        self._qemu = None

    def said(self) -> str:
        """Return the end of what QEMU and the console said."""
        logs = (self.directory / "qemu.log", self.directory / "console.log")
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())

    def clean(self) -> None:
        """End it, and remove its disks."""
        if self._qemu is not None:
            self.cut_power()
        for disk in ("disk", "slow"):
            (self.directory / disk).unlink(missing_ok=True)

    def _connect(self) -> None:
        """Log in once for all commands: each login takes two seconds of an emulated CPU."""
        (self.directory / "ssh").unlink(missing_ok=True)
        command = ["ssh", *self.ssh_options(), "-M", "-N", "-f", "-p", str(self.port)]
        subprocess.run(
            [*command, "root@127.0.0.1"],
            check=True,
            # It stays until the machine ends, and would keep pipes open.
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
        )

    def _answers(self) -> bool:
        assert self._qemu is not None
        assert self._qemu.process.poll() is None, self.said()
        try:
            return self.call("systemctl is-system-running --wait", seconds=60.0).returncode != 255
        except subprocess.TimeoutExpired:
            return False
