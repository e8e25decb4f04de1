"""Builds what is uploaded as a release and tries it as its users would: ``make release-check``.

An sdist, and from that sdist a wheel, are left in ``dist``. The wheel is installed alone and every module imported; the sdist
is unpacked, and its own ``make test-fast`` has to pass there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import uv

import airflow_provider_custobar

PROJECT = Path(__file__).resolve().parent.parent
DIST = PROJECT / "dist"
TWINE = "twine==7.0.0"
CHECK_WHEEL_CONTENTS = "check-wheel-contents==0.6.3"


def main() -> None:
    version = airflow_provider_custobar.__version__
    shutil.rmtree(DIST, ignore_errors=True)
    run_uv("build", "--out-dir", str(DIST))
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    run_uv("tool", "run", "--from", TWINE, "twine", "check", "--strict", str(sdist), str(wheel))
    run_uv("tool", "run", CHECK_WHEEL_CONTENTS, str(wheel))
    with tempfile.TemporaryDirectory(prefix="custobar-release-") as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        walk = ["python", "-P", str(unpacked / "tools" / "import_walk.py")]
        run_uv("run", "--isolated", "--no-project", "--python", sys.executable, "--with", str(wheel), *walk)
        run("make", "test-fast", cwd=unpacked)
    print(f"\nrelease-check: {version} is good: {sdist.relative_to(PROJECT)}, {wheel.relative_to(PROJECT)}")
    if not re.search(rf"^## {re.escape(version)} ", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE):
        print(f"release-check: but CHANGELOG.md says nothing of {version} yet")


def run_uv(*arguments: str) -> None:
    run(uv.find_uv_bin(), *arguments)


def run(*command: str, cwd: Path = PROJECT) -> None:
    # make would hand its own variables on to another make.
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "VIRTUAL_ENV"}}
    print(f"release-check: {' '.join(command)}", flush=True)
    subprocess.run(command, cwd=cwd, env=environment, check=True)


if __name__ == "__main__":
    main()
