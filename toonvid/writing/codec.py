"""Codec: a video encoder of FFmpeg, with its options, its pixel format and the sizes it takes.

In: what a user asks for. Out: FFmpeg's options, or an error before any work is done. Any encoder
that FFmpeg has may be named; one in hardware must work in this machine. What containers can hold is
not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec.codec import UnknownCodecError
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from toonvid.errors import DeviceMissingError, TargetError
from toonvid.ffmpeg.hardware import NVENC, encoder_problem, is_hardware_encoder
from toonvid.ffmpeg.opening import open_encoder
from toonvid.video import square_pixel_size

_DEFAULT_CRF = {"libx264": 18, "libx265": 20, "libsvtav1": 26, "libvpx-vp9": 26, "libvpx": 10}
_DEFAULT_PRESETS = {"libx264": "superfast", "libx265": "fast", "libsvtav1": "9"}
# With these options of veryfast, superfast gives cartoons of the same quality, a little larger, in
# half the CPU time (scripts/measure_presets.py). A preset that a user names stays as it is.
_DEFAULT_X264 = "mbtree=1:rc-lookahead=10"
# NVENC's constant quality has a scale of its own, near the CRF of the software encoders.
_DEFAULT_CQ = {"h264_nvenc": 19, "hevc_nvenc": 21, "av1_nvenc": 27}
# The AVX-512 code of x264's macroblock tree reads memory that was never written, so the same frames
# would give other bytes each time. With plain C they give the same, on every CPU.
_REPEATABLE = {"x264-params": "cpu-independent=1"}
_WITH_QSCALE = ("mpeg4", "mpeg2video", "mpeg1video")
_OPTIONS = {
    "libx264": _REPEATABLE,
    "libx264rgb": _REPEATABLE,
    "libvpx-vp9": {"row-mt": "1", "deadline": "realtime", "cpu-used": "6"},
    # Without the option, the encoder refuses opacity; without a bit rate, its default one rules.
    "libvpx": {"auto-alt-ref": "0", "b": "100M", "deadline": "realtime", "cpu-used": "4"},
    # Constant quality 3 of 31, in units of FFmpeg. Without it, the default bit rate rules.
    **{name: {"flags": "+qscale", "global_quality": str(3 * 118)} for name in _WITH_QSCALE},
    "libx265": {"x265-params": "log-level=error"},  # x265 prints to standard error by itself
    "mjpeg": {"qmin": "2", "qmax": "2"},  # 1 is the finest, and hardly looks better than 2
    "dnxhd": {"profile": "dnxhr_hq"},  # the others take a few sizes at fixed bit rates alone
    "libwebp": {"quality": "92"},
    # Without a bit rate: the default of 2 Mbit/s would rule. A key frame as often as x264's.
    **{name: {"rc": "vbr", "b": "0", "g": "250"} for name in NVENC},
    "png": {"pred": "mixed"},
    "apng": {"pred": "mixed"},
}
# No lookahead and no B-frames. A key frame that is forced is one that decoding can begin at.
_LOW_LATENCY_X264 = {"tune": "zerolatency", "forced-idr": "1"}
_IMAGE_FORMATS = {"mjpeg": "yuvj444p", "png": "rgb24", "apng": "rgb24", "libwebp": "yuv420p"}
_ALPHA_FORMATS = {
    "png": "rgba",
    "apng": "rgba",
    "libwebp": "yuva420p",
    "gif": "pal8",
    "libvpx": "yuva420p",
    "libvpx-vp9": "yuva420p",
    "prores_ks": "yuva444p10le",
    "ffv1": "yuva420p",
    "qtrle": "argb",
}
# Encoders, or their first letters, that write the pixel aspect ratio into the stream.
_KEEPING_ASPECT = ("libx264", "libx265", "h264_", "hevc_", "mpeg4", "mpeg2video")


@dataclass(frozen=True)
class Codec:
    """A video encoder and its settings. None leaves a setting to a good default.

    Raises:
        TargetError: There is no such encoder, or it does not take these settings.
        DeviceMissingError: The encoder needs hardware that this machine lacks.
    """

    name: str
    """FFmpeg's name of the encoder."""
    crf: int | None = None
    """Constant quality, in the encoder's own scale; NVENC's `cq`."""
    preset: str | None = None
    """Trade of speed against size, in the encoder's own words."""
    pix_fmt: str | None = None
    """FFmpeg's name of the pixel format."""
    low_latency: bool = False
    """Whether each frame is to leave the encoder at once; libx264 alone knows how."""

    def __post_init__(self) -> None:
        try:
            codec = av.Codec(self.name, "w")
        except UnknownCodecError as error:
            raise TargetError(f"there is no video codec {self.name!r} to encode with") from error
        if codec.type != "video":
            raise TargetError(f"{self.name!r} is not a video codec")
        context = av.CodecContext.create(self.name, "w")
        private = {option.name: option for option in context.supported_options.private}
        for option, value in (("crf", self.crf), ("preset", self.preset)):
            if value is not None and self._own_name(option) not in private:
                raise TargetError(f"codec {self.name} takes no --{option}")
        if self.name in NVENC and self.crf is not None:
            most = int(private["cq"].max)
            if not 1 <= self.crf <= most:  # 0 would leave the choice to the GPU
                raise TargetError(f"codec {self.name} takes --crf from 1 to {most}")
        if is_hardware_encoder(self.name) and (problem := encoder_problem(self.name)):
            raise DeviceMissingError(
                f"{self.name} does not encode here: {problem}; --codec auto takes software"
            )

    def options(self) -> dict[str, str]:
        """Return FFmpeg's options for the encoder."""
        options = dict(_OPTIONS.get(self.name, {}))
        crf = self.crf if self.crf is not None else (_DEFAULT_CRF | _DEFAULT_CQ).get(self.name)
        preset = self.preset or _DEFAULT_PRESETS.get(self.name)
        if crf is not None:
            options[self._own_name("crf")] = str(crf)
        if preset is not None:
            options["preset"] = preset
        if self.name == "libx264" and self.preset is None:
            options["x264-params"] += f":{_DEFAULT_X264}"
        if self.name == "libx264" and self.low_latency:
            options |= _LOW_LATENCY_X264
        return options

    @property
    def notice(self) -> str | None:
        """A promise of toonvid that the encoder does not keep, for the user; None: it keeps all."""
        if self.name not in NVENC:
            return None
        return (
            f"{self.name}: a conversion that is stopped and resumed gives the same frames at the"
            " same times, but not byte for byte the same file"
        )

    @property
    def crf_over_default(self) -> int:
        """CRF above the encoder's default, which means coarser; below 0: finer."""
        default = _DEFAULT_CRF.get(self.name)
        return 0 if self.crf is None or default is None else self.crf - default

    def _own_name(self, option: str) -> str:
        """Return the encoder's own name of an option of the command line."""
        return "cq" if option == "crf" and self.name in NVENC else option

    def pixel_format(self, with_alpha: bool) -> str:
        """Return FFmpeg's name of the pixel format in which frames are encoded.

        Args:
            with_alpha: Whether frames have an opacity.

        Raises:
            TargetError: The encoder does not know the format that was asked for.
        """
        known = [found.name for found in av.Codec(self.name, "w").video_formats or ()]
        pix_fmt = self.pix_fmt
        if pix_fmt is None:
            pix_fmt = _IMAGE_FORMATS.get(self.name, "yuv420p")
            if with_alpha:
                pix_fmt = _ALPHA_FORMATS.get(self.name, pix_fmt)
            if known and pix_fmt not in known:
                pix_fmt = "pal8" if "pal8" in known else known[0]
        if known and pix_fmt not in known:
            raise TargetError(f"{self.name} has no --pix-fmt {pix_fmt}: {' '.join(known)}")
        return pix_fmt

    def keeps_alpha(self, pix_fmt: str) -> bool:
        """Whether frames in this pixel format keep their opacity."""
        return _ALPHA_FORMATS.get(self.name) == pix_fmt

    def coded_size(
        self, width: int, height: int, aspect: Fraction, pix_fmt: str
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the size in which frames are encoded, and the padding that they need before.

        Args:
            width: Width of the frames, in pixels.
            height: Height of the frames, in pixels.
            aspect: Width of a pixel over its height, when shown.
            pix_fmt: What `pixel_format` returned.

        Returns:
            (width, height) of encoded frames; (columns, rows) to add at the right and below.

        Raises:
            TargetError: The encoder takes no such frames, or not with these settings.
        """
        shown = self.shown_size(width, height, aspect)
        extra = self.padding(*shown, pix_fmt)
        padding = extra if shown == (width, height) else (0, 0)  # scaled frames are scaled to fit
        return (shown[0] + extra[0], shown[1] + extra[1]), padding

    def shown_size(self, width: int, height: int, aspect: Fraction) -> tuple[int, int]:
        """Return (width, height) of frames in pixels that the encoder can describe.

        Pixels stay as they are if the encoder can state their aspect ratio; else frames are
        enlarged to square pixels, so that nothing is lost.

        Args:
            width: Width of the frames, in pixels.
            height: Height of the frames, in pixels.
            aspect: Width of a pixel over its height, when shown.
        """
        return (width, height) if self.keeps_aspect else square_pixel_size(width, height, aspect)

    @property
    def keeps_aspect(self) -> bool:
        """Whether the encoder writes the pixel aspect ratio into its stream."""
        return self.name.startswith(_KEEPING_ASPECT)

    def padding(self, width: int, height: int, pix_fmt: str) -> tuple[int, int]:
        """Return how many columns and rows to add so that the encoder takes the frames.

        Raises:
            TargetError: The encoder takes no such frames, or not with these settings.
        """
        # Chroma of half the size needs even sides, but not in every encoder. None of them can be
        # asked which sizes it takes, so the encoder is opened on trial.
        odd = (width % 2, height % 2)
        for extra_x, extra_y in ((0, 0), odd):
            if self._opens(width + extra_x, height + extra_y, pix_fmt, self.options()):
                return extra_x, extra_y
        if self._opens(width + odd[0], height + odd[1], pix_fmt, {}):
            asked = {"--crf": self.crf, "--preset": self.preset}
            values = " ".join(f"{name} {value}" for name, value in asked.items() if value)
            raise TargetError(f"codec {self.name} does not take {values}")
        raise TargetError(
            f"codec {self.name} does not take frames of {width} x {height} in {pix_fmt}"
        )

    def _opens(self, width: int, height: int, pix_fmt: str, options: dict[str, str]) -> bool:
        context = av.CodecContext.create(self.name, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = width, height
        context.pix_fmt, context.time_base = pix_fmt, Fraction(1, 25)
        context.options = options
        try:
            open_encoder(context)
        except (FFmpegError, ValueError):
            return False
        return True
