"""A flow specification as a test writes it: what one direction of a session's traffic is promised.

It travels by the documentation's names, and is a FLOWSPEC again in the node. What is not given is not specified.

May not know: sockets, channels.
"""

from dataclasses import dataclass

from joinlab.words import Service


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction. Rates are in bytes per second of user data, sizes in bytes, times in microseconds."""

    token_rate: int
    token_bucket_size: int | None = None
    peak_bandwidth: int | None = None
    latency_us: int | None = None
    max_sdu_size: int | None = None
    service: Service = Service.CONTROLLED_LOAD

    def to_json(self) -> dict[str, int | str]:
        """Return the fields of the FLOWSPEC that are specified, by name."""
        fields = {
            "TokenRate": self.token_rate,
            "TokenBucketSize": self.token_bucket_size,
            "PeakBandwidth": self.peak_bandwidth,
            "Latency": self.latency_us,
            "MaxSduSize": self.max_sdu_size,
            "ServiceType": self.service,
        }
        return {name: value for name, value in fields.items() if value is not None}
