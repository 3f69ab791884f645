"""The compressed sensing experiment, small: what must hold, run folder, figure, resume."""

import json

import pytest

from experiments import compressed_sensing
from nsjax import runs


def test_run_and_resume(tmp_path, capsys, forbid):
    """Pursuit is OMP, the flow with memory basis pursuit; a rerun computes nothing again."""
    config = compressed_sensing.Config(
        dimension=20,
        samples=12,
        sparsities=(4,),
        instances=6,
        deltas=(1e-2,),
        alphas=(1.0, 1e-6),
        followed=2,
        followed_alpha=1e-6,
        phase_samples=(12,),
        phase_sparsities=(2, 12),
        phase_instances=3,
        phase_deltas=(1e-2,),
        phase_alphas=(1.0, 1e-6),
        root=tmp_path,
    )
    folder = compressed_sensing.main(config)
    found = runs.from_json(json.loads((folder / "results.json").read_text())["values"])
    table, phase = found["table"]["4"], found["phase"]
    assert table[compressed_sensing.PURSUIT]["order_as_omp"] == 6
    assert table[compressed_sensing.PURSUIT]["as_omp"][0] == 1
    assert table[compressed_sensing.MEMORY]["as_bp"][0] == 1
    assert table[compressed_sensing.MEMORY]["l1_most"] == pytest.approx(1, abs=1e-8)
    # A large start is no sparse solution.
    assert table[compressed_sensing.descent_label(1.0)]["as_bp"][0] == 0
    assert table["followed"]["residual"] < 1e-5
    assert max(table["residuals"].values()) < 1e-5
    # Two of twelve is easy; as many as there are samples is hopeless.
    assert phase[compressed_sensing.BP][0] == [1]
    assert phase[compressed_sensing.BP][1] == [0]
    assert (folder / "figures" / "compressed_sensing.png").stat().st_size > 5000
    assert "support: OMP" in capsys.readouterr().out

    forbid(compressed_sensing, "solve")
    assert compressed_sensing.main(config) == folder
