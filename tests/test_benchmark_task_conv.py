import json

from benchmarks import task_conv


def test_every_template_is_timed_beside_a_plain_layer(tmp_path):
    config = task_conv.Config(batch=2, size=4, channels=(2,), features=3, pairs=2, root=tmp_path)
    folder = task_conv.main(config)
    values = json.loads((folder / "results.json").read_text())["values"]
    assert set(values) == {f"2, {name}" for name in task_conv.TERMS}
    for found in values.values():
        assert found["ratio"] > 0
        assert found["held"] == (found["ratio"] <= found["limit"])
