"""What a browser keeps while it is away at an identity provider: signed, so that it can only be ours, and short-lived."""

from dataclasses import asdict, dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.responses import Response

from api.signing_keys import KeySource, SigningKey
from domain.ports import Clock

LIFETIME_SECONDS = 600
_SALT = "florin sign-in"
_LENGTH_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInUnderWay:
    """A sign-in that was begun: with whom, what has to come back, and where the browser goes in the end."""

    provider: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    challenge: str
    return_to: str


class SignInCookie:
    """Binds a sign-in to the browser that began it, so that nobody can have somebody else end it.

    The keys are derived from those that sign access tokens (HKDF, RFC 5869): there is no further secret to keep, and rotating
    one rotates the other. The cookie holds nothing that its browser may not know. Under TLS its name begins with `__Host-`, so
    that no other host of the same site can set it.
    """

    def __init__(self, keys: KeySource, clock: Clock, *, secure: bool) -> None:
        self._keys = keys
        self._clock = clock
        self._secure = secure
        self.name = "__Host-florin-sign-in" if secure else "florin-sign-in"

    def put(self, response: Response, under_way: SignInUnderWay) -> None:
        # Lax: the browser comes back by a link from the provider's site.
        response.set_cookie(
            self.name,
            str(self._serializer().dumps(asdict(under_way))),
            max_age=LIFETIME_SECONDS,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def remove(self, response: Response) -> None:
        response.delete_cookie(self.name, path="/", secure=self._secure, httponly=True, samesite="lax")

    def read(self, text: str | None) -> SignInUnderWay | None:
        """The sign-in under way; None for a cookie that is missing, too old, or not ours."""
        if text is None or len(text) > _LENGTH_MAX:
            return None
        try:
            return SignInUnderWay(**self._serializer().loads(text, max_age=LIFETIME_SECONDS))
        except (BadData, TypeError):
            return None

    def _serializer(self) -> URLSafeTimedSerializer:
        keys = self._keys()
        signing = keys.signing(self._clock.now())
        # The last one signs, all verify.
        secrets = [_derived(key) for key in (*(key for key in keys.keys if key is not signing), signing)]
        return URLSafeTimedSerializer(secrets, salt=_SALT, signer_kwargs={"digest_method": sha256})


def _derived(key: SigningKey) -> bytes:
    seed = key.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_SALT.encode()).derive(seed)
