"""What HTCondor calls a distribution."""

import pytest

from hostfiles.distribution import find_opsys_ver, format_opsys_and_ver


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ('NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n', "Debian12", 1200),
        ('NAME="AlmaLinux"\nVERSION_ID="9.4"\nID="almalinux"\n', "AlmaLinux9", 904),
        ('NAME="CentOS Linux"\nVERSION_ID="7"\nID="centos"\n', "CentOS7", 700),
        ('NAME="Red Hat Enterprise Linux"\nVERSION_ID="8.10"\nID="rhel"\n', "RedHat8", 810),
        ("NAME='Ubuntu'\nVERSION_ID='22.04'\nID=ubuntu\n", "Ubuntu22", 2204),
        ('NAME="Rocky Linux"\nID="rocky"\nVERSION_ID="9.3"\n', "Rocky9", 903),
        ("ID=arch\n# no name\nrubbish\n", "LINUX", 0),
        ("", "LINUX", 0),
    ],
)
def test_a_distribution_is_called_as_htcondor_calls_it(text: str, name: str, version: int) -> None:
    assert (format_opsys_and_ver(text), find_opsys_ver(text)) == (name, version)
