"""ICC profiles: the colors of a photo become those of sRGB.

In: an image as Pillow decoded it, and its profile. Out: the image in RGB or RGBA, and a notice. The
conversion itself is LittleCMS's.
"""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageCms

# Color space of a profile, as ICC names it -> the mode in which LittleCMS takes an image.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """Convert an image to sRGB.

    Args:
        image: In any mode.
        profile: Its ICC profile; None or empty for sRGB.

    Returns:
        The image, unchanged where it is in sRGB; and a notice for the user, None where there is
        nothing to say. Opacity is kept.
    """
    if not profile:
        return image, None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip() or "unnamed"
        space = source.profile.xcolor_space.strip()
        if _is_srgb(source):
            return image, None
        if space not in _MODES or not _fits(image, space):
            return image, f"its color profile ({name}) is for {space} images and is left out"
        return _converted(image, source, space), f"its colors ({name}) are converted to sRGB"
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        return image, f"its color profile cannot be read and is left out ({error})"


def is_srgb(profile: bytes | None) -> bool:
    """Whether `to_srgb` changes nothing for this profile, because it is sRGB's or there is none."""
    if not profile:
        return True
    try:
        return _is_srgb(ImageCms.ImageCmsProfile(BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    is_rgb = profile.profile.xcolor_space.strip() == "RGB"
    return is_rgb and "sRGB" in ImageCms.getProfileDescription(profile)


def _fits(image: Image.Image, space: str) -> bool:
    """Whether a profile of a color space can be meant for an image's values."""
    is_gray = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
    return (space == "GRAY") == is_gray and (space == "CMYK") == (image.mode == "CMYK")


def _converted(image: Image.Image, source: ImageCms.ImageCmsProfile, space: str) -> Image.Image:
    if image.mode.startswith("I;16"):  # 16-bit gray; 8 bits are what the target gets anyway
        image = image.point(lambda value: value / 256).convert("L")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    converted = ImageCms.profileToProfile(
        image.convert(_MODES[space]),
        source,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None  # None is returned only for a conversion in place
    if alpha is not None:
        converted.putalpha(alpha)
    return converted
