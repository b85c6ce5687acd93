"""Commands: which can run here, and the one thing that the others lack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from castsearch.doctor.packages import Extension, Package
from castsearch.doctor.weights import BODY, PERSONS, Weights, catalogue

CORE = ("numpy", "scipy", "threadpoolctl", "Pillow", "tqdm")
_NETWORKS = ("opencv-python", "onnx", "onnxruntime")
_DLIB = ("opencv-python", "dlib-bin")
_BODIES = ("torch", "torchvision", *_NETWORKS)
_TRAINING = (*_BODIES, "tensorboard")
_FORMATS = ("opentimelineio", "otio-cmx3600-adapter", "pympi-ling")
_FILMS = ("av", "opencv-python", "scenedetect", "openvino", "scikit-learn", "onnx", "onnxruntime", *_FORMATS)
_GALLERY, _ARCHIVE = ("Jinja2", "opencv-python"), ("faiss-cpu", "safetensors")
QUICKSTART = "make demo"  # what tells whether the project can be used at all


@dataclass(frozen=True)
class Command:
    """A command of the project.

    Attributes:
        name: as it is typed.
        what: it does.
        lacks: the first thing that it lacks, "" where it can run.
        mend: what to do about that.
    """

    name: str
    what: str
    lacks: str
    mend: str

    @property
    def runs(self) -> bool:
        """Whether it can."""
        return not self.lacks


def commands(packages: Sequence[Package], extension: Extension, weights: Sequence[Weights]) -> list[Command]:
    """What can run of the stages, of films, and of what stands round them."""
    have = {package.name: package for package in packages}
    files = {one.name: one for one in weights}

    def command(
        name: str, what: str, needs: Sequence[str] = (), networks: Sequence[str] = (), kernel: bool = False
    ) -> Command:
        lacks, mend = _lack(dict.fromkeys((*CORE, *needs)), have) or ("", "")
        if not lacks and kernel and extension.kernel_fault:
            lacks, mend = f"the compiled kernel: {extension.kernel_fault}", "make -C RetinaFace"
        missing = [name for name in networks if not files[name].here]
        if not lacks and missing:
            lacks, mend = f"the weights of {missing[0]}", files[missing[0]].mend
        return Command(name, what, lacks, mend)

    pack = next((name for name in catalogue.BEST_FIRST if files[name].here), catalogue.DLIB)  # as films take it
    start = (*_DLIB, *_TRAINING, *_GALLERY, "insightface", "scikit-image")  # the last two bring the pictures
    return [
        command(QUICKSTART, "the quickstart: all stages on a small movie", start, (catalogue.DLIB, BODY), kernel=True),
        command("crop_body.py", "frames to crops of bodies"),
        *(
            command(f"RetinaFace/deploy.py --model {name}", f"faces by the pack {name}", _needs_of(name), (name,))
            for name in catalogue.NAMES
        ),
        command("reid/triplet.py", "train on bodies, and their features", _TRAINING),
        command("reid/extract.py", "features of bodies by an ONNX file", _BODIES),
        command("fusion.py", "the ranking", kernel=True),
        command("eval.py", "how good a ranking is"),
        command("demo.py --gallery", "pages to look at a ranking", _GALLERY, kernel=True),
        command(
            "scripts/find_cast.py",
            f"who appears when in a film, by the pack {pack}",
            (*_FILMS, *_BODIES, *_GALLERY, *_needs_of(pack)),
            (PERSONS, BODY, pack),
            kernel=True,
        ),
        command(
            "scripts/library.py",
            f"an archive of films, searched by portrait, by the pack {pack}",
            (*_ARCHIVE, *_needs_of(pack)),
            (pack,),
        ),
        command("snakemake -s scripts/Snakefile", "the stages on several machines", ("snakemake",)),
    ]


def _needs_of(pack: str) -> tuple[str, ...]:
    if pack == catalogue.DLIB:
        return _DLIB
    if pack == catalogue.OPEN:
        return (*_DLIB, "onnxruntime", "onnx")
    return (*_NETWORKS, "insightface") if pack in catalogue.INSIGHTFACE_PACKS else _NETWORKS


def _lack(needs: Iterable[str], have: Mapping[str, Package]) -> tuple[str, str] | None:
    """What is wrong with the packages that are needed, and one line that mends it; None where nothing is."""
    wrong = [name for name in needs if name not in have or not have[name].works]
    if not wrong:
        return None
    package = have.get(wrong[0])
    fault = "not installed" if package is None else package.fault
    lacks = f"{wrong[0]}: {fault}" + f", and {len(wrong) - 1} more" * (len(wrong) > 1)
    if len(wrong) == 1:
        least = f">={package.least}" if package is not None and package.least else ""
        again = "--force-reinstall --no-deps " * ("broken" in fault)
        return lacks, f"pip install {again}'{wrong[0]}{least}'"
    extra = "[archive]" if set(_ARCHIVE) & set(wrong) else "[workflow]" if "snakemake" in wrong else ""
    return lacks, f"pip install -e '.{extra}'" if extra else "pip install -r requirements.txt"
