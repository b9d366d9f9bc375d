"""The certificate that we show to servers that want to see one."""

import ssl
from pathlib import Path


def show_certificate(tls: ssl.SSLContext, cert_file: Path, key_file: Path | None) -> None:
    """Have a context show a certificate from its next connection on; without `key_file` its key is in the same file.

    Raises ValueError, whose text says what to do.
    """
    for file in (cert_file, key_file or cert_file):
        try:
            with file.open("rb"):
                pass  # ssl does not say which of the two it cannot read
        except OSError as exc:
            raise ValueError(f"{file} cannot be read: {exc.strerror}") from None
    try:
        tls.load_cert_chain(cert_file, key_file, password=lambda: "")  # or it would ask at the terminal
    except OSError as exc:  # ssl.SSLError is one
        where = f"{cert_file} and {key_file}" if key_file else str(cert_file)
        text = "must be PEM with a certificate and its own private key, without a password"
        raise ValueError(f"{where}: {text}: {exc.strerror or exc}") from None
