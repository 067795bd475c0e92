"""Check of the CPU and, on Linux, of its vector instructions.

In: /proc/cpuinfo. Out: one or two results. On other systems a further library would be needed;
there, the check of OpenVINO lists what OpenVINO found.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from toonvid.doctor.check_result import CheckResult, CheckState

_CPUINFO = Path("/proc/cpuinfo")
# The kernel's flag for an instruction set that programs may use -> its usual name.
_INSTRUCTIONS_X86 = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_tile": "AMX",
}
_INSTRUCTIONS_ARM = {
    "asimd": "NEON",
    "asimddp": "dot product",
    "i8mm": "INT8 matrices",
    "bf16": "BF16",
    "sve": "SVE",
}


def check_cpu(cpuinfo: Path = _CPUINFO) -> list[CheckResult]:
    """Report the CPU's name and cores; on Linux, its vector instructions too."""
    fields = _read_cpuinfo(cpuinfo)
    name = fields.get("model name") or platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    message = f"{name}, {cores} logical core{'s' * (cores != 1)}"
    found = CheckResult("processor", "processor", "ok", message, facts={"cores": cores or 0})
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return [found, _check_vector_units(flags, "Features" in fields)] if flags else [found]


def _check_vector_units(flags: set[str], is_arm: bool) -> CheckResult:
    names = _INSTRUCTIONS_ARM if is_arm else _INSTRUCTIONS_X86
    present = [name for flag, name in names.items() if flag in flags]
    absent = [name for flag, name in names.items() if flag not in flags]
    state: CheckState = "ok" if present else "missing"
    message = ", ".join(present) or "none that speeds engines up"
    if absent:
        message += f" (not {', '.join(absent)})"
    return CheckResult(
        "processor", "vector-units", state, message, facts={"has": present, "lacks": absent}
    )


def _read_cpuinfo(cpuinfo: Path) -> dict[str, str]:
    """Return the fields of the first core; empty where the file does not exist."""
    try:
        lines = cpuinfo.read_text(errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
