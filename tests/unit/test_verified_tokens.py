"""What is remembered of tokens: until they expire, and of so many."""

from domain.identity.verified_tokens import VerifiedTokens


def test_a_token_is_known_until_it_expires() -> None:
    tokens = VerifiedTokens[str]()
    assert tokens.find("a", 0) is None
    tokens.keep("a", "said", 10)
    assert tokens.find("a", 9.9) == "said"
    assert tokens.find("b", 9.9) is None
    assert tokens.find("a", 10) is None
    # Not even by a clock that was set back.
    assert tokens.find("a", 0) is None


def test_of_too_many_the_first_goes() -> None:
    tokens = VerifiedTokens[str](tokens_max=2)
    for token in ("a", "b", "c"):
        tokens.keep(token, token, 10)
    assert [tokens.find(token, 0) for token in ("a", "b", "c")] == [None, "b", "c"]
    tokens.forget("b")
    tokens.forget("nobody's")
    assert [tokens.find(token, 0) for token in ("b", "c")] == [None, "c"]
