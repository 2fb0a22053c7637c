"""`afterimage card`: the three forms of a card, and what it imports."""

import json
import subprocess
import sys
from pathlib import Path

import measured
import pytest
from toys import call

HEAVY = ("torch", "matplotlib", "pandas", "sklearn", "skimage", "streamlit")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A row and its baseline as measured; commands are given in another folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    measured.params(
        observations={"boxes": {"kind": "holes", "dataset": "photos", "path": "src"}},
        reconstructors={
            "mine": {"kind": "pix2pix", "dataset": "photos", "observes": "holes", "observation": "boxes"},
        },
        baselines={"holes": ["telea"]},
    )
    measured.result("holes", "mine", "test", 30.0, hole_psnr=25.0)
    measured.result("holes", "boxes", "telea", 28.0, hole_psnr=23.0)
    monkeypatch.chdir(tmp_path)
    return folder


def test_text_markdown_and_json(project: Path, tmp_path: Path) -> None:
    code, said, _ = call("card", "mine", "--project", project)
    assert code == 0 and Path.cwd() == tmp_path
    lines = said.splitlines()
    assert lines[0] == "mine: pix2pix of boxes, holes of photos"
    assert [name.strip() for name in lines[2].split("  ")[-3:]] == ["hole PSNR ↑", "PSNR in dB ↑", "SSIM ↑"]
    assert lines[3].split() == ["mine", "25.00", "30.00", "0.300"]
    assert lines[5].split() == ["telea", "23.00", "28.00", "0.280"]
    code, said, _ = call("card", "mine", "--markdown", "--project", project)
    assert code == 0 and said.startswith("### mine: pix2pix of boxes, holes of photos\n\n| ")
    code, said, _ = call("card", "mine", "--json", "--project", project)
    found = json.loads(said)
    assert code == 0 and found["cases"]["test"]["headline"][0] == "hole_psnr"
    assert found["cases"]["test"]["baselines"]["telea"]["psnr"]["mean"] == pytest.approx(28.0)
    assert found["measured"] is None and isinstance(found["code"], str)


def test_an_unknown_row_is_one_line(project: Path) -> None:
    assert call("card", "none", "--project", project) == (
        1,
        "",
        "afterimage: params.yaml: there is no row `none`; there are boxes, mine\n",
    )


def test_a_card_imports_nothing_heavy(project: Path) -> None:
    program = (
        "import sys; from afterimage.cli import main\n"
        "try: main(['card', 'mine'])\n"
        "finally: print(sorted(name for name in sys.modules if '.' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=True)
    assert "'afterimage'" in done.stdout and "Commit" in done.stdout
    assert [name for name in HEAVY if f"'{name}'" in done.stdout] == []


def test_rows_and_observations_complete(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from afterimage.cli import main

    def completions(incomplete: str) -> list[str]:
        words = f"afterimage card --project {project} {incomplete}"
        environment = {"_AFTERIMAGE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "4"}
        said = CliRunner(env=environment).invoke(main, prog_name="afterimage").output
        return [line.partition(",")[2] for line in said.split()]

    assert completions("m") == ["mine"] and completions("b") == ["boxes"] and completions("x") == []
    (project / "params.yaml").write_text("[")
    assert completions("m") == []
