"""Makes the self-signed certificate for HTTPS, anew at each start; it is not kept.

No authority vouches for it: the user compares the fingerprint that toonvid prints with the one that
the browser shows.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

_VALIDITY = datetime.timedelta(days=30)
_CLOCK_TOLERANCE = datetime.timedelta(days=1)  # the browser's clock may be behind


def create_certificate(names: Iterable[str]) -> tuple[ssl.SSLContext, str]:
    """Make a self-signed certificate.

    Args:
        names: Host names and addresses that it is valid for; the first is its subject.

    Returns:
        The server's TLS context, and the SHA-256 fingerprint of the certificate in the form that
        browsers show: "AB:CD:...".
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    names = list(names)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:64])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_TOLERANCE)
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Python's ssl module loads certificates from files only. The folder has mode 0700.
    with tempfile.TemporaryDirectory(prefix="toonvid-") as folder:
        file = Path(folder) / "certificate.pem"
        file.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(file)
    return context, certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
