"""Work over a device mesh: members split over the axis "members", samples over the axis "data".

Members are split by hand (`shard_map`), so that each device loops over its own until they are done,
without waiting for those of others. Samples are split by the compiler, which adds up what comes of
each device's share: nothing that is computed from them has to know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ("members", "data")


def checked(mesh: Any) -> Mesh | None:
    """The mesh, if it is None or one with axes out of `AXES`.

    Raises:
        TypeError, ValueError: if it is not.
    """
    if mesh is None:
        return None
    if not isinstance(mesh, Mesh):
        raise TypeError(f"mesh must be a jax.sharding.Mesh, got {mesh!r}")
    if not mesh.axis_names or not set(mesh.axis_names) <= set(AXES):
        raise ValueError(f"mesh must have axes out of {AXES}, got {mesh.axis_names}")
    # Newer versions of JAX make axes that would have to be named in every operation on the lanes.
    types = (AxisType.Auto,) * len(mesh.axis_names)
    return Mesh(mesh.devices, mesh.axis_names, axis_types=types)


def parts(mesh: Mesh | None, axis: str = "members") -> int:
    """Among how many devices an axis is split; 1 if the mesh does not have it."""
    return 1 if mesh is None else mesh.shape.get(axis, 1)


def member_spec(mesh: Mesh) -> PartitionSpec:
    """How the leading axis of members lies on a mesh."""
    return PartitionSpec("members") if "members" in mesh.axis_names else PartitionSpec()


def members_placed(mesh: Mesh | None, members: Any) -> Any:
    """Arrays with a leading axis of members on their devices; whole where they do not divide.

    Calls of one program with arrays that lie elsewhere would compile it once more.
    """
    if mesh is None:
        return jax.device_put(members)
    size = jnp.shape(jax.tree.leaves(members)[0])[0]
    spec = PartitionSpec() if size % parts(mesh) else member_spec(mesh)
    return jax.device_put(members, NamedSharding(mesh, spec))


def whole(mesh: Mesh | None, arrays: Any) -> Any:
    """Arrays on every device; without a mesh as they are."""
    return arrays if mesh is None else jax.device_put(arrays, NamedSharding(mesh, PartitionSpec()))


def samples_placed(mesh: Mesh | None, name: str, arrays: Any) -> Any:
    """Arrays on the devices: those with as many rows as the first that has any split over "data".

    Args:
        mesh: the mesh; without one nothing is moved.
        name: of the arrays, for the error.
        arrays: pytree.

    Raises:
        ValueError: if these rows cannot be split evenly.
    """
    if mesh is None:
        return arrays
    count = parts(mesh, "data")
    rows = [jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(arrays)]
    samples = next(filter(None, rows), ())
    if "data" in mesh.axis_names and (samples in ((), (0,)) or samples[0] % count):
        raise ValueError(
            f"mesh splits the samples in {count}: the first array in {name} must have a multiple "
            f"of {count} rows, got {samples[0] if samples else 'none'}"
        )

    def place(leaf: Any) -> jax.Array:
        along = "data" in mesh.axis_names and jnp.shape(leaf)[:1] == samples
        spec = PartitionSpec("data") if along else PartitionSpec()
        return jax.device_put(leaf, NamedSharding(mesh, spec))

    return jax.tree.map(place, arrays)


def over_members(
    mesh: Mesh | None, function: Callable[..., Any], members: tuple, *shared: Any
) -> Any:
    """`function(*members, *shared)`, every device with its share of the members.

    Called while a program is traced. Where the members cannot be split evenly, the first is
    computed more than once, and what comes of that is left out.

    Args:
        mesh: checked; without one, or an axis "members", there is one share.
        function: of arrays with a leading axis of members, to arrays with that axis, which computes
            each member without regard to the others.
        members: arrays with a leading axis of members, pytrees.
        shared: arrays that all members share, pytrees.
    """
    if mesh is None or "members" not in mesh.axis_names:
        return function(*members, *shared)
    size = jax.tree.leaves(members)[0].shape[0]
    missing = -size % parts(mesh)
    if missing:
        rows = jnp.concatenate([jnp.arange(size), jnp.zeros(missing, int)])
        members = jax.tree.map(lambda a: jnp.asarray(a)[rows], members)
    spec = member_spec(mesh)
    found = jax.shard_map(
        lambda members, shared: function(*members, *shared),
        mesh=mesh,
        in_specs=(spec, PartitionSpec()),
        out_specs=spec,
        axis_names={"members"},
        check_vma=False,
    )(members, shared)
    return jax.tree.map(lambda a: a[:size], found) if missing else found
