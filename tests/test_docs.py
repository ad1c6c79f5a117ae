"""What README.md, CONTRIBUTING.md, CHANGELOG.md and docs/ say, as a newcomer would check it."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

import composability
from composability.command import cli
from interventions.criteria.base import CRITERIA
from interventions.moved import COMMANDS
from interventions.moved_names import MODULES
from tests.checkouts import ROOT, copy_checkout, make_environment, recorded_runs, run_program
from tests.command_line import option_defaults

PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
OWN_INTERVENTION = ROOT / "docs" / "howto" / "own-intervention.md"


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def snippets(language: str) -> list[str]:
    """Return the code blocks of the page on own interventions."""
    return re.findall(rf"```{language}\n(.*?)```", OWN_INTERVENTION.read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked_page = (page.parent / path).resolve() if path else page
        assert linked_page.is_file(), target
        assert not anchor or anchor in anchors(linked_page), target


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name == "index.md" or f"]({name})" in index


def test_the_site_has_every_page_and_the_reference_every_public_name() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    pages = set(re.findall(r"[\w/-]+\.md", str(site["nav"])))
    assert pages == {
        page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")
    }
    api = (ROOT / "docs" / "reference" / "api.md").read_text()
    documented = re.findall(r"^::: (\S+)$", api, re.MULTILINE)
    for address in documented:
        module, _, name = address.rpartition(".")
        assert getattr(importlib.import_module(module), name).__doc__
    names = {address.rpartition(".")[2] for address in documented}
    assert names >= set(composability.__all__) - {"InvalidInput"}


def test_the_readme_is_short_and_its_tree_is_the_checkouts() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
    tree = readme.partition("## The files")[2].split("```")[1].strip("\n")
    package = ROOT
    for line in tree.splitlines():
        names, _, comment = line.strip().partition("  ")
        folder = package if line.startswith(" ") else ROOT
        paths = [folder / name for name in names.split()]
        if folder is ROOT:
            package = paths[0]
        # a comment may be a list of files
        paths += [paths[0] / name for name in re.findall(r"\w+\.(?:py|ipynb)\b", comment)]
        assert [path for path in paths if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_command_exists_with_the_options_that_the_page_gives_it(page: Path) -> None:
    for line in re.findall(r"^(?:\$ )?composability .+$", page.read_text(), re.MULTILINE):
        words = re.sub(r'"[^"]*"', "TEXT", line.partition(" #")[0]).split()
        command = cli.commands[words[words.index("composability") + 1]]
        known = {option for param in command.params for option in param.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("command", ["run", "grid", "tune", "analyze"])
def test_every_option_is_in_the_reference_with_its_default(command: str) -> None:
    reference = (ROOT / "docs" / "reference" / "parameters.md").read_text()
    section = reference.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    printed_defaults = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", section, re.MULTILINE))
    for name, default in option_defaults(command).items():
        assert f"`{name}`" in section
        assert printed_defaults.get(name, default) == default, name


def test_every_criterion_of_the_reference_exists() -> None:
    """The other direction would fail on a criterion of the reader's own."""
    reference = (ROOT / "docs" / "reference" / "criteria.md").read_text()
    cells = re.findall(r"^\| (`.*?) \|", reference, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert documented and documented <= set(CRITERIA.all())


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_extras_are_added_to_the_editable_install(page: Path) -> None:
    assert not re.search(r"pip install ['\"]?\.", page.read_text())


def test_the_changelog_lists_every_old_module_and_command() -> None:
    rows = (ROOT / "CHANGELOG.md").read_text().splitlines()
    for old_module, new_modules in MODULES.items():
        new_names = ", ".join(f"`{name}`" for name in new_modules)
        assert f"| `{old_module}` | {new_names} |" in rows
    for old_command, arguments in COMMANDS.items():
        row = f"| `python -m {old_command}` | `composability {' '.join(arguments)}` |"
        assert row in rows


# the page on own interventions, as printed


def test_the_snippets_import_from_interventions_only() -> None:
    for snippet in snippets("python"):
        modules = re.findall(r"^(?:from|import) ([\w.]+)", snippet, re.MULTILINE)
        assert set(modules) <= {"dataclasses", "math", "torch", "interventions"}


@pytest.mark.full
def test_the_snippets_work_in_the_tree(tmp_path: Path) -> None:
    noise, weight_norm = snippets("python")
    checkout = copy_checkout(tmp_path / "checkout")
    python = str(make_environment(tmp_path / "venv", None, checkout))
    (checkout / "interventions" / "compression" / "noise.py").write_text(noise)
    (checkout / "interventions" / "criteria" / "weight_norm.py").write_text(weight_norm)
    command = [python, "-m", "composability"]
    listing = run_program([*command, "list", "interventions", "noise"], tmp_path)
    assert "noise (compression)" in listing and "scale = 0.01" in listing
    run_program([*command, "run", "noise(scale=0.02)", "--checkpoints", "none"], tmp_path)
    assert recorded_runs(checkout) == [("composability", "FINISHED")]
    read = "import composability; print(composability.compositions().weight_norm.notna().all())"
    assert run_program([python, "-c", read], tmp_path).splitlines()[-1] == "True"


@pytest.mark.slow
@pytest.mark.full
def test_the_snippets_work_through_an_entry_point(tmp_path: Path) -> None:
    noise, weight_norm = snippets("python")
    package = tmp_path / "packages" / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "noise.py").write_text(noise)
    (package / "weight_norm.py").write_text(weight_norm)
    metadata = package.parent / "my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (entry_points,) = snippets("toml")
    groups = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", entry_points)
    (metadata / "entry_points.txt").write_text(groups.replace('"', ""))
    python = str(make_environment(tmp_path / "venv", None, package.parent, ROOT))
    command = [python, "-m", "composability", "list"]
    assert "noise (compression)" in run_program([*command, "interventions", "noise"], tmp_path)
    assert "weight_norm" in run_program([*command, "criteria"], tmp_path)


@pytest.mark.slow
def test_the_suite_stays_green_with_the_snippets_in_the_tree(tmp_path: Path) -> None:
    """The tests that run over everything that is registered, and those of the documentation."""
    noise, weight_norm = snippets("python")
    checkout = copy_checkout(tmp_path / "checkout")
    python = str(make_environment(tmp_path / "venv", None, checkout))
    (checkout / "interventions" / "compression" / "noise.py").write_text(noise)
    (checkout / "interventions" / "criteria" / "weight_norm.py").write_text(weight_norm)
    suite = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not full"]
    run_program([python, *suite, "tests"], checkout)
