"""The pursuit benchmark: rooms and counts of programs, its verdicts, and a small whole run."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import pursuit as benchmark
from benchmarks.pursuit import DOUBLING, EXACT
from nsjax import pursuit
from nsjax.pursuit.refitting import refit


def test_exact_room():
    """Neurons beyond the room are cut; zero ones fill it."""
    params = jnp.ones((2, 4, 3)), jnp.ones((2, 4, 4)), jnp.ones((2, 1, 4))
    state = pursuit.State(**dict.fromkeys(pursuit.State._fields))._replace(params=params)
    for room in (2, 6):
        found = benchmark.exact(state, room).params
        assert [w.shape for w in found] == [(2, room, 3), (2, room, room), (2, 1, room)]
        kept = min(room, 4)
        assert [int(jnp.sum(w)) for w in found] == [6 * kept, 2 * kept**2, 2 * kept]


def test_programs_of_pursuit():
    """Those of single operations, and of other libraries, do not count."""
    seen = {f"jit({refit.__name__})": [1.0, 2.0], "jit(multiply)": [0.5], "jit(other)": [1.0]}
    assert benchmark.of_pursuit(seen) == {"jit(refit)": [1.0, 2.0]}


def test_compilations_are_seen():
    """By the name of the function, as long as the context lasts."""

    def doubled(x):
        return 2 * x

    with benchmark.compilations() as seen:
        jax.jit(doubled)(np.ones(3))
    jax.jit(lambda x: 3 * x)(np.ones(3))
    assert [(name, len(times)) for name, times in seen.items()] == [("jit(doubled)", 1)]


def test_aims():
    """Each against what is wanted."""
    ours = {"programs": 6, "cpu_seconds": 1.0, "neurons": 32, "by_name": {"jit(grow)": 6}}
    theirs = ours | {"cpu_seconds": 3.0, "run": [0, 1], "rounds": 9}
    found = benchmark.growth_rows({DOUBLING: ours, EXACT: theirs})
    start = {"compilation": 9.0, "first": 9.5, "wall_seconds": {}}
    found += benchmark.other_rows(benchmark.Config(), {"grow": [1.0]}, start)
    assert [row.outcome for row in found] == ["not met", "met", "", "met"]
    assert [row.ours for row in found] == [1e3, 6, 1e3, 9.0]


@pytest.mark.slow
def test_run(tmp_path, capsys):
    """A run folder with the results of every part."""
    config = benchmark.Config(
        dimension=4, samples=80, neurons=4, lanes=2, rounds=1, repeats=1, root=tmp_path
    )
    folder = benchmark.main(config).path
    results = json.loads((folder / "results.json").read_text())["values"]
    growth = results["growth"]
    assert growth[DOUBLING]["neurons"] >= 4
    assert growth[DOUBLING]["rounds"] == growth[EXACT]["rounds"]
    assert growth[EXACT]["run"] == [0, 1]
    assert growth[DOUBLING]["programs"] < growth[EXACT]["programs"]
    assert results["cold"]["compilation"] > 0
    found = results["rows"]
    minimisers = [row["reference"] for row in found if row["what"].startswith("minimiser")]
    default = pursuit.Config().minimiser
    assert minimisers == [name for name in pursuit.config.MINIMISERS if name != default]
    assert "What pursuit costs" in capsys.readouterr().out
