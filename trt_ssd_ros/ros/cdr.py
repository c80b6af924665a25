"""CdrReader: reads the fields of a serialised message in their order.

The format is plain CDR (OMG DDS-XTypes 1.3, 7.4.1): numbers are aligned to their size, counted from the end of the
encapsulation header; a text is its length with the final zero as uint32, its UTF-8 bytes, and a zero.
"""

from __future__ import annotations

import struct

ENCAPSULATION_BYTES = 4
PLAIN = {b"\0\0": ">", b"\0\1": "<", b"\0\6": ">", b"\0\7": "<"}
"""Byte order by the first two bytes: PLAIN_CDR and PLAIN_CDR2, which differ for numbers of eight bytes only."""


class CdrReader:
    """Reader of a serialised message with numbers of at most four bytes.

    Args:
        message: Serialised message with its encapsulation header.

    Raises:
        ValueError: The message has another encapsulation. All methods raise it if the message is cut short.
    """

    def __init__(self, message: memoryview) -> None:
        kind = bytes(message[:2])
        if len(message) < ENCAPSULATION_BYTES or kind not in PLAIN:
            raise ValueError(
                f"serialised message of {len(message)} bytes: found encapsulation {kind.hex() or 'none'}, "
                f"expected one of {', '.join(known.hex() for known in PLAIN)} (plain CDR)"
            )
        self._order = PLAIN[kind]
        self._body = message[ENCAPSULATION_BYTES:]
        self._position = 0

    def numbers(self, codes: str, size: int = 4) -> tuple[int, ...]:
        """Return the next fields, numbers of one size.

        Args:
            codes: Type of each number, as in `struct`.
            size: Size of a number in bytes.
        """
        begin = self._position + -self._position % size
        try:
            numbers = struct.unpack_from(self._order + codes, self._body, begin)
        except struct.error:
            raise self._cut_short(begin, size * len(codes)) from None
        self._position = begin + size * len(codes)
        return numbers

    def text(self) -> str:
        """Return the next field, a string."""
        return str(self.octets()[:-1], "utf-8")

    def octets(self) -> memoryview:
        """Return the next field, a sequence of uint8, as a view of the message."""
        (count,) = self.numbers("I")
        begin, self._position = self._position, self._position + count
        octets = self._body[begin : self._position]
        if len(octets) < count:
            raise self._cut_short(begin, count)
        return octets

    def _cut_short(self, begin: int, count: int) -> ValueError:
        found = max(len(self._body) - begin, 0)
        return ValueError(
            f"serialised message: found {found} bytes at byte {begin}, expected {count}: "
            "the message is cut short, or of another type"
        )
