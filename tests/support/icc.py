"""ICC profiles for tests: sRGB's, with its colorants exchanged, and gray and CMYK ones."""

from __future__ import annotations

import struct

from PIL import ImageCms


def srgb_profile() -> bytes:
    """Return a profile that is sRGB by name and by content."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exchanged_profile() -> bytes:
    """Return a profile in which red and blue have changed places, so that using it shows."""
    profile = srgb_profile().replace(b"rXYZ", b"?XYZ", 1).replace(b"bXYZ", b"rXYZ", 1)
    profile = profile.replace(b"?XYZ", b"bXYZ", 1)
    return profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def gray_profile(gamma: float = 1.0) -> bytes:
    """Return a profile for gray values that follow a power law."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    text = b"power law\0"
    name = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    name += bytes(-len(name) % 4)
    tags, body = b"", b""
    start = 128 + 4 + 12 * 3
    for kind, content in ((b"desc", name), (b"wtpt", white), (b"kTRC", curve)):
        tags += kind + struct.pack(">II", start + len(body), len(content))
        body += content
    header = bytearray(128)
    struct.pack_into(">I", header, 0, start + len(body))
    header[8:12], header[12:24] = b"\2\x10\0\0", b"mntrGRAYXYZ "
    header[36:40] = b"acsp"
    struct.pack_into(">iii", header, 68, 63190, 65536, 54061)
    return bytes(header) + struct.pack(">I", 3) + tags + body
