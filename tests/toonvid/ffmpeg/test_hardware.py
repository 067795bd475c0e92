"""Hardware coders: which are taken, what is said of those that are not, and what they are told.

What needs a card is marked `gpu`; the rest holds without one.
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
LARGE = (320, 192)  # as NVENC and NVDEC take them

without_gpu = pytest.mark.skipif(bool(find_nvidia().gpus), reason="there is a card here")


def rgb(film: Path, **options: object) -> tuple[VideoDecoder, list[np.ndarray], list[Fraction]]:
    with VideoDecoder(film, DecodeOptions(**options)) as decoder:  # type: ignore[arg-type]
        frames = list(decoder.frames())
    return decoder, [frame.pixels for frame in frames], [frame.seconds for frame in frames]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """24 frames with B-frames among them, a key frame each 8."""
    pictures = moving_frames(24, LARGE)
    options = {"bf": "2", "b_strategy": "0", "g": "8"}
    return Clip(pictures, options=options).write(tmp_path / "film.mp4")


# What decodes.


def test_without_a_card_software_decodes_without_a_word() -> None:
    assert choose_decoding("auto", NO_DRIVER) == Decoding("software", "")


def test_a_card_that_works_is_taken_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "nvdec_problem", lambda: "")
    expected = Decoding("nvdec", "NVIDIA GeForce RTX 3050 Laptop GPU decodes")
    assert choose_decoding("auto", LAPTOP) == choose_decoding("nvdec", LAPTOP) == expected
    assert choose_decoding("software", LAPTOP) == Decoding("software", "")


@without_gpu
def test_a_card_whose_nvdec_fails_is_told_of_with_ffmpegs_own_words() -> None:
    told = choose_decoding("auto", LAPTOP)
    assert told.name == "software"
    assert told.reason.startswith("NVDEC of NVIDIA GeForce RTX 3050 Laptop GPU does not work: ")
    assert "CUDA" in told.reason and "\n" not in told.reason


def test_nvdec_that_is_asked_for_and_not_there_is_an_error() -> None:
    with pytest.raises(DeviceMissingError, match="NVDEC cannot be used: there is no NVIDIA driver"):
        choose_decoding("nvdec", NO_DRIVER)


@without_gpu
def test_nvdec_is_really_tried() -> None:
    assert nvdec_problem()


def test_what_is_tried_with_is_known_again() -> None:
    """What software makes of the tiny film, in the layout that a card gives."""
    with av.open(hardware._test_video()) as container:
        frame = next(container.decode(video=0)).reformat(format="nv12")
    assert is_test_frame(frame)
    black = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="nv12")
    assert not is_test_frame(black)


@without_gpu
def test_asked_for_and_not_there_ends_with_3_and_one_line(
    film: Path, engines_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    style = engines_folder / "identity.onnx"
    other = tmp_path / "other.mp4"
    other.write_bytes(film.read_bytes())
    for words, told in (
        (("--decode", "nvdec"), "NVDEC cannot be used"),
        (("--codec", "h264_nvenc"), "h264_nvenc does not encode here"),
        (("--codec", "h264_nvenc", "--crf", "20"), "--codec auto takes software"),
    ):
        ended = run_here(capsys, "convert", film, other, "--style", style, *words)
        assert (ended.code, ended.out) == (3, "")
        assert told in ended.err and ended.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "other.mp4"]


def test_auto_is_a_word_for_the_codec_too(
    film: Path, engines_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target.mp4"
    style = ("--style", engines_folder / "identity.onnx")
    words = ("--codec", "auto", "--decode", "auto", "--end", "0.2")
    assert run_here(capsys, "convert", film, "-o", target, *style, *words).code == 0
    assert len(frame_times(target)) == 5


# PyAV opens the source for a card, and no decoder here can use that one: FFmpeg then goes on in
# software without a word, as it does with a film that a real card does not decode.


@pytest.fixture
def useless_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(asked: str) -> Decoding:
        return Decoding("software" if asked == "software" else "nvdec")

    monkeypatch.setattr(decoder_choice, "choose_decoding", choose)
    monkeypatch.setattr(decoder_choice, "nvdec_accelerator", lambda: HWAccel("qsv"))


@pytest.mark.usefixtures("useless_card")
def test_a_film_that_the_card_leaves_to_software_is_refused_if_nvdec_was_asked_for(
    film: Path,
) -> None:
    words = r"NVDEC does not decode .*film\.mp4 \(h264, yuv420p\): --decode auto takes software"
    with (
        pytest.raises(DeviceMissingError, match=words),
        VideoDecoder(film, DecodeOptions(decode="nvdec")),
    ):
        pass


@pytest.mark.usefixtures("useless_card")
def test_under_auto_such_a_film_comes_whole(film: Path) -> None:
    plain, expected, times = rgb(film, decode="software")
    decoder, found, found_times = rgb(film)
    assert plain.decoded_by == decoder.decoded_by == "software"
    assert found_times == times and np.array_equal(found, expected)


@pytest.mark.usefixtures("useless_card")
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
def test_what_nvdec_would_not_give_exactly_is_left_to_software_and_said(
    clip: Clip, options: dict[str, object], notices: list[str], tmp_path: Path
) -> None:
    decoder, pixels, _ = rgb(clip.write(tmp_path / "clip.mp4"), **options)
    assert decoder.decoded_by == "software" and pixels
    assert decoder.notices == notices


@pytest.mark.usefixtures("useless_card")
def test_a_picture_is_no_film_for_a_card(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(image_file(flat_frame((200, 30, 30)), "png"))
    decoder, [pixels], _ = rgb(picture)
    assert decoder.notices == [] and pixels[0, 0].tolist() == [200, 30, 30]


@pytest.mark.parametrize(("soft", "card"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
@pytest.mark.parametrize("size", [LARGE, (96, 64)])
def test_frames_as_cards_give_them_become_the_very_same_rgb(
    soft: str, card: str, size: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    pictures = []
    for pix_fmt in (soft, card):
        frame = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=soft)
        frame = frame.reformat(format=pix_fmt)
        frame.pts, frame.time_base = 0, F(1, 25)
        assert is_decoded_by_gpu(frame) == (pix_fmt == card)
        graph = rgb_graph(FrameFormat.from_frame(frame, False), F(1, 25), *LARGE)
        graph.vpush(frame)
        [picture] = drained_frames(graph)
        pictures.append(picture.to_ndarray())
    assert np.array_equal(*pictures)


# What encodes.


def test_which_encoders_are_of_hardware() -> None:
    assert all(is_hardware_encoder(name) for name in (*NVENC, "h264_qsv", "h264_amf"))
    assert not any(is_hardware_encoder(name) for name in ("libx264", "mpeg4", "libsvtav1"))


def test_an_encoder_is_tried_with_a_picture() -> None:
    assert encoder_problem("libx264") == encoder_problem("mpeg4") == ""


@without_gpu
@pytest.mark.parametrize("name", [*NVENC, "h264_qsv", "h264_amf"])
def test_an_encoder_of_hardware_that_is_not_here_is_an_error_of_one_line(name: str) -> None:
    with pytest.raises(DeviceMissingError, match=f"{name} does not encode here: .") as refused:
        Codec(name)
    assert "\n" not in str(refused.value) and "Traceback" not in str(refused.value)


@pytest.fixture
def card_for_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets encoders in hardware be described; they still cannot be opened."""
    monkeypatch.setattr(codec_module, "encoder_problem", lambda name: "")


