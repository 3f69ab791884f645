import json

from benchmarks import task_conv


def test_every_template_is_timed_beside_a_plain_layer(tmp_path):
    config = task_conv.Config(batch=2, size=4, channels=(2,), features=3, pairs=2, root=tmp_path)
    folder = task_conv.main(config)
    values = json.loads((folder / "results.json").read_text())["values"]
    found = values["rows"]
    assert [row["what"] for row in found] == [f"train step: {name}" for name in task_conv.TERMS]
    for row, terms in zip(found, task_conv.TERMS.values(), strict=True):
        assert row["ratio"] > 0
        assert (row["outcome"] == "met") == (row["ratio"] >= 1 / (terms.count + 0.5))
