import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from afterimage.core import compute
from afterimage.core.errors import ParamsError

CPU = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R)
flags\t\t: fpu avx2 avx512f

processor\t: 1
vendor_id\t: Nobody
"""


def pinned(tmp_path: Path, text: str, caller: dict[str, str]) -> dict[str, str]:
    (tmp_path / "params.yaml").write_text(f"compute: {text}\n")
    compute.pin(tmp_path / "params.yaml", caller)
    return caller


def test_whatever_the_caller_says_the_environment_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(compute, "_cores", lambda: 3)
    names = [*compute.UNSET, *compute.PORTABLE, *compute.THREADS, *compute.FIXED]
    quiet = pinned(tmp_path, "{portable: true, threads: 3}", {})
    loud = pinned(tmp_path, "{portable: true, threads: 3}", dict.fromkeys(names, "17"))
    assert quiet == loud
    assert {quiet[name] for name in compute.THREADS} == {"3"}
    assert quiet.items() >= compute.PORTABLE.items()


@pytest.mark.parametrize(("cores", "policy"), [(1, "PASSIVE"), (2, "PASSIVE"), (3, None), (16, None)])
def test_threads_that_wait_leave_a_core_where_there_are_too_few(
    cores: int, policy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "_cores", lambda: cores)
    assert pinned(tmp_path, "{portable: true, threads: 3}", {}).get("OMP_WAIT_POLICY") == policy


def test_what_is_not_portable_takes_the_machine_as_it_is_but_for_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "_cores", lambda: 16)
    callers = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "SSE2", "OMP_NUM_THREADS": "7", "HOME": "/root"}
    found = pinned(tmp_path, "{portable: false, threads: 16}", callers)
    assert found == {"HOME": "/root", **dict.fromkeys(compute.THREADS, "16"), **compute.FIXED}


def test_another_kind_of_processor_has_no_avx2_to_be_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute.platform, "machine", lambda: "arm64")
    assert not compute.PORTABLE.keys() & pinned(tmp_path, "{portable: true, threads: 2}", {}).keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{portable: true}", r"params\.yaml: `compute\.threads`: this key is missing"),
        ("{portable: true, threads: 0}", r"`compute\.threads`: 0"),
        ("{portable: sometimes, threads: 1}", r"`compute\.portable`: 'sometimes'"),
        ("[]", r"`compute` should be a mapping"),
    ],
)
def test_a_wrong_section_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=message):
        pinned(tmp_path, text, {})


def test_the_cpu_is_that_of_the_first_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "CPUINFO", tmp_path / "cpuinfo")
    assert compute.cpu() == {"machine": compute.platform.machine()}  # where the system does not tell
    (tmp_path / "cpuinfo").write_text(CPU)
    about = {"vendor": "GenuineIntel", "family": "6", "model": "143", "name": "Intel(R) Xeon(R)"}
    assert compute.cpu() == {"machine": compute.platform.machine(), **about}
    monkeypatch.setattr(compute.platform, "machine", lambda: "x86_64")
    assert pinned(tmp_path, "{portable: true, threads: 1}", {})["OPENCV_CPU_DISABLE"] == "AVX512-SKX"
    (tmp_path / "cpuinfo").write_text(CPU.replace(" avx512f", ""))
    assert "OPENCV_CPU_DISABLE" not in pinned(tmp_path, "{portable: true, threads: 1}", {})


def test_nothing_that_computes_is_loaded_before_a_stage_begins() -> None:
    """Libraries read the environment when they are loaded: later it changes nothing."""
    libraries = {"numpy", "torch", "cv2", "scipy", "skimage", "PIL", "av"}
    code = f"import sys\nfrom afterimage.core import layout, params, stage\nprint({libraries} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_libraries_obey(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("compute: {portable: true, threads: 3}\n")
    code = """
from pathlib import Path
from afterimage.core import compute
compute.pin(Path("params.yaml"))
import cv2, numpy, torch
from threadpoolctl import threadpool_info
print(torch.get_num_threads(), torch.backends.cpu.get_cpu_capability())
print(numpy.show_config("dicts")["SIMD Extensions"]["found"])
print(cv2.ipp.getIppVersion().split(" (")[0])
print({pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"})
print({(pool["user_api"], pool["num_threads"]) for pool in threadpool_info()})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[:4] == ["3 AVX2", "['X86_V3']", "ippIP AVX2", "{'Haswell'}"]
    assert ast.literal_eval(done.stdout.splitlines()[4]) == {("openmp", 3), ("blas", 1)}


def test_the_square_root_is_one() -> None:
    values = torch.tensor([0.0, 1e-30, 0.25, 2.0, 1e30, float("inf")])
    torch.testing.assert_close(compute.sqrt(values), values.double().sqrt().float(), rtol=2e-7, atol=0)
    slope = torch.tensor([4.0], requires_grad=True)
    compute.sqrt(slope).backward()
    assert slope.grad is not None
    assert slope.grad.item() == pytest.approx(0.25)


def test_no_tensor_takes_a_root_or_a_step_by_code_of_one_maker() -> None:
    """`torch.sqrt` and the optimisers that call it give other last bits on another maker's CPU: `compute.sqrt`."""
    allowed = {
        ("core/compute.py", "rsqrt"),
        ("training/loop.py", "AdamW"),
        ("reconstructors/inversion/descent.py", "rsqrt"),
    }
    found = set()
    for path in sorted((ROOT / "src/afterimage").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            name = node.func.attr
            if owner.endswith("optim") or (name in ("sqrt", "rsqrt", "sqrt_") and owner not in ("np", "math")):
                found.add((path.relative_to(ROOT / "src/afterimage").as_posix(), name))
    assert found == allowed
