"""Keyed hashes of user ids: the same id gives the same hash, and without the key nobody can tell which id it was.

HMAC-SHA256, by Spark's built-in functions. The key comes from the environment, and from it one key a purpose is made,
so that the hashes of two purposes cannot be compared. Spark's plans (its web pages, its event logs) show the key of the
purpose: who may see those may see the ids.
"""

import hashlib
import hmac
import os

from pyspark.sql import Column
from pyspark.sql import functions as F

from schemas.errors import LatticeError

VARIABLE = "LATTICE_PRIVACY_KEY"
_LEAST, _BLOCK = 32, 64


def key_for(*purpose: str) -> bytes:
    """The key of a purpose.

    Raises:
        LatticeError: the environment has no key, or one that could be guessed.
    """
    secret = os.environ.get(VARIABLE, "")
    if len(secret) < _LEAST:
        raise LatticeError(
            VARIABLE,
            "It is not set." if not secret else f"It has {len(secret)} characters, which could be guessed.",
            f"Set it to {_LEAST} or more secret characters, the same ones for every run: "
            f"export {VARIABLE}=$(openssl rand -hex 32), and keep them.",
        )
    return hmac.digest(secret.encode(), "\0".join(purpose).encode(), hashlib.sha256)


def keyed_hash(key: bytes, value: Column) -> Column:
    """HMAC-SHA256 of a string's UTF-8 bytes, as 64 hexadecimal digits; null where it is null."""
    block = key.ljust(_BLOCK, b"\0")
    inner, outer = (F.lit(bytearray(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
    within = F.unhex(F.sha2(F.concat(inner, value.cast("binary")), 256))
    return F.sha2(F.concat(outer, within), 256)


def keyed_text(key: bytes, value: str) -> str:
    """``keyed_hash`` of one string, without Spark."""
    return hmac.digest(key, value.encode(), hashlib.sha256).hex()
