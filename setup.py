"""Add manual pages and completion scripts to the wheel; all else is in setup.cfg."""

import subprocess
import sys
import tempfile
from pathlib import Path

import setuptools  # isort: skip  (first: it is what brings distutils)
from distutils.command.install_data import install_data

HERE = Path(__file__).parent


class InstallData(install_data):
    """Makes the files when they are installed, from the programs' own help."""

    def run(self) -> None:
        """Write the files and install them."""
        with tempfile.TemporaryDirectory() as made:
            subprocess.run([sys.executable, "-m", "manual", made], cwd=HERE, check=True)
            files = [path for path in Path(made).rglob("*") if path.is_file()]
            for folder in sorted({path.parent for path in files}):
                names = sorted(str(path) for path in files if path.parent == folder)
                self.data_files.append((str(folder.relative_to(made)), names))
            super().run()


# without a file of its own the command would not be run
setuptools.setup(
    data_files=[("share/doc/plancton-grid", ["README.md"])], cmdclass={"install_data": InstallData}
)