def opening(options: dict[str, str], name: str = "h264_nvenc") -> type[Exception]:
    """The error with which NVENC does not open here: FFmpeg reads its options first."""
    context = av.CodecContext.create(name, "w")
    context.width, context.height = LARGE  # type: ignore[attr-defined]
    context.pix_fmt, context.time_base = "yuv420p", F(1, 25)  # type: ignore[attr-defined]
    context.options = options
    with pytest.raises(FFmpegError) as refused:
        context.open()
    return refused.type


@without_gpu
@pytest.mark.usefixtures("card_for_words")
@pytest.mark.parametrize("name", NVENC)
def test_ffmpeg_takes_the_options_of_nvenc_and_only_then_misses_the_card(name: str) -> None:
    for codec in (Codec(name), Codec(name, crf=20, preset="p7"), Codec(name, preset="slow")):
        assert opening(codec.options(), name) is NoLibraryError
    assert opening(Codec(name, preset="warp").options(), name) is not NoLibraryError
    assert opening({"rc": "nonsense"}, name) is not NoLibraryError


@pytest.mark.usefixtures("card_for_words")
def test_crf_is_nvencs_constant_quality() -> None:
    assert Codec("hevc_nvenc", crf=28).options() == {"rc": "vbr", "b": "0", "g": "250", "cq": "28"}
    assert Codec("h264_nvenc", preset="p6").options()["preset"] == "p6"
    assert "crf" not in Codec("av1_nvenc").options()
    assert Codec("h264_nvenc").pixel_format(with_alpha=False) == "yuv420p"


