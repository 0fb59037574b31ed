"""The links of the texts, and the commands of the workflows."""

import re

import pytest
from links import ROOT, anchors, broken_files, links, texts

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_every_link_to_a_file_leads_somewhere():
    assert broken_files(texts()) == []


def test_a_broken_link_is_found(tmp_path, monkeypatch):
    (tmp_path / "a.md").write_text("# A title, here\n[x](b.md) [y](#a-title-here) [z](#none) ![p](<c d.png> \"t\") `[code](no.md)` [w](https://a.b)")
    monkeypatch.setattr("links.ROOT", tmp_path)
    text = (tmp_path / "a.md").read_text()
    assert broken_files({tmp_path / "a.md": text}) == ["a.md: b.md is not there", "a.md: #none names no heading"]
    assert "https://a.b" in links(text) and anchors(text) == {"a-title-here"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_is_there(path):
    """Each step that runs a script of ours finds it, may read and nothing else, and ends by itself."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    flow = yaml.safe_load(path.read_text())
    assert flow["permissions"] == {"contents": "read"}
    for job in flow["jobs"].values():
        assert job["timeout-minutes"] <= 180
        for command in (step.get("run", "") for step in job["steps"]):
            for script in re.findall(r"tests/[\w/]+\.py", command):
                assert (ROOT / script).is_file()


def test_the_workflows_run_the_two_commands_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"```sh\n(pip install -r requirements.txt && .+)\n```", readme)
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
    assert len(commands) == 2 and all(f"run: {command}\n" in text for command in commands)


def test_the_extras_of_the_workflow_are_all_that_there_are():
    import tomllib
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.search(r"-e \"\.\[([\w,]+)\]\"", (ROOT / ".github" / "workflows" / "tests.yml").read_text())[1]
    assert sorted(named.split(",")) == sorted(extras)
