"""Hardware decoders and encoders: which are used, why others are not, and their options.

Tests that need a GPU are marked `gpu`; the others need none.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.error import PermissionError as NoLibraryError
from support.clips import Clip, decoded, flat_frame, frame_times, image_file, moving_frames
from support.gpu import require_nvidia_gpu
from support.run_toonvid import run_here

from toonvid.backends import Backend
from toonvid.errors import DeviceMissingError, JobMismatchError, TargetError
from toonvid.ffmpeg import hardware
from toonvid.ffmpeg.color import FrameFormat
from toonvid.ffmpeg.filter_graphs import drained_frames, rgb_graph
from toonvid.ffmpeg.hardware import (
    NVENC,
    Decoding,
    choose_decoding,
    encoder_problem,
    is_decoded_by_gpu,
    is_hardware_encoder,
    is_test_frame,
    nvdec_problem,
)
from toonvid.ffmpeg.nvidia import Gpu, NvidiaInfo, find_nvidia
from toonvid.pipeline import Conversion, ConvertOptions, Progress
from toonvid.reading import decoder as decode
from toonvid.reading import decoder_choice
from toonvid.reading.decoder import VideoDecoder
from toonvid.reading.options import DecodeOptions
from toonvid.resume import fingerprint as job
from toonvid.resume import segmented
from toonvid.resume.eligibility import why_in_one_go
from toonvid.writing import codec as codec_module
from toonvid.writing.codec import Codec
from toonvid.writing.options import EncodeOptions

F = Fraction
LAPTOP = NvidiaInfo((Gpu(0, "NVIDIA GeForce RTX 3050 Laptop GPU", (8, 6), 4 * 2**30),), 13000)
NO_DRIVER = NvidiaInfo(problem="there is no NVIDIA driver: install one")
LEFT_TO_SOFTWARE = "software decodes it: NVDEC is not used for this kind of"
LARGE = (320, 192)  # large enough for NVENC and NVDEC

without_gpu = pytest.mark.skipif(bool(find_nvidia().gpus), reason="there is a GPU here")


def rgb(video: Path, **options: object) -> tuple[VideoDecoder, list[np.ndarray], list[Fraction]]:
    with VideoDecoder(video, DecodeOptions(**options)) as decoder:  # type: ignore[arg-type]
        frames = list(decoder.frames())
    return decoder, [frame.pixels for frame in frames], [frame.seconds for frame in frames]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """24 frames with B-frames, a key frame every 8."""
    frames = moving_frames(24, LARGE)
    options = {"bf": "2", "b_strategy": "0", "g": "8"}
    return Clip(frames, options=options).write(tmp_path / "video.mp4")


# Decoders.


def test_without_a_gpu_software_decodes_without_a_notice() -> None:
    assert choose_decoding("auto", NO_DRIVER) == Decoding("software", "")


def test_a_working_gpu_is_used_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "nvdec_problem", lambda: "")
    expected = Decoding("nvdec", "NVIDIA GeForce RTX 3050 Laptop GPU decodes")
    assert choose_decoding("auto", LAPTOP) == choose_decoding("nvdec", LAPTOP) == expected
    assert choose_decoding("software", LAPTOP) == Decoding("software", "")


@without_gpu
def test_a_failing_nvdec_is_reported_with_the_message_of_ffmpeg() -> None:
    decoding = choose_decoding("auto", LAPTOP)
    assert decoding.name == "software"
    assert decoding.reason.startswith("NVDEC of NVIDIA GeForce RTX 3050 Laptop GPU does not work: ")
    assert "CUDA" in decoding.reason and "\n" not in decoding.reason


def test_requesting_a_missing_nvdec_is_an_error() -> None:
    with pytest.raises(DeviceMissingError, match="NVDEC cannot be used: there is no NVIDIA driver"):
        choose_decoding("nvdec", NO_DRIVER)


@without_gpu
def test_nvdec_is_really_tried() -> None:
    assert nvdec_problem()


def test_the_test_frame_is_recognized() -> None:
    """The test video is decoded in software and converted to the layout that a GPU gives."""
    with av.open(hardware._test_video()) as container:
        frame = next(container.decode(video=0)).reformat(format="nv12")
    assert is_test_frame(frame)
    black = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="nv12")
    assert not is_test_frame(black)


@without_gpu
def test_requesting_missing_hardware_ends_with_3_and_one_line(
    video: Path, engines_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    style = engines_folder / "identity.onnx"
    other = tmp_path / "other.mp4"
    other.write_bytes(video.read_bytes())
    for words, message in (
        (("--decode", "nvdec"), "NVDEC cannot be used"),
        (("--codec", "h264_nvenc"), "h264_nvenc does not encode here"),
        (("--codec", "h264_nvenc", "--crf", "20"), "--codec auto takes software"),
    ):
        ended = run_here(capsys, "convert", video, other, "--style", style, *words)
        assert (ended.code, ended.out) == (3, "")
        assert message in ended.err and ended.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.mp4", "video.mp4"]


def test_auto_is_accepted_for_the_codec_too(
    video: Path, engines_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target.mp4"
    style = ("--style", engines_folder / "identity.onnx")
    words = ("--codec", "auto", "--decode", "auto", "--end", "0.2")
    assert run_here(capsys, "convert", video, "-o", target, *style, *words).code == 0
    assert len(frame_times(target)) == 5


# PyAV opens the source with an accelerator that no decoder here can use: FFmpeg then falls back to
# software without an error, as it does with a video that a real GPU does not decode.


@pytest.fixture
def unusable_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(requested: str) -> Decoding:
        return Decoding("software" if requested == "software" else "nvdec")

    monkeypatch.setattr(decoder_choice, "choose_decoding", choose)
    monkeypatch.setattr(decoder_choice, "nvdec_accelerator", lambda: HWAccel("qsv"))


@pytest.mark.usefixtures("unusable_gpu")
def test_a_video_that_nvdec_does_not_decode_is_refused_if_nvdec_was_requested(
    video: Path,
) -> None:
    words = r"NVDEC does not decode .*video\.mp4 \(h264, yuv420p\): --decode auto takes software"
    with (
        pytest.raises(DeviceMissingError, match=words),
        VideoDecoder(video, DecodeOptions(decode="nvdec")),
    ):
        pass


@pytest.mark.usefixtures("unusable_gpu")
def test_with_auto_such_a_video_is_decoded_completely(video: Path) -> None:
    plain, expected, times = rgb(video, decode="software")
    decoder, found, found_times = rgb(video)
    assert plain.decoded_by == decoder.decoded_by == "software"
    assert found_times == times and np.array_equal(found, expected)


@pytest.mark.usefixtures("unusable_gpu")
@pytest.mark.parametrize(
    ("clip", "options", "notices"),
    [
        (Clip(codec="mpeg4"), {}, [f"{LEFT_TO_SOFTWARE} mpeg4"]),
        (Clip(pix_fmt="yuv422p"), {}, [f"{LEFT_TO_SOFTWARE} h264"]),
        (Clip(codec="mpeg4"), {"low_delay": True}, []),
        (Clip(codec="mpeg4"), {"key_frames_only": True}, []),
        (Clip(codec="mpeg4"), {"decode": "software"}, []),
    ],
)
def test_videos_that_nvdec_may_decode_differently_are_left_to_software(
    clip: Clip, options: dict[str, object], notices: list[str], tmp_path: Path
) -> None:
    decoder, pixels, _ = rgb(clip.write(tmp_path / "clip.mp4"), **options)
    assert decoder.decoded_by == "software" and pixels
    assert decoder.notices == notices


@pytest.mark.usefixtures("unusable_gpu")
def test_images_are_not_decoded_by_nvdec(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(image_file(flat_frame((200, 30, 30)), "png"))
    decoder, [pixels], _ = rgb(image)
    assert decoder.notices == [] and pixels[0, 0].tolist() == [200, 30, 30]


@pytest.mark.parametrize(("soft", "downloaded"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
@pytest.mark.parametrize("size", [LARGE, (96, 64)])
def test_frames_downloaded_from_a_gpu_become_the_same_rgb(
    soft: str, downloaded: str, size: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    frames = []
    for pix_fmt in (soft, downloaded):
        frame = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=soft)
        frame = frame.reformat(format=pix_fmt)
        frame.pts, frame.time_base = 0, F(1, 25)
        assert is_decoded_by_gpu(frame) == (pix_fmt == downloaded)
        graph = rgb_graph(FrameFormat.from_frame(frame, False), F(1, 25), *LARGE)
        graph.vpush(frame)
        [image] = drained_frames(graph)
        frames.append(image.to_ndarray())
    assert np.array_equal(*frames)


# Encoders.


def test_hardware_encoders_are_told_from_software_encoders() -> None:
    assert all(is_hardware_encoder(name) for name in (*NVENC, "h264_qsv", "h264_amf"))
    assert not any(is_hardware_encoder(name) for name in ("libx264", "mpeg4", "libsvtav1"))


def test_an_encoder_is_tried_with_a_frame() -> None:
    assert encoder_problem("libx264") == encoder_problem("mpeg4") == ""


@without_gpu
@pytest.mark.parametrize("name", [*NVENC, "h264_qsv", "h264_amf"])
def test_a_missing_hardware_encoder_is_an_error_of_one_line(name: str) -> None:
    with pytest.raises(DeviceMissingError, match=f"{name} does not encode here: .") as refused:
        Codec(name)
    assert "\n" not in str(refused.value) and "Traceback" not in str(refused.value)


@pytest.fixture
def describable_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets hardware encoders be described without a GPU; they still cannot be opened."""
    monkeypatch.setattr(codec_module, "encoder_problem", lambda name: "")


