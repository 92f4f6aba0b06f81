"""How HTCondor calls the distribution of a host, from the text of ``/etc/os-release``."""

from typing import Dict

#: HTCondor's OpSysName where it is not the first word of the distribution's own name.
_NAMES = {
    "rhel": "RedHat", "sles": "SLES", "opensuse-leap": "openSUSE", "amzn": "AmazonLinux",
    "scientific": "SL", "almalinux": "AlmaLinux", "centos": "CentOS",
}  # fmt: skip


def read_os_release() -> str:
    """Return the text of the host's ``os-release``, "" if it has none."""
    for place in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(place, errors="replace") as file:
                return file.read()
        except OSError:
            continue
    return ""


def format_opsys_and_ver(os_release: str) -> str:
    """Return HTCondor's OpSysAndVer, e.g. ``AlmaLinux9``."""
    words = _read_words(os_release)
    plain = words.get("NAME", "").split()
    name = _NAMES.get(words.get("ID", ""), plain[0] if plain else "LINUX")
    return name + words.get("VERSION_ID", "").partition(".")[0]


def find_opsys_ver(os_release: str) -> int:
    """Return HTCondor's OpSysVer, e.g. 904 for ``9.4``; 0 where the distribution has no version."""
    major, _, minor = _read_words(os_release).get("VERSION_ID", "").partition(".")
    try:
        return int(major) * 100 + int(minor[:2] or 0)
    except ValueError:
        return 0


def _read_words(os_release: str) -> "Dict[str, str]":
    words = {}
    for line in os_release.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            words[name.strip()] = value.strip().strip("\"'")
    return words
