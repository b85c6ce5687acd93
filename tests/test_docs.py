"""The manual: links lead somewhere, commands and flags exist, names in it resolve, examples run."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import NamedTuple

import pytest

from castsearch.annotations import read_annotations

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "RetinaFace/model/README.md"]
SCRIPTS = (
    *("crop_body.py", "fusion.py", "eval.py", "demo.py", "reid/triplet.py", "reid/mgn.py", "reid/extract.py"),
    *(f"RetinaFace/{name}.py" for name in ("datalist", "deploy", "merge", "face_det", "face_feat")),
    *("scripts/run_split.sh", "scripts/reid_score.py", "scripts/download_models.py", "scripts/make_demo_data.py"),
    *("scripts/find_cast.py", "scripts/import_movie.py", "scripts/doctor.py"),
    *("scripts/library.py", "scripts/summary.py"),
)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


class Block(NamedTuple):
    """A fenced block: its language, the line of the page that it begins on, from 0, and its text."""

    language: str
    line: int
    text: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(match[1], text[: match.start(2)].count("\n"), match[2]) for match in found]


def prose(page: Path) -> str:
    return re.sub(r"^```\w*\n.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def inline_code(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


# ---------------------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings: small letters, blanks to hyphens, all other marks left out."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_anchors_are_those_of_github(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# From the files to `val_result.txt`\n\n```sh\n# a comment\n```\n## k-reciprocal, ECN\n")
    assert anchors(page) == {"from-the-files-to-val_resulttxt", "k-reciprocal-ecn"}


@every_page
def test_links_lead_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in link]
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{link}: there is no {target}"
        assert not anchor or anchor in anchors(target), f"{link}: {target.name} has no such heading"


def test_every_page_can_be_reached_from_the_readme():
    found = re.findall(r"\]\((docs/[\w-]+\.md)", PAGES[0].read_text())
    assert {ROOT / path for path in found} == {*(ROOT / "docs").glob("*.md")}


# ---------------------------------------------------------------------------- commands


class Command(NamedTuple):
    """A call of a script in a block: where it runs, which script, and its arguments."""

    folder: Path
    script: str
    words: list[str]

    @property
    def path(self) -> Path:
        return self.folder / self.script


def commands(page: Path) -> list[Command]:
    """The calls of scripts in a page's shell blocks, each of which begins in the project's root."""
    found = []
    for block in blocks(page):
        folder = ROOT
        if block.language != "sh":
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            words = re.sub(r"(^|\s)#.*", "", line).split()
            if words[:1] == ["cd"]:
                folder = (folder / words[1]).resolve()
            scripts = [at for at, word in enumerate(words) if re.fullmatch(r"[\w./]+\.(py|sh)", word)]
            if scripts and words[0] in ("python3", "bash", "torchrun"):
                found.append(Command(folder, words[scripts[0]], words[scripts[0] + 1 :]))
    return found


@cache
def flags(script: Path) -> frozenset[str]:
    """The flags that a script's help tells of."""
    interpreter = "bash" if script.suffix == ".sh" else sys.executable
    done = subprocess.run([interpreter, str(script), "--help"], capture_output=True, text=True, check=True)
    return frozenset(re.findall(r"(?<![\w-])--\w+", done.stdout))


@every_page
def test_commands_are_those_of_the_scripts(page):
    for command in commands(page):
        assert command.path.is_file(), f"{page.name}: {command.path} does not exist"
        unknown = {word for word in command.words if word.startswith("--")} - flags(command.path)
        assert not unknown, f"{page.name}: {command.script} has no {', '.join(sorted(unknown))}"


def test_commands_are_found():
    """The test above would pass without any."""
    found = {str(command.path.resolve().relative_to(ROOT)) for page in PAGES for command in commands(page)}
    assert found >= {*SCRIPTS} - {"scripts/make_demo_data.py"}


@every_page
def test_flags_in_the_text_are_some_scripts(page):
    known = frozenset().union(*(flags(ROOT / script) for script in SCRIPTS)) | {"--help"}
    for code in inline_code(page):
        unknown = {*re.findall(r"(?<![\w-])--\w+", code)} - known
        assert not unknown, f"{page.name}: no script has {', '.join(sorted(unknown))}"


@every_page
def test_targets_of_make_exist(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shell = "\n".join(block.text for block in blocks(page) if block.language == "sh")
    named = re.findall(r"^make (\w+)", "\n".join([shell, *inline_code(page)]), re.MULTILINE)
    assert {*named} <= targets


# ---------------------------------------------------------------------------- names of files and functions


@every_page
def test_files_named_in_the_text_exist(page):
    folders = (ROOT, *(ROOT / name for name in ("castsearch", "RetinaFace", "reid", "scripts")), page.parent)
    for code in inline_code(page):
        if re.fullmatch(r"[\w./]+\.(py|pyx|sh|toml|txt|md)", code) and not code.endswith("_result.txt"):
            assert any((folder / code).exists() for folder in folders), f"{page.name}: there is no {code}"


@every_page
def test_names_in_the_text_resolve(page):
    rooms = "|".join(path.stem for path in (ROOT / "castsearch").iterdir() if not path.name.startswith("_"))
    for code in inline_code(page):
        if re.fullmatch(rf"(castsearch\.)?({rooms})(\.\w+)+", code) and not code.endswith((".py", ".json")):
            resolve_name(f"castsearch.{code.removeprefix('castsearch.')}")


# ---------------------------------------------------------------------------- examples


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/files.md"], ids=lambda page: page.name)
def test_annotations_shown_are_annotations(page, tmp_path):
    (shown,) = (block.text for block in blocks(page) if block.language == "json")
    (tmp_path / "val.json").write_text(shown)
    (movie,) = read_annotations(tmp_path / "val.json").values()
    assert (len(movie.cast), len(movie.candidates)) == (1, 1)


def test_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", os.fspath(tmp_path))
    page = ROOT / "docs/python.md"
    parser, runner, names = doctest.DocTestParser(), doctest.DocTestRunner(), {"__name__": "example"}
    for block in blocks(page):
        if block.language == "python":
            example = parser.get_doctest(block.text, names, page.name, os.fspath(page), block.line)
            runner.run(example, clear_globs=False)
            names = example.globs  # the parser copies them: a block goes on where the last one ended
    assert runner.tries > 30
    assert runner.failures == 0