def opening(options: dict[str, str], name: str = "h264_nvenc") -> type[Exception]:
    """Return the error of opening NVENC without a GPU: FFmpeg parses the options first."""
    context = av.CodecContext.create(name, "w")
    context.width, context.height = LARGE  # type: ignore[attr-defined]
    context.pix_fmt, context.time_base = "yuv420p", F(1, 25)  # type: ignore[attr-defined]
    context.options = options
    with pytest.raises(FFmpegError) as refused:
        context.open()
    return refused.type


@without_gpu
@pytest.mark.usefixtures("describable_encoders")
@pytest.mark.parametrize("name", NVENC)
def test_ffmpeg_accepts_the_options_of_nvenc_before_it_misses_the_gpu(name: str) -> None:
    for codec in (Codec(name), Codec(name, crf=20, preset="p7"), Codec(name, preset="slow")):
        assert opening(codec.options(), name) is NoLibraryError
    assert opening(Codec(name, preset="warp").options(), name) is not NoLibraryError
    assert opening({"rc": "nonsense"}, name) is not NoLibraryError


@pytest.mark.usefixtures("describable_encoders")
def test_crf_sets_the_constant_quality_of_nvenc() -> None:
    assert Codec("hevc_nvenc", crf=28).options() == {"rc": "vbr", "b": "0", "g": "250", "cq": "28"}
    assert Codec("h264_nvenc", preset="p6").options()["preset"] == "p6"
    assert "crf" not in Codec("av1_nvenc").options()
    assert Codec("h264_nvenc").pixel_format(with_alpha=False) == "yuv420p"


