"""joinlab: test multicast and multipoint software on real bridged networks, proved from the packets."""

__version__ = "0.1.0"
