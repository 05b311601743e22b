"""Random keys, right and wrong, as Sequoia and PGPy read them: the same verdict about each key and each signature."""

from __future__ import annotations

import importlib.util
import itertools
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gre_encrypter_openpgp.engine import ENGINE as SEQUOIA
from gre_encrypter_openpgp_pgpy.engine import ENGINE as PGPY
from gre_openpgp.encrypting.engine import ParsedCert, by_id
from gre_openpgp.encrypting.keymaking import make_key
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.messages import check_message
from gre_openpgp.xep0373 import PublicKey
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gre_core.errors import EncryptFailed

FORGING = Path(__file__).parents[2] / "gre-encrypter-openpgp" / "tests" / "forging.py"
CONTENT = b"Pay 1 coin."


def _forging() -> Any:
    spec = importlib.util.spec_from_file_location("gre_forging_random", FORGING)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


forge = _forging()
DAY, NOW = forge.DAY, forge.NOW

# -- random statements about a key -------------------------------------------------------------------

days = st.integers(-95, -1)
births = st.sampled_from([-95] * 3 + [-50, -1])
lifetimes = st.sampled_from([None, None, 0, 10 * DAY, 60 * DAY, 400 * DAY])
hashes = st.sampled_from(["sha256"] * 5 + ["sha512", "sha1", "md5"])
reasons = st.sampled_from([None, 0, 1, 2, 3, 32])
authors = st.sampled_from(["owner"] * 5 + ["other"])


@dataclass(frozen=True)
class Said:
    """A signature of an owner, or of somebody who pretends to be."""

    day: int
    lifetime: int | None
    flags: int | None
    algorithm: str
    author: str
    main: bool
    ends: int | None
    strange: bool

    def extra(self) -> bytes:
        parts = b""
        if self.flags is not None:
            parts += forge.subpacket(27, bytes([self.flags]))
        if self.lifetime is not None:
            parts += forge.subpacket(9, self.lifetime.to_bytes(4, "big"))
        if self.main:
            parts += forge.subpacket(25, b"\x01")
        if self.ends is not None:
            parts += forge.subpacket(3, self.ends.to_bytes(4, "big"))
        if self.strange:
            parts += forge.subpacket(101, b"x", critical=True)
        return parts


@dataclass(frozen=True)
class Revoked:
    """A revocation."""

    day: int
    reason: int | None
    algorithm: str
    author: str


def sayings(*flags: int | None) -> st.SearchStrategy[Said]:
    """Say something about a key that may be for these purposes."""
    return st.builds(
        Said,
        days,
        lifetimes,
        st.sampled_from(flags),
        hashes,
        authors,
        st.booleans(),
        st.sampled_from([None, None, None, 0, 5 * DAY, 50 * DAY]),
        st.sampled_from([False] * 9 + [True]),
    )


def several(about: st.SearchStrategy[Said], good: Said | None = None) -> st.SearchStrategy[list[Said]]:
    """Say so several times; or once in a way that counts, and again."""
    some = st.lists(about, max_size=2)
    return some if good is None else some | some.map(lambda said: [good, *said]) | st.just([good])


about_owner = sayings(None, 1, 2, 3, 3, 3)
about_signing = sayings(
    1, 2, 3, 3, 3
)  # for a subkey that does not say, Sequoia takes what is said of all of the key
about_encrypting = sayings(None, 2, 4, 8, 12, 12, 12)
owns = several(about_owner, Said(-94, None, 3, "sha256", "owner", False, None, False))
signs = several(about_signing, Said(-94, None, 3, "sha256", "owner", False, None, False))
encrypts = several(about_encrypting, Said(-94, None, 12, "sha256", "owner", False, None, False))
few_revocations: st.SearchStrategy[list[Revoked]] = st.just([]) | st.lists(
    st.builds(Revoked, days, reasons, hashes, authors), max_size=1
)
names = st.tuples(
    st.sampled_from(["bob@mail.example", "rob@mail.example", "Bob <bob@b.example>"]),
    owns,
    few_revocations,
)
subkeys = st.tuples(
    st.just("sign"),
    births,
    signs,
    st.sampled_from(["child", "child", "child", None, "other"]),
    few_revocations,
) | st.tuples(st.just("encrypt"), births, encrypts, st.none(), few_revocations)


