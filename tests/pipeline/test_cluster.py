"""Stages of the tiny project on a cluster of two nodes, one of which dies meanwhile."""

import subprocess
from pathlib import Path

from clusters import started
from conftest import Project, ran

SHARED = ("shard@photos", "observe@small", "evaluate@pix2pix")
CARRIED = ("observe@two-boxes", "observe@small")


def test_a_cluster_gives_the_bytes_of_one_machine_though_a_node_dies(project: Project, tmp_path: Path) -> None:
    copy = project.copy(tmp_path / "copy")
    before = copy.results()
    with started(2) as nodes:
        for files, stages in (("shared", SHARED), ("carried", CARRIED)):
            environment = {
                **copy.environment,
                "AFTERIMAGE_ENGINE": f"ray:{nodes.address}",
                "AFTERIMAGE_FILES": files,
            }
            words = ["dvc", "repro", "--force", "--single-item", *stages]
            with subprocess.Popen(
                words, cwd=copy.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as run:
                assert run.stdout is not None
                said = []
                for line in run.stdout:
                    said.append(line)
                    if line.startswith("Running stage 'observe@small'") and files == "shared":
                        nodes.kill(1)
            assert run.returncode == 0, "".join(said)
            assert sorted(ran("".join(said))) == sorted(stages)
    assert copy.results() == before
    assert not list(copy.root.rglob(".*.partial"))
