"""The checks of codecs in software and hardware."""

from __future__ import annotations

import pytest
from support.doctor import LAPTOP, NO_DRIVER
from support.gpu import without_gpu

from toonvid.doctor import codecs


def test_codecs_are_opened_and_a_missing_one_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    encoders, decoders = codecs.check_software_codecs()
    assert encoders.facts["works"] == ["x264", "x265", "AV1", "VP9", "AAC", "Opus"]
    assert decoders.state == "ok"
    monkeypatch.setattr(codecs, "_ENCODERS", {"x264": "libx264", "Daala": "daala"})
    encoders, _ = codecs.check_software_codecs()
    assert (encoders.state, encoders.message) == (
        "broken",
        "x264; not Daala (this FFmpeg has none)",
    )


def test_nvidia_codecs_without_a_gpu_are_missing() -> None:
    found = codecs.check_nvidia_codecs(NO_DRIVER)
    assert [(check.name, check.state) for check in found] == [
        ("nvdec", "missing"),
        ("nvenc", "missing"),
    ]
    assert {check.message for check in found} == {"there is no NVIDIA driver"}


def test_a_gpu_need_not_have_every_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "nvdec_problem", lambda: "")
    problems = {"av1_nvenc": "Codec not supported"}
    monkeypatch.setattr(codecs, "encoder_problem", lambda name: problems.get(name, ""))
    nvdec, nvenc = codecs.check_nvidia_codecs(LAPTOP)
    assert nvdec.state == nvenc.state == "ok"
    assert nvenc.message == "h264_nvenc, hevc_nvenc; av1_nvenc: Codec not supported"


@without_gpu
def test_a_gpu_whose_codecs_fail_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = codecs.check_nvidia_codecs(LAPTOP)
    assert [check.state for check in found] == ["broken", "broken"]
