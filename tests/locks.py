"""Small dvc.lock files, written by hand: a run, and the same run gone another way."""

from pathlib import Path
from typing import Any

from conftest import dump_yaml
from results_folders import commit

from afterimage.core import outputs

CPU = {"machine": "x86_64", "vendor": "AuthenticAMD", "family": "25", "model": "17", "name": "AMD EPYC"}


def stage(deps: dict[str, str], outs: dict[str, str], **params: Any) -> dict[str, Any]:
    hashes = {
        what: [{"path": path, "md5": md5} for path, md5 in each.items()]
        for what, each in (("deps", deps), ("outs", outs))
    }
    return {"cmd": "python", **hashes, "params": {"params.yaml": params}}


def lock(root: Path, code: str = "c", shards: str = "s", model: str = "m", epochs: int = 5, row: str = "b") -> None:
    """Three stages in a row, as DVC writes them: in no order of the pipeline."""
    stages = {
        "evaluate@a": stage({"data/models/a": model, "data/shards/x": shards}, {"metrics/a": f"of {model}"}),
        f"train@{row}": stage({"data/shards/x": shards, "src": code}, {"data/models/b": "n"}),
        "train@a": stage({"data/shards/x/y": shards, "src": code}, {"data/models/a": model}, epochs=epochs),
        "shard@x": stage({"src": code}, {"data/shards/x": shards}),
    }
    dump_yaml({"schema": "2.0", "stages": stages}, root / "dvc.lock")


def committed(root: Path) -> Path:
    """A project with a committed run on this CPU."""
    dump_yaml({"stages": {"shard": {}, "train": {}, "evaluate": {}}}, root / "dvc.yaml")
    lock(root)
    outputs.write_json(root / "built-on.json", {"cpu": CPU})
    commit(root, "A run")
    return root
