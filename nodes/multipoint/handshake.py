"""How the two sides of a control connection greet and prove that they know the pre-shared key (docs/protocol.md).

Without a key each says Hello and goes on. With one, who has connected proves first, so that a stranger who connects
learns nothing that depends on the key; neither says or hears anything else before the other one has proved.

May not know: what is said afterwards; random numbers (the nonce is given).
"""

import hmac

from multipoint import wire
from multipoint.errors import DecodingError


class Untrusted(DecodingError):
    """The peer does not know the key, or does not say so."""


class Handshake:
    """The beginning of one connection, from one side."""

    def __init__(self, *, is_caller: bool, key: bytes | None = None, nonce: bytes = bytes(wire.NONCE_SIZE)) -> None:
        self.is_over = False
        self._is_caller = is_caller
        self._peer_nonce: bytes | None = None
        self.introduce(key, nonce)

    def introduce(self, key: bytes | None, nonce: bytes) -> None:
        """Greet with this nonce; prove the key, if there is one. Nothing has been said yet."""
        self._key = key
        self._nonce = nonce

    @property
    def hello(self) -> wire.Hello:
        """The greeting."""
        return wire.Hello(wants_proof=self._key is not None, nonce=self._nonce)

    @property
    def may_speak(self) -> bool:
        """Tell whether more than the greeting may be said by now."""
        return self.is_over or self._key is None

    def hear(self, message: wire.Message) -> wire.Proof | None:
        """Take the peer's greeting; return what to answer. Raises Untrusted."""
        match message:
            case wire.Hello():
                return self._greeted(message)
            case wire.Proof(tag) if self._key is not None and self._peer_nonce is not None:
                return self._proved(tag, self._key, self._peer_nonce)
        raise Untrusted("the peer does not prove that he knows the key")

    def _greeted(self, hello: wire.Hello) -> wire.Proof | None:
        if hello.wants_proof != (self._key is not None):
            raise Untrusted("one side has a pre-shared key, the other has none")
        self._peer_nonce = hello.nonce
        self.is_over = self._key is None
        return self._proof() if self._is_caller else None

    def _proved(self, tag: bytes, key: bytes, peer_nonce: bytes) -> wire.Proof | None:
        right = wire.make_proof(key, not self._is_caller, peer_nonce, self._nonce)
        if not hmac.compare_digest(tag, right):
            raise Untrusted("the peer has another key")
        self.is_over = True
        return None if self._is_caller else self._proof()

    def _proof(self) -> wire.Proof | None:
        if self._key is None or self._peer_nonce is None:
            return None
        return wire.Proof(wire.make_proof(self._key, self._is_caller, self._nonce, self._peer_nonce))
