"""Where tables lie: folders and URIs."""

from urllib.parse import unquote, urlparse


def join_uri(warehouse: str, *parts: str) -> str:
    """``warehouse/part/part``, for a folder or a URI."""
    return "/".join([warehouse.rstrip("/"), *parts])


def is_local(uri: str) -> bool:
    return urlparse(uri).scheme in ("", "file")


def path_of(uri: str) -> str:
    return unquote(uri.removeprefix("file://"))
