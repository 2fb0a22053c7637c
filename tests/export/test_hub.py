"""Publishing a row, and `hf://user/name` where commands take a row, against a stand-in of the hub."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pictures
import pytest
from conftest import ROOT
from hubs import Models
from PIL import Image
from ruamel.yaml import YAML
from servers import serving
from toys import call

from afterimage.core import outputs, zoo
from afterimage.core.errors import AfterimageError, ParamsError, WeightsError
from afterimage.export import hub

ROW, REPOSITORY = "zoo/real-blind", "me/blind"
NAME = f"hf://{REPOSITORY}"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Models]:
    """A hub on this machine, an empty cache, an account and an empty working folder."""
    from huggingface_hub import constants

    found = Models()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", found.token)
    with serving(found) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is published of a row of the zoo."""
    from afterimage.export import publishing

    path = tmp_path_factory.mktemp("published") / "blind"
    publishing.write(ROOT, ROW, REPOSITORY, path, None)
    return path


def front(folder: Path) -> dict[str, object]:
    text = (folder / zoo.README).read_text(encoding="utf-8")
    found: dict[str, object] = YAML(typ="safe", pure=True).load(text.split("---\n")[1])
    return found


def test_the_folder_is_a_project_with_a_zoo_of_one_row(folder: Path) -> None:
    assert zoo.names(folder) == [ROW]
    card = zoo.card(folder, ROW)
    zoo.check(folder / ROW, card["sha256"])
    assert card["sha256"] == zoo.card(ROOT, ROW)["sha256"]
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "pictures", "zoo"]


def test_the_card_has_metrics_licence_and_tags_for_the_hub(folder: Path) -> None:
    said = front(folder)
    card = zoo.card(ROOT, ROW)
    assert said["license"] == "other" and "image-restoration" in said["tags"]  # type: ignore[operator]
    (index,) = said["model-index"]  # type: ignore[misc]
    found = {
        (each["dataset"]["type"], each["dataset"]["config"], metric["type"]): metric["value"]
        for each in index["results"]
        for metric in each["metrics"]
    }
    wanted = {
        (case["dataset"], case["case"], name): value["mean"]
        for case in card["results"]
        for name, value in case["metrics"].items()
    }
    assert found == wanted and len(wanted) > 50
    text = (folder / zoo.README).read_text(encoding="utf-8")
    assert card["about"]["licence"] in text and f"afterimage restore {NAME} photograph.jpg" in text


def test_pictures_show_what_is_given_the_answer_and_the_photograph(folder: Path) -> None:
    text = (folder / zoo.README).read_text(encoding="utf-8")
    names = sorted(path.name for path in (folder / "pictures").iterdir())
    assert names == ["chelsea.jpg", "coffee.jpg", "rocket.jpg"]
    for name in names:
        assert f"](pictures/{name})" in text
        strip = np.asarray(Image.open(folder / "pictures" / name)).astype(int)
        third = (strip.shape[1] - 16) // 3
        given, answer, photograph = (strip[:, at : at + third] for at in (0, third + 8, 2 * third + 16))
        assert min(np.abs(answer - given).mean(), np.abs(answer - photograph).mean()) > 2


def test_a_dry_run_leaves_the_folder_and_sends_nothing(models: Models) -> None:
    code, said, error = call("publish", ROW, REPOSITORY, "--dry-run", "--project", ROOT)
    assert (code, error, models.commits) == (0, "", {})
    size = (ROOT / ROW / "model.safetensors").stat().st_size
    assert f"blind/zoo/real-blind/model.safetensors  {size:,} bytes" in said.splitlines()
    assert said.splitlines()[-1] == "nothing was sent; blind/README.md is the card"
    code, _, error = call("publish", ROW, REPOSITORY, "--dry-run", "--project", ROOT)
    assert code == 1 and "--overwrite" in error


