"""What the documents name exists: programs, flags, targets of make, paths, links."""

import ast
import contextlib
import functools
import importlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import open_images
from transforms.formats.registry import FORMATS
from transforms.kinds.names import KINDS
from transforms.kinds.registry import ANNOTATION_COLUMNS, EXAMPLE

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "runners").rglob("*.md")]
)
GUIDE = [page for page in PAGES if "decisions" not in page.parts and page.name != "CHANGELOG.md"]
RECIPES = sorted((ROOT / "docs" / "recipes").glob("add-*.md"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

#: Flags of Beam's own runners that the guide shows.
BEAM_FLAGS = {
    *("--flink_master", "--flink_job_server_jar", "--job_endpoint"),
    *("--environment_type", "--environment_config", "--environment_cache_millis"),
    *("--project", "--region", "--temp_location", "--setup_file"),
}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FLAG = re.compile(r"--[a-z][a-z0-9_-]*")
_CODE = re.compile(r"`([^`]+)`")
_PATH = re.compile(
    r"(open_images|pipelines|runners|transforms|benchmarks|tests|tools|docs)/[\w./-]+"
)
_STEP = re.compile(
    r"^`(?P<path>[\w./]+)`[,:]|^```(?P<language>py|diff)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", page.read_text())


def commands(page: Path) -> Iterator[list[str]]:
    """The commands in the blocks of a page that are for a shell, in words."""
    for language, block in _FENCE.findall(page.read_text()):
        if language not in ("", "sh", "bash", "console"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;|\||>>", re.sub(r"(^|\s)#.*", "", line)):
                if words := part.split():
                    yield words


def steps(page: Path) -> Iterator[tuple[str, str, str]]:
    """The steps of a recipe: the file that was named last, and what is new or changed there.

    Blocks before any file is named are examples, and no steps.
    """
    path = ""
    for match in _STEP.finditer(page.read_text()):
        path = match["path"] or path
        if path and match["language"]:
            yield path, match["language"], match["text"]


@functools.cache
def help_of(module: str, *arguments: str) -> str:
    """Returns what a program prints with `--help`; it must succeed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main([*arguments, "--help"])
    assert ended.value.code == 0
    return said.getvalue()


def flags_of(*program: str) -> set[str]:
    return {"--help", *_FLAG.findall(help_of(*program))}


@functools.cache
def all_flags() -> set[str]:
    """Flags of all programs."""
    programs = [
        f"pipelines.{path.stem}"
        for path in (ROOT / "pipelines").glob("*.py")
        if path.stem != "__init__"
    ]
    found = {flag for program in programs for flag in flags_of(program)}
    for command in re.findall(r"^    (\w+)  ", help_of("pipelines.versions"), re.MULTILINE):
        found |= flags_of("pipelines.versions", "OUTPUT", command)
    return found | flags_of("runners.flink.cluster") | BEAM_FLAGS


@pytest.mark.parametrize("page", GUIDE, ids=name_of)
def test_commands_exist_with_their_flags(page: Path):
    targets = set(
        re.findall(r"^(\w[\w-]*)(?: .*)?:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    for words in commands(page):
        if "-m" in words[:3] and words[words.index("-m") + 1].startswith(("pipelines", "runners")):
            module, *arguments = words[words.index("-m") + 1 :]
            given = {word.partition("=")[0] for word in arguments if _FLAG.match(word)}
            program = [module]
            if module == "pipelines.versions" and len(arguments) > 1:
                program += arguments[:2]
            known = flags_of(*program)
            if module in ("pipelines.build", "pipelines.doctor"):
                known |= BEAM_FLAGS
            assert given <= known, (words, given - known)
        elif words[0] == "make":
            named = {word for word in words[1:] if "=" not in word and word not in ("…",)}
            assert named <= targets, (words, named - targets)


@pytest.mark.parametrize("page", GUIDE, ids=name_of)
def test_flags_in_prose_exist(page: Path):
    spans = [span for span in _CODE.findall(prose(page)) if span.startswith("--")]
    named = {flag for span in spans for flag in _FLAG.findall(span)}
    assert named <= all_flags(), named - all_flags()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_and_links_lead_somewhere(page: Path):
    added = {path for path, language, _ in steps(page) if language == "py"}
    for span in _CODE.findall(prose(page)):
        if _PATH.fullmatch(span):
            assert span in added or (ROOT / span).exists(), span
    for link in _LINK.findall(prose(page)):
        if not link.startswith(("http://", "https://", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_are_at_most_100_columns(page: Path):
    for line in prose(page).splitlines():
        if not line.lstrip().startswith(("|", "[", "![", "<")):
            assert len(line) <= 100 or " " not in line.strip(), line


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_decisions_have_their_parts(page: Path):
    text = page.read_text()
    assert len(text.splitlines()) <= 40
    number = int(page.name[:3])
    assert re.match(rf"# {number}\. .+\n\n\*20\d\d-\d\d-\d\d\*\n", text)
    parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
    assert parts == ["Context", "Decision", "Figures", "Consequences"]


def test_all_decisions_are_listed():
    listed = _LINK.findall((ROOT / "docs" / "decisions" / "index.md").read_text())
    assert [link for link in listed if link[0].isdigit()] == [page.name for page in DECISIONS]


@pytest.mark.parametrize("page", RECIPES, ids=name_of)
def test_recipes_apply(page: Path):
    """Files are new and import what is there; the lines around each change are in its file."""
    files: dict[str, str] = {}
    for path, language, text in steps(page):
        if language == "py":
            assert not (ROOT / path).exists()
            files[path] = text
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom):
                    module = importlib.import_module(node.module or "")
                    for alias in node.names:
                        assert hasattr(module, alias.name), (node.module, alias.name)
            continue
        content = files.get(path) or (ROOT / path).read_text()
        for hunk in text.split("@@\n"):
            before, after = (
                "".join(line[1:] + "\n" for line in hunk.splitlines() if not line.startswith(sign))
                for sign in "+-"
            )
            assert content.count(before) == 1, (path, before)
            content = content.replace(before, after)
        files[path] = content
        ast.parse(content)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("annotations.md", {*KINDS}),
        ("examples.md", {*EXAMPLE.names}),
        *(("examples.md", {*element.names}) for element in ANNOTATION_COLUMNS.values()),
        ("formats.md", {*FORMATS}),
    ],
    ids=["kinds", "columns", *ANNOTATION_COLUMNS, "formats"],
)
def test_the_guide_has_all(page: str, names: set[str]):
    """What a new kind, column, field or format needs: a word in the guide."""
    lacking = names - {*_CODE.findall(prose(ROOT / "docs" / "guide" / page))}
    assert not lacking, f"docs/guide/{page} lacks {', '.join(sorted(lacking))}"


def test_all_public_names_are_documented():
    page = (ROOT / "docs" / "api.md").read_text()
    documented = re.findall(r"^::: open_images\.(\w+)", page, re.MULTILINE)
    assert {*documented, "__version__"} == set(open_images.__all__)