@pytest.mark.usefixtures("describable_encoders")
@pytest.mark.parametrize(("name", "crf", "most"), [("h264_nvenc", 0, 51), ("av1_nvenc", 64, 63)])
def test_a_quality_outside_nvencs_range_is_refused(name: str, crf: int, most: int) -> None:
    with pytest.raises(TargetError, match=f"codec {name} takes --crf from 1 to {most}"):
        Codec(name, crf=crf)


@pytest.mark.usefixtures("describable_encoders")
def test_nvenc_has_a_notice_about_reproducibility() -> None:
    assert "not byte for byte" in (Codec("h264_nvenc").notice or "")
    assert Codec("libx264").notice is None


# Resuming.


class Stopped(Exception):
    """Raised by a test to stop a conversion."""


def stop_at(frames: int) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.frames >= frames:
            raise Stopped

    return stop


def convert(
    source: Path,
    target: Path,
    backend: Backend,
    on_progress: Callable[[Progress], None] | None = None,
    **fields: object,
) -> Conversion:
    options = ConvertOptions(segment_seconds=F(1, 5), **fields)  # type: ignore[arg-type]
    return segmented.convert(source, target, backend, options, on_progress)


def test_a_job_is_not_resumed_with_another_decoder(
    video: Path, identity: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target.mp4"
    requested = DecodeOptions(decode="software")
    with pytest.raises(Stopped):
        convert(video, target, identity, on_progress=stop_at(12), decoding=requested)
    with monkeypatch.context() as patched:
        patched.setattr(decode, "identify_decoder", lambda *_, **__: ("nvdec", None))
        with pytest.raises(JobMismatchError, match="--decode was software, is nvdec"):
            convert(video, target, identity)
    assert convert(video, target, identity, decoding=requested).resumed_frames == 10


@without_gpu
def test_a_job_is_not_resumed_with_another_encoder_or_gpu(
    video: Path, identity: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def described(codec: str | None, gpu: NvidiaInfo) -> job.Job:
        monkeypatch.setattr(hardware, "find_nvidia", lambda: gpu)
        options = ConvertOptions(encoding=EncodeOptions(codec))
        return job.Job.describe(video, identity, options)

    begun = described("h264_nvenc", LAPTOP)
    assert begun.difference(described("h264_nvenc", LAPTOP)) is None
    assert "--codec was h264_nvenc, is None" in (begun.difference(described(None, LAPTOP)) or "")
    other = NvidiaInfo((Gpu(0, "NVIDIA RTX 4090", (8, 9), 2**34),), 13000)
    assert "the card that encodes was NVIDIA GeForce RTX 3050 Laptop GPU, driver for CUDA 13.0" in (
        begun.difference(described("h264_nvenc", other)) or ""
    )


def test_conversions_with_nvenc_can_be_resumed(video: Path) -> None:
    for name in NVENC:
        assert why_in_one_go(video, "target.mkv", EncodeOptions(name)) is None
    assert why_in_one_go(video, "target.mkv", EncodeOptions("h264_qsv")) is not None


# On a GPU.


@pytest.mark.gpu
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1"])
def test_nvdec_gives_exactly_the_frames_of_software(codec: str, tmp_path: Path) -> None:
    require_nvidia_gpu()
    video = Clip(moving_frames(24, LARGE), codec=codec).write(tmp_path / "video.mkv")
    plain, expected, times = rgb(video, decode="software")
    decoder, found, found_times = rgb(video)
    if codec == "libsvtav1" and decoder.decoded_by == "software":
        pytest.skip("FFmpeg gives AV1 to libdav1d, which is software")
    assert (plain.decoded_by, decoder.decoded_by) == ("software", "nvdec")
    assert found_times == times and np.array_equal(found, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("codec", NVENC)
def test_nvenc_keeps_frames_and_times_across_segments(
    codec: str, video: Path, identity: Backend, tmp_path: Path
) -> None:
    require_nvidia_gpu()
    if problem := encoder_problem(codec):
        pytest.skip(problem)  # AV1 needs RTX 40, and some data center GPUs encode nothing
    encoding = EncodeOptions(codec)
    target = tmp_path / "target.mkv"
    with pytest.raises(Stopped):
        convert(video, target, identity, encoding=encoding, on_progress=stop_at(12))
    done = convert(video, target, identity, encoding=encoding)
    assert (done.frames, done.resumed_frames) == (24, 10)
    assert any("not byte for byte" in notice for notice in done.notices)
    assert frame_times(target) == frame_times(video)
    for found, expected in zip(decoded(target), decoded(video), strict=True):
        assert np.abs(found.astype(int) - expected).mean() < 8
