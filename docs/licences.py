"""Write the table of docs/licences.md from the metadata of the pinned packages: `python docs/licences.py`."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/licences.md"
TABLE = re.compile(r"(<!-- packages -->\n).*?(\n<!-- end -->)", re.DOTALL)
PINS, SETUP = "requirements.txt", "requirements-setup.txt"
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}

COMPATIBLE = {
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0"),
    *("CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "ZPL-2.1", "Zlib"),
}
"""Licences under which a package may be used by, and shipped beside, a program under Apache 2.0."""

LOOKED_INTO = {
    "EPL-2.0 OR GPL-2.0-or-later": ("asyncssh",),
    "GPL-2.0-only": ("codespell",),
    "GPL-2.0-only OR EPL-1.0": ("grandalf",),
    "GPL-2.0-only WITH GCC-exception-2.0": ("pygit2",),
    "NVIDIA": ("cuda-toolkit", "nvidia-"),
}
"""Other licences, and the beginnings of the names of packages under them: docs/licences.md says what follows."""

SPELLINGS = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD License": "BSD",
    "New BSD": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "GPLv2 | EPLv1": "GPL-2.0-only OR EPL-1.0",
    "GPLv2 with linking exception": "GPL-2.0-only WITH GCC-exception-2.0",
    "Dual License": "BSD-3-Clause OR Apache-2.0",
    "LicenseRef-NVIDIA-Proprietary": "NVIDIA",
    "NVIDIA Proprietary Software": "NVIDIA",
}
"""What authors write, as SPDX has it. BSD alone: the metadata do not say which."""
CLEARER = {
    "axe-playwright-python": "MIT AND MPL-2.0",  # axe-core is in it
    "contourpy": "BSD-3-Clause",
    "cuda-toolkit": "NVIDIA",
    "lpips": "BSD-2-Clause",
}
"""Of packages whose metadata name none, or not which BSD, as the package itself has it."""


def pinned(file: str) -> dict[str, list[str]]:
    """The versions of each package that Linux on x86-64 gets: two where Python 3.11 and 3.12 get others."""
    found: dict[str, list[str]] = {}
    for pin in re.finditer(r"^(\S+)==(\S+)(?: ; (.*?))?(?: \\)?$", (ROOT / file).read_text("utf-8"), re.MULTILINE):
        name, version, marker = pin.groups()
        pythons = ({**LINUX, "python_version": each, "python_full_version": f"{each}.0"} for each in ("3.11", "3.12"))
        if marker is None or any(Marker(marker).evaluate(each) for each in pythons):
            found.setdefault(name, []).append(version)
    return found


def licence(name: str) -> str:
    """The licence of an installed package: its SPDX expression, or its short text, or its classifiers."""
    if name in CLEARER:
        return CLEARER[name]
    about = metadata.metadata(name)
    if expression := about.get("License-Expression"):
        return SPELLINGS.get(expression, expression)
    text = (about.get("License") or "").strip()
    if text and len(text) < 60 and text != "UNKNOWN" and "\n" not in text:
        return SPELLINGS.get(text, text)
    classifiers = [each for each in about.get_all("Classifier") or [] if each.startswith("License :: OSI Approved ::")]
    names = [each.rpartition(" :: ")[2] for each in classifiers]
    return " OR ".join(SPELLINGS.get(each, each) for each in names) or "unknown"


def compatible(expression: str) -> bool:
    """Whether an SPDX expression leaves a choice of licences that are all in COMPATIBLE."""
    parts = [part.strip("()").split(" OR ") for part in expression.split(" AND ")]
    return all(any(choice in COMPATIBLE for choice in part) for part in parts)


def needed_at_run_time() -> set[str]:
    """The project's dependencies and theirs, as installed."""
    found: set[str] = set()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [Requirement(text) for text in project["dependencies"]]
    done: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) in done or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
                continue
            done.add((name, extra))
            found.add(name)
            for text in metadata.requires(name) or []:
                further = Requirement(text)
                if further.marker is None or further.marker.evaluate({"extra": extra}):
                    further.marker = None
                    waiting.append(further)
    return found


def written(text: str) -> str:
    """The page with its table anew."""
    run, pins = needed_at_run_time(), pinned(PINS)
    lines = ["| package | version | licence | needed |", "| --- | --- | --- | --- |"]
    for name, versions in sorted({**pinned(SETUP), **pins}.items()):
        when = "to run" if name in run else "to develop" if name in pins else "to set up"
        lines.append(f"| {name} | {', '.join(versions)} | {licence(name)} | {when} |")
    return TABLE.sub(lambda found: found[1] + "\n".join(lines) + found[2], text)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
