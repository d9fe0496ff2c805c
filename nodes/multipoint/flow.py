"""Flow specifications: the structures FLOWSPEC and QOS with their provider-specific objects (C.8).

The rules for their values are in ``flow_rules``, shaping is in ``bucket``. May not know: sockets, clocks, the network.
"""

from dataclasses import dataclass, field
from struct import Struct
from typing import ClassVar, Self

from multipoint.constants import QOS_NOT_SPECIFIED, SERVICETYPE_NOCHANGE
from multipoint.errors import DecodingError
from multipoint.layouts import WSABUF, take


@dataclass
class FLOWSPEC:
    """One direction of traffic, 32 bytes. Rates in bytes a second, sizes in bytes, times in microseconds (QS-15)."""

    # QS-14, D-53: nothing is specified, and what is there stays as it is.
    TokenRate: int = QOS_NOT_SPECIFIED
    TokenBucketSize: int = QOS_NOT_SPECIFIED
    PeakBandwidth: int = QOS_NOT_SPECIFIED
    Latency: int = QOS_NOT_SPECIFIED
    DelayVariation: int = QOS_NOT_SPECIFIED
    ServiceType: int = SERVICETYPE_NOCHANGE
    MaxSduSize: int = QOS_NOT_SPECIFIED
    MinimumPolicedSize: int = QOS_NOT_SPECIFIED
    layout: ClassVar[Struct] = Struct("<8I")
    size: ClassVar[int] = layout.size

    def pack(self) -> bytes:
        """Return the 32 bytes of the structure."""
        return self.layout.pack(
            *(self.TokenRate, self.TokenBucketSize, self.PeakBandwidth, self.Latency),
            *(self.DelayVariation, self.ServiceType, self.MaxSduSize, self.MinimumPolicedSize),
        )

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read the structure from the beginning of ``data``."""
        return cls(*take(cls.layout, data, "FLOWSPEC"))

    def copy(self) -> Self:
        """Return another one that says the same; a join does that several times, and ``replace`` is slow."""
        return type(self)(
            *(self.TokenRate, self.TokenBucketSize, self.PeakBandwidth, self.Latency),
            *(self.DelayVariation, self.ServiceType, self.MaxSduSize, self.MinimumPolicedSize),
        )


@dataclass
class QOS:
    """Both directions, seen from this socket, and a row of provider-specific objects (QS-01)."""

    SendingFlowspec: FLOWSPEC = field(default_factory=FLOWSPEC)
    ReceivingFlowspec: FLOWSPEC = field(default_factory=FLOWSPEC)
    # QS-06: none is buf NULL, len 0
    ProviderSpecific: WSABUF = field(default_factory=WSABUF)
    layout: ClassVar[Struct] = Struct("<32s32sI4xQ")
    size: ClassVar[int] = layout.size

    def copy(self) -> Self:
        """Return another one that says the same; nothing is shared."""
        row = self.ProviderSpecific
        objects = WSABUF(row.len, None if row.buf is None else bytes(row.buf))
        return type(self)(self.SendingFlowspec.copy(), self.ReceivingFlowspec.copy(), objects)

    @property
    def objects(self) -> bytes:
        """The bytes of the provider-specific objects; empty if there are none."""
        return bytes(self.ProviderSpecific.buf or b"")[: self.ProviderSpecific.len]

    @classmethod
    def of(cls, sending: FLOWSPEC, receiving: FLOWSPEC, objects: bytes = b"") -> Self:
        """Return a QOS with these flows and these bytes of provider-specific objects."""
        return cls(sending, receiving, WSABUF(len(objects), objects or None))

    def pack(self) -> bytes:
        """Return 80 bytes and the objects behind them, as SIO_GET_QOS does; the pointer's place holds their offset."""
        objects = self.objects
        offset = self.layout.size if objects else 0
        head = self.layout.pack(self.SendingFlowspec.pack(), self.ReceivingFlowspec.pack(), len(objects), offset)
        return head + objects

    @classmethod
    def unpack(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read what ``pack`` wrote."""
        if len(data) < cls.layout.size:
            raise DecodingError(f"QOS has {cls.layout.size} bytes, there are {len(data)}")
        sending, receiving, length, offset = cls.layout.unpack_from(data)
        if length and not cls.layout.size <= offset <= len(data) - length:
            raise DecodingError(f"{length} bytes of provider-specific objects do not lie inside the buffer")
        objects = bytes(data[offset : offset + length])
        return cls.of(FLOWSPEC.unpack(sending), FLOWSPEC.unpack(receiving), objects)
