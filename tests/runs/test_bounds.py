"""The lower bounds that `bounds.py` installs."""

import tomllib

from bounds import ROOT, bounds


def test_every_requirement_is_pinned_at_its_lower_bound():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = bounds(project)
    assert found and all("==" in row and ">=" not in row for row in found)
    assert bounds({"dependencies": ["a>=1.2,<3; python_version < '3.12'"]}) == ["a==1.2; python_version < '3.12'"]
