import json

from benchmarks import ensembles


def test_all_ways_are_timed_beside_each_other(tmp_path):
    config = ensembles.Config(
        sizes=((8, 3, 2),),
        dtypes=("float64",),
        members=3,
        few=1,
        saves=2,
        repeats=2,
        devices=0,
        root=tmp_path,
    )
    folder = ensembles.main(config)
    found = json.loads((folder / "results.json").read_text())["values"]["rows"]
    assert [row["size"] for row in found] == ["3 flows, 8 x 3 x 2"] * 3
    assert [row["least"] for row in found] == [ensembles.GAIN, None, None]
    assert all(row["ratio"] > 0 for row in found)
    (taken,) = ensembles.measure_devices(config).values()
    assert [len(way) for way in taken] == [2, 2]