def test_a_row_is_sent_and_used_from_the_hub_as_from_the_zoo(
    models: Models, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"/{REPOSITORY}/commit/" in hub.sent(folder, REPOSITORY, private=False)
    first, second = models.commits[REPOSITORY]
    Path("photo.png").write_bytes(pictures.png(61, 45))
    for row, out in ((NAME, "hub.png"), (f"{NAME}@{second}", "pinned.png"), (ROW, "zoo.png")):
        code, _, error = call("restore", row, "photo.png", "-o", out, "--project", ROOT)
        assert (code, error) == (0, "")
        assert Path(out).read_bytes() == Path("hub.png").read_bytes()
    code, said, _ = call("card", NAME)
    assert code == 0 and said.startswith("# zoo/real-blind")
    code, _, error = call("restore", f"{NAME}@{first}", "photo.png", "--project", ROOT)
    assert code == 1 and error.endswith("the repository holds no rows in zoo/, expected one\n")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")  # nobody listens there, and the cache has it
    code, _, error = call("restore", NAME, "photo.png", "-o", "again.png", "--project", ROOT)
    assert (code, error) == (0, "")


def test_the_name_of_an_output_has_that_of_the_row(models: Models, folder: Path) -> None:
    hub.sent(folder, REPOSITORY, private=False)
    Path("photo.png").write_bytes(pictures.png(45, 33))
    assert call("restore", NAME, "photo.png")[:2] == (0, "photo.png: 1 image -> photo-zoo-real-blind.png\n")


def test_publishing_again_removes_what_is_no_more(models: Models, folder: Path, tmp_path: Path) -> None:
    hub.sent(folder, REPOSITORY, private=False)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / ROW).rename(other / "zoo/renamed")
    hub.sent(other, REPOSITORY, private=False)
    assert hub.fetched(NAME)[1] == "zoo/renamed"
    assert ".gitattributes" in list(models.commits[REPOSITORY].values())[-1]


@pytest.mark.parametrize("kind", ["external", "inversion", "transfer", None])
def test_a_row_that_runs_code_from_elsewhere_is_not_taken(
    models: Models, folder: Path, tmp_path: Path, kind: str | None
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    path = other / ROW / zoo.CARD
    card = json.loads(path.read_text())
    card["settings"] |= {"kind": kind, "format": "python", "call": "os:abort", "trust": True}
    outputs.write_json(path, card)
    hub.sent(other, REPOSITORY, private=False)
    with pytest.raises(WeightsError, match="only autoencoder, decoder, pix2pix, pixelrnn are taken from the hub"):
        hub.fetched(NAME)


def test_another_file_than_that_of_the_card_is_not_loaded(models: Models, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / ROW / "model.safetensors").write_bytes(b"other")
    hub.sent(other, REPOSITORY, private=False)
    Path("photo.png").write_bytes(pictures.png(45, 33))
    code, _, error = call("restore", NAME, "photo.png")
    assert code == 1 and "model.safetensors: its sha256 is" in error and error.count("\n") == 1


@pytest.mark.parametrize("row", ["hf://", "hf://name", "hf://me/blind@", "hf://me/blind@a/", "hf://me /blind"])
def test_a_name_that_is_none_says_the_form(row: str) -> None:
    with pytest.raises(ParamsError, match=r"expected hf://USER/NAME, with @REVISION or /CASE"):
        hub.fetched(row)


def test_without_a_network_there_is_one_line(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    code, _, error = call("restore", NAME, "photo.png")
    expected = "afterimage: me/blind: http://127.0.0.1:1 cannot be reached, and the cache does not have it\n"
    assert (code, error) == (1, expected)
    code, _, error = call("publish", ROW, REPOSITORY, "--project", ROOT)
    assert (code, error) == (1, "afterimage: me/blind: http://127.0.0.1:1 cannot be reached\n")


def test_what_the_hub_does_not_have_or_refuses_is_one_line(
    models: Models, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(hub.HubError, match="has no such repository of models"):
        hub.fetched(NAME)
    hub.sent(folder, REPOSITORY, private=False)
    with pytest.raises(hub.HubError, match="there is no revision v9"):
        hub.fetched(f"{NAME}@v9")
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(hub.HubError, match="HF_TOKEN"):
        hub.sent(folder, REPOSITORY, private=False)
    with pytest.raises(ParamsError, match="expected USER/NAME"):
        hub.checked("blind")


def test_a_row_of_the_project_needs_a_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from afterimage import apply
    from afterimage.export import publishing

    applied = SimpleNamespace(card={"kind": "autoencoder"})
    monkeypatch.setattr(apply, "load", lambda *_: applied)
    with pytest.raises(AfterimageError, match="say by --licence"):
        publishing.write(tmp_path, "mine", REPOSITORY, tmp_path / "out", None)
    applied.card = {"kind": "external"}
    with pytest.raises(AfterimageError, match="no weights of their own"):
        publishing.write(tmp_path, "mine", REPOSITORY, tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_the_hub_is_told_nothing_about_this_machine() -> None:
    program = (
        "from afterimage.export import hub; from huggingface_hub import constants, utils\n"
        "assert constants.HF_HUB_DISABLE_TELEMETRY\n"
        "print(utils.build_hf_headers()['user-agent'])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("TELEMETRY")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert "torch" not in done.stdout and "session_id" not in done.stdout
