"""Compiled programs are kept across processes: no host callback keeps them out of JAX's cache."""

import subprocess
import sys

SCRIPT = """
import sys
import jax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
counts = {"hits": 0, "misses": 0}
def listen(event, **_):
    for name in counts:
        counts[name] += event == f"/jax/compilation_cache/cache_{name}"
jax.monitoring.register_event_listener(listen)
import jax.numpy as jnp
import numpy as np
import nsjax
x = jax.random.normal(jax.random.key(0), (12, 2))
y = jnp.abs(x[:, :1])
params = (jnp.zeros((1, 2)), jnp.zeros((1, 1)))
result = nsjax.dynamics.escape(
    params, (np.array([True]),), x, y, nsjax.PolyLeakyReLU(2), delta=float(sys.argv[2])
)
assert result.result == 0 and result.method == "slow", result.message
flow = nsjax.dynamics.gradient_flow(
    nsjax.objectives.NetworkLoss(nsjax.PolyLeakyReLU(2)), result.params, args=(x, y), t1=1.0,
    method="implicit", events=nsjax.dynamics.Event("loss", below=1e-9),
)
print(counts["hits"], counts["misses"])
"""


def run(cache, delta):
    """Cache hits and misses of one process."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(cache), delta],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()[-2:]]


def test_a_second_process_compiles_nothing(tmp_path):
    """The second run, at another delta, finds every program in the cache of the first."""
    _, misses = run(tmp_path, "1e-4")
    assert misses > 10
    hits, misses = run(tmp_path, "1e-6")
    assert misses == 0
    assert hits > 10
