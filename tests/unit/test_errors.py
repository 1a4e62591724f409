import pytest

from domain.errors import ErrorCode, FlorinError, RefundExceedsRemaining, Refusal, RequestError, catalogue
from domain.payments.answer import _REFUSAL_CLASSES
from domain.payments.gateway import RejectionKind
from domain.payments.runner import _REFUSAL_OF_REJECTION

REFUSALS = catalogue(Refusal)
REQUEST_ERRORS = catalogue(RequestError)


def test_every_code_has_one_refusal() -> None:
    assert sorted(error.code for error in REFUSALS) == sorted(ErrorCode)


def test_no_two_errors_of_a_request_share_a_code() -> None:
    found = [error.code for error in REQUEST_ERRORS]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("error", [*REFUSALS, *REQUEST_ERRORS], ids=lambda error: error.__name__)
def test_every_error_says_what_it_means_in_a_sentence(error: type[FlorinError]) -> None:
    message = error.default_message()
    assert error.__doc__ is not None
    assert message[0].isupper()
    assert message.endswith(".")
    assert "\n" not in message
    assert "  " not in message


@pytest.mark.parametrize("error", [*REFUSALS, *REQUEST_ERRORS], ids=lambda error: error.__name__)
def test_no_error_knows_of_http(error: type[FlorinError]) -> None:
    assert not [name for name in vars(error) if "status" in name or "http" in name]


@pytest.mark.parametrize("refusal", [r for r in REFUSALS if r is not RefundExceedsRemaining], ids=lambda r: r.__name__)
def test_a_refusal_says_its_default_message_or_another(refusal: type[Refusal]) -> None:
    assert refusal().message == refusal.default_message()
    assert str(refusal("Something else.", path=("input", "x"))) == "Something else."
    assert refusal(path=("input", "x")).path == ("input", "x")


def test_what_may_succeed_later_says_so() -> None:
    retryable = {error.code for error in REFUSALS if error.retryable}
    assert retryable == {ErrorCode.IDEMPOTENCY_IN_PROGRESS, ErrorCode.PROCESSOR_UNAVAILABLE}


def test_every_rejection_that_has_a_name_of_its_own_can_be_answered_again() -> None:
    for kind in RejectionKind:
        code = _REFUSAL_OF_REJECTION.get(kind, ErrorCode.PROCESSOR_REFUSED)
        assert _REFUSAL_CLASSES[code].code is code
