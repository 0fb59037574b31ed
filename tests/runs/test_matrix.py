"""The matrix of inputs: what comes out of each kind of picture. `python tests/runs/matrix.py` prints it."""

import pytest
from matrix import LARGE, METADATA, MIDDLE, MODES, SMALL, cases, network, outcome


@pytest.fixture(scope="module")
def generator():
    return network()


@pytest.mark.parametrize("metadata", METADATA)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [SMALL[1], *(pytest.param(s, marks=pytest.mark.slow) for s in (SMALL[0], *MIDDLE))], ids=str)
def test_every_kind_comes_out_as_it_should(size, mode, metadata, generator, tmp_path):
    found = {case: outcome(case, tmp_path, generator) for case in cases([size], [mode], metadata=[metadata])}
    assert not {case: result for case, result in found.items() if "FAULT" in result}
    assert set(found.values()) != {"-"} or metadata != "plain" or mode in ("YCbCr", "L;12")  # 12 bits of grey need imagecodecs


@pytest.mark.slow
@pytest.mark.parametrize("case", cases(LARGE, ["L", "RGB", "RGBA"], [".png", ".jpg"], ["plain", "turned"]), ids=str)
def test_large_pictures(case, generator, tmp_path):
    assert "FAULT" not in outcome(case, tmp_path, generator)
