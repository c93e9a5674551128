"""What pyproject.toml cannot say: a wheel brings the recorded results along."""

from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithResults(build_py):
    """Copies results/ to where `results_dir` looks for it outside a checkout."""

    def run(self) -> None:
        """Copy the packages, then the results; an editable course has its own."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "course_utils", "recorded")
            self.copy_tree("results", str(target))


# In a folder of its own: what an older build has left in build/ would come along.
with TemporaryDirectory() as folder:
    setup(
        cmdclass={"build_py": BuildWithResults},
        options={"build": {"build_base": folder}},
    )