class Maker:
    """Puts a random key together."""

    def __init__(self, day: int) -> None:
        self.owner = forge.Key(NOW + day * DAY)
        self.other = forge.Key(NOW - 100 * DAY)
        self.children: list[Any] = []
        self.seconds = itertools.count()
        self.inherited = False

    def _by(self, author: str) -> dict[str, Any]:
        """Somebody else claims to be the owner."""
        return {} if author == "owner" else {"issuer": self.owner.key_id}

    def sign(self, said: Said | Revoked, over: bytes, kind: int, extra: bytes) -> bytes:
        key = self.owner if said.author == "owner" else self.other
        packet: bytes = key.signature(
            over,
            kind,
            algorithm=said.algorithm,
            created=NOW
            + said.day * DAY
            + next(self.seconds),  # of two at the same second, none is the newer one
            extra=extra,
            **self._by(said.author),
        )
        return packet

    def revocation(self, revoked: Revoked, over: bytes, kind: int) -> bytes:
        extra = b"" if revoked.reason is None else forge.subpacket(29, bytes([revoked.reason]))
        return self.sign(revoked, over, kind, extra)

    def name(self, user_id: str, said: list[Said], revoked: list[Revoked]) -> bytes:
        name = user_id.encode()
        over = self.owner.hashed + b"\xb4" + len(name).to_bytes(4, "big") + name
        return b"".join(
            [
                forge.packet(13, name),
                *(self.sign(each, over, forge.POSITIVE, each.extra()) for each in said),
                *(self.revocation(each, over, 0x30) for each in revoked),
            ]
        )

    def subkey(
        self, kind: str, day: int, said: list[Said], back: str | None, revoked: list[Revoked]
    ) -> bytes:
        child = {"sign": forge.Key, "encrypt": forge.EncryptionKey}[kind](NOW + day * DAY)
        over = self.owner.hashed + child.hashed
        packets = [forge.packet(14, child.body)]
        for each in said:
            extra = each.extra()
            if back is not None:
                signer = child if back == "child" else self.other
                inner = signer.signature(over, forge.BACK, created=NOW + each.day * DAY)[6:]
                extra += b"\xff" + (len(inner) + 1).to_bytes(4, "big") + b"\x20" + inner
            packets.append(self.sign(each, over, forge.SUBKEY_BINDING, extra))
        packets += [self.revocation(each, over, forge.SUBKEY_REVOCATION) for each in revoked]
        if kind == "sign":
            self.children.append(child)
        return b"".join(packets)


@st.composite
def keys(draw: Any) -> tuple[bytes, Any]:
    """Give a public key, and who made it."""
    maker = Maker(draw(births))
    direct = draw(st.just([]) | several(about_owner))
    revoked = draw(few_revocations)
    maker.inherited = any(each.lifetime is not None for each in direct)
    parts = [
        forge.packet(6, maker.owner.body),
        *(maker.revocation(each, maker.owner.hashed, forge.KEY_REVOCATION) for each in revoked),
        *(maker.sign(each, maker.owner.hashed, forge.DIRECT, each.extra()) for each in direct),
        *(maker.name(*each) for each in draw(st.lists(names, min_size=1, max_size=2))),
        *(maker.subkey(*each) for each in draw(st.lists(subkeys, max_size=3))),
    ]
    return b"".join(parts), maker


def parsed(engine: Any, key: PublicKey) -> ParsedCert | str:
    try:
        found: ParsedCert = engine.read(key)
    except BadOpenPGP:
        return "refused"
    return found


@cache
def signer_of(engine: Any) -> Any:
    return engine.signer(make_key("<alice@mail.example>"))


def recipients(engine: Any, cert: ParsedCert) -> set[str] | str:
    """Give the keys that a message is encrypted to."""
    try:
        message = engine.encrypt(b"x", [cert.cert], signer_of(engine), engine.lowered_by([cert]))
    except EncryptFailed:
        return "refused"
    return {each.key_id for each in check_message(message).session_keys}


random_keys = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))


@random_keys
@given(keys())
def test_both_say_the_same_of_a_random_key(made: tuple[bytes, Any]) -> None:
    key = PublicKey.read(made[0])
    first, second = parsed(SEQUOIA, key), parsed(PGPY, key)
    if isinstance(first, str) or isinstance(second, str):
        assert first == second
        return
    event(re.split(r" on |\(", first.problem)[0] or "usable")
    assert set(first.user_ids) == set(second.user_ids)
    same = ["ids", "revoked", "ends"]
    if not made[1].inherited:  # what the owner said of all of the key, pysequoia does not tell about a subkey
        same += ["problem", "expires"]
    for name in same:
        if first.problem.startswith("it is not valid") and name == "problem":
            assert second.problem.startswith("it is not valid")
            continue
        assert getattr(first, name) == getattr(second, name), name
    if not second.problem:
        assert not first.problem
        assert recipients(SEQUOIA, first) == recipients(PGPY, second)


@random_keys
@given(keys(), st.integers(-99, 1), hashes)
def test_both_judge_a_signature_by_a_random_key_the_same(
    made: tuple[bytes, Any], day: int, algorithm: str
) -> None:
    data, maker = made
    key = PublicKey.read(data)
    first, second = parsed(SEQUOIA, key), parsed(PGPY, key)
    if isinstance(first, str) or isinstance(second, str):
        assert first == second
        return
    for signer in itertools.chain([maker.owner], maker.children):
        packet = signer.signature(CONTENT, algorithm=algorithm, created=NOW + day * DAY)
        found = [
            engine.verify(CONTENT, [packet], by_id([cert]))
            for engine, cert in ((SEQUOIA, first), (PGPY, second))
        ]
        assert found[0] == found[1]
        event("signed" if found[0][0] else "not signed")