@pytest.mark.usefixtures("card_for_words")
@pytest.mark.parametrize(("name", "crf", "most"), [("h264_nvenc", 0, 51), ("av1_nvenc", 64, 63)])
def test_a_quality_that_nvenc_does_not_have_is_refused(name: str, crf: int, most: int) -> None:
    with pytest.raises(TargetError, match=f"codec {name} takes --crf from 1 to {most}"):
        Codec(name, crf=crf)


@pytest.mark.usefixtures("card_for_words")
def test_nvenc_says_what_it_does_not_promise() -> None:
    assert "not byte for byte" in (Codec("h264_nvenc").notice or "")
    assert Codec("libx264").notice is None


# Going on.


class Stopped(Exception):
    """What a test stops a conversion with."""


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


def test_another_decoder_does_not_go_on_with_what_was_begun(
    film: Path, identity: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target.mp4"
    asked = DecodeOptions(decode="software")
    with pytest.raises(Stopped):
        convert(film, target, identity, on_progress=stop_at(12), decoding=asked)
    with monkeypatch.context() as patched:
        patched.setattr(decode, "identify_decoder", lambda *_, **__: ("nvdec", None))
        with pytest.raises(JobMismatchError, match="--decode was software, is nvdec"):
            convert(film, target, identity)
    assert convert(film, target, identity, decoding=asked).resumed_frames == 10


@without_gpu
def test_another_coder_or_card_does_not_go_on_with_what_was_begun(
    film: Path, identity: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def described(codec: str | None, card: NvidiaInfo) -> job.Job:
        monkeypatch.setattr(hardware, "find_nvidia", lambda: card)
        options = ConvertOptions(encoding=EncodeOptions(codec))
        return job.Job.describe(film, identity, options)

    begun = described("h264_nvenc", LAPTOP)
    assert begun.difference(described("h264_nvenc", LAPTOP)) is None
    assert "--codec was h264_nvenc, is None" in (begun.difference(described(None, LAPTOP)) or "")
    other = NvidiaInfo((Gpu(0, "NVIDIA RTX 4090", (8, 9), 2**34),), 13000)
    assert "the card that encodes was NVIDIA GeForce RTX 3050 Laptop GPU, driver for CUDA 13.0" in (
        begun.difference(described("h264_nvenc", other)) or ""
    )


def test_films_of_nvenc_go_on_too(film: Path) -> None:
    for name in NVENC:
        assert why_in_one_go(film, "target.mkv", EncodeOptions(name)) is None
    assert why_in_one_go(film, "target.mkv", EncodeOptions("h264_qsv")) is not None


# On a card.


@pytest.mark.gpu
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1"])
def test_nvdec_gives_the_very_frames_of_software(codec: str, tmp_path: Path) -> None:
    require_nvidia_gpu()
    film = Clip(moving_frames(24, LARGE), codec=codec).write(tmp_path / "film.mkv")
    plain, expected, times = rgb(film, decode="software")
    decoder, found, found_times = rgb(film)
    if codec == "libsvtav1" and decoder.decoded_by == "software":
        pytest.skip("this card does not decode AV1")
    assert (plain.decoded_by, decoder.decoded_by) == ("software", "nvdec")
    assert found_times == times and np.array_equal(found, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("codec", NVENC)
def test_nvenc_keeps_frames_and_times_over_the_joins(
    codec: str, film: Path, identity: Backend, tmp_path: Path
) -> None:
    require_nvidia_gpu()
    if problem := encoder_problem(codec):
        pytest.skip(problem)  # AV1 needs RTX 40, and some data-centre cards encode nothing
    encoding = EncodeOptions(codec)
    target = tmp_path / "target.mkv"
    with pytest.raises(Stopped):
        convert(film, target, identity, encoding=encoding, on_progress=stop_at(12))
    done = convert(film, target, identity, encoding=encoding)
    assert (done.frames, done.resumed_frames) == (24, 10)
    assert any("not byte for byte" in notice for notice in done.notices)
    assert frame_times(target) == frame_times(film)
    for found, expected in zip(decoded(target), decoded(film), strict=True):
        assert np.abs(found.astype(int) - expected).mean() < 8
