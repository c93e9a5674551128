"""A build backend for a course of one package; needs nothing to be installed."""

import zipfile
from pathlib import Path

METADATA = """Metadata-Version: 2.1
Name: small
Version: 1
Requires-Dist: house-door
Provides-Extra: notebook
Provides-Extra: teach
Provides-Extra: test
"""


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    info = "small-1.dist-info"
    wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
    name = "small-1-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory, name), "w") as archive:
        archive.writestr(f"{info}/METADATA", METADATA)
        archive.writestr(f"{info}/WHEEL", wheel)
        archive.writestr(f"{info}/RECORD", record)
    return name


build_wheel = build_editable
