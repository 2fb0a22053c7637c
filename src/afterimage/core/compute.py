"""What decides the last bits of a float: instructions and threads, pinned before a numeric library is loaded.

Libraries pick their code by the CPU that they find, and split sums by the number of threads. Both change the last bits
of a result, and training makes them the first digits. A stage that is `portable` runs the AVX2 code of every library,
which is the same on the x86-64 CPUs of all makers, on a number of threads that the parameters say and not the machine.

Each of these changed bits where it was left out, or picks code by the CPU: ATen's kernels, oneDNN's convolutions, MKL's
products (its one mode that is the same on all makers' CPUs is `COMPATIBLE`), NumPy's loops, OpenBLAS under NumPy and
SciPy, OpenCV's loops, and Intel's IPP within it. What is integer by design (libjpeg-turbo, the video codecs) needs no
pinning, nor does what is built for every x86-64 CPU (Pillow, scikit-image, matplotlib).
"""

import os
import platform
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from afterimage.core import params

if TYPE_CHECKING:
    from torch import Tensor

SECTION = "compute"
CPUINFO = Path("/proc/cpuinfo")


class ComputeRow(params.Row):
    """The section `compute`: what the bits of all results depend on besides code, parameters and data."""

    portable: bool
    """Whether all x86-64 machines with AVX2 get the same bits. If not, the libraries take the fastest code for the CPU,
    and only machines of one type get the same: for large runs on a GPU, whose own code differs by type anyway."""
    threads: int = Field(gt=0)
    """Of torch; may be more than there are cores."""


PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "NPY_ENABLE_CPU_FEATURES": "X86_V3",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENCV_IPP": "avx2",
}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
FIXED = {
    "OMP_DYNAMIC": "FALSE",  # or the load of the machine decides how many threads there are
    "MKL_DYNAMIC": "FALSE",
    "OPENBLAS_NUM_THREADS": "1",  # it takes no more threads than there are cores, whatever it is told
}
UNSET = (
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_DEBUG_CPU_TYPE",
    "NPY_DISABLE_CPU_FEATURES",
    "OPENCV_CPU_DISABLE",
    "OPENBLAS_DEFAULT_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_DOMAIN_NUM_THREADS",
    "OMP_THREAD_LIMIT",
    "OMP_PLACES",
    "OMP_PROC_BIND",
    "GOMP_CPU_AFFINITY",
)
"""What a caller's environment may hold of the same kind: other names of the above, and limits of threads."""


def pin(path: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the environment that numeric libraries read when they are loaded, so before any of them is imported.

    Args:
        path: the parameter file with the section `compute`.

    Raises:
        ParamsError: it has no such section, or not what that expects.
    """
    row = params.table(path, SECTION, ComputeRow)
    for name in (*UNSET, *PORTABLE):
        environment.pop(name, None)
    environment.update(dict.fromkeys(THREADS, str(row.threads)) | FIXED)
    if row.portable and platform.machine() in ("x86_64", "AMD64"):
        environment.update(PORTABLE)
    _suit(environment)


def pinned(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What `pin` has set, for `take` in a process of another machine; nothing where it was not called."""
    return {name: environment[name] for name in (*PORTABLE, *THREADS, *FIXED) if name in environment}


def take(given: Mapping[str, str], environment: MutableMapping[str, str] = os.environ) -> None:
    """Pin this process as another one is; before a numeric library is loaded, as `pin`."""
    for name in (*UNSET, *PORTABLE, *THREADS, *FIXED):
        environment.pop(name, None)
    environment.update(given)
    _suit(environment)


def _suit(environment: MutableMapping[str, str]) -> None:
    """Set what the pinned environment needs on the CPU of this machine."""
    if _cores() < int(environment.get(THREADS[0], "1")):  # spinning, those that wait would keep the others from a core;
        environment["OMP_WAIT_POLICY"] = "PASSIVE"  # else it saves a third
    if PORTABLE.items() <= environment.items() and "avx512f" in _cpuinfo().get("flags", "").split():
        environment["OPENCV_CPU_DISABLE"] = "AVX512-SKX"  # OpenCV warns of the name on a CPU without


def sqrt(values: "Tensor") -> "Tensor":
    """The square root, by arithmetic that IEEE 754 defines to the last bit.

    `torch.sqrt` on a CPU is MKL's, which refines the CPU's estimate of 1 / sqrt(x); AMD and Intel estimate differently,
    and no setting of MKL's changes that. Optimisers take roots too: `training.loop.adam`.
    """
    return values.rsqrt().reciprocal()


def cpu() -> dict[str, str]:
    """The kind of this machine's CPU: `vendor`, `family`, `model` and `name`; what the system does not tell is left
    out."""
    found = _cpuinfo()
    keys = {"vendor": "vendor_id", "family": "cpu family", "model": "model", "name": "model name"}
    return {"machine": platform.machine(), **{key: found[name] for key, name in keys.items() if name in found}}


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first core."""
    if not CPUINFO.is_file():
        return {}
    first = CPUINFO.read_text(encoding="utf-8").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
