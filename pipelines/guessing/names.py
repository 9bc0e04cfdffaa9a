"""What the words of a table's or column's name say, in English."""

import re
from collections.abc import Collection

# The first of a list says most.
USER = (
    *("user", "customer", "viewer", "visitor", "member", "client", "shopper", "buyer", "subscriber", "listener"),
    *("reader", "player", "household", "person", "account", "uid", "profile", "device", "cookie", "session"),
)
ITEM = (
    *("item", "product", "article", "clip", "video", "movie", "film", "song", "track", "book", "sku", "asin", "offer"),
    *("listing", "post", "story", "recipe", "restaurant", "hotel", "poi", "place", "job", "app", "game", "course"),
    *(
        "ad",
        "advert",
        "creative",
        "banner",
        "content",
        "document",
        "page",
        "url",
        "new",
        "campaign",
        "category",
        "brand",
    ),
)
TIME = ("timestamp", "time", "datetime", "at", "ts", "date", "when", "day", "epoch")
ARRIVAL = ("arrival", "arrived", "received", "ingested", "logged", "recorded")
IMPRESSION = ("impression", "imp", "exposure", "exposed", "shown", "served", "slate")
SURFACE = (
    *("view", "viewed", "feed", "search", "result", "display", "displayed", "show", "sent", "send", "bid"),
    *("recommendation", "rec", "mail", "email", "push", "page", "banner", "home"),
)
FEEDBACK = (
    *("feedback", "click", "clicked", "purchase", "purchased", "buy", "bought", "order", "ordered", "install"),
    *("installed", "conversion", "convert", "converted", "transaction", "sale", "sold", "like", "liked", "rating"),
    *("rated", "star", "review", "checkout", "booking", "booked", "subscription", "subscribe", "subscribed", "signup"),
    *("registration", "redemption", "redeemed", "play", "played", "watch", "watched", "listen", "download", "cart"),
    *("lead", "donation", "reply", "comment", "share", "follow", "favorite", "favourite", "response", "reaction"),
    *("label", "target", "outcome"),
)
EVENTS = ("event", "history", "activity", "visit", "log", "behavior", "behaviour", "action")
VALUE = ("value", "price", "revenue", "amount", "rating", "star", "score", "spend", "quantity")
ORDERED = ("position", "rank", "count", "number", "price", "age", "size", "length", "duration", "score", "quantity")
_ID = ("id", "key", "uuid", "guid", "hash", "code", "no", "nr", "num", "number")

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_KNOWN = {*USER, *ITEM, *IMPRESSION, *FEEDBACK}


def words(name: str) -> tuple[str, ...]:
    """``visitorId``, ``VISITOR_ID`` and ``visitorid`` -> visitor, id; a plural is its singular."""
    found: list[str] = []
    for word in (part.lower() for part in _WORD.findall(name)):
        if word.endswith("id") and singular(word[:-2]) in _KNOWN:
            found += [singular(word[:-2]), "id"]
        else:
            found.append(singular(word))
    return tuple(found)


def singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us")) else word


def says(name: str, hints: Collection[str]) -> bool:
    """Whether any word of the name is among the hints."""
    return any(word in hints for word in words(name))


def is_id(name: str) -> bool:
    """Whether the name says that its values are ids or codes."""
    return any(word in _ID for word in words(name))


def strength(name: str, hints: tuple[str, ...]) -> tuple[int, int]:
    """How well a column's name fits, for comparing: (2, ...) is the hint alone, (1, ...) a part of an id's name.

    ``user_id`` fits the hint user better than ``ad_user_id``; ``user_age`` does not fit it. Among the hints, the
    earlier one fits better. (0, 0) is no fit.
    """
    found = words(name)
    rest = [word for word in found if word not in _ID]
    known = [hints.index(word) for word in rest if word in hints]
    if not known or (len(rest) > 1 and len(rest) == len(found)):
        return 0, 0
    return (2 if len(rest) == 1 else 1), -min(known)


def plain(name: str, otherwise: str = "table") -> str:
    """The name as a space file takes it: small letters, digits and underscores, a letter first."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    made = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")
    if not made:
        return otherwise
    return made if made[0].isalpha() else f"{otherwise}_{made}"
