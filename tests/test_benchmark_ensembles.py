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
    values = json.loads((folder / "results.json").read_text())["values"]
    (found,) = values.values()
    assert list(values) == ["float64, 8 x 3 x 2"]
    assert found["gain"] > 0
    assert found["held"] == (found["gain"] >= ensembles.GAIN)
    (taken,) = ensembles.measure_devices(config).values()
    assert [len(way) for way in taken] == [2, 2]
