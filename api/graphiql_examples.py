"""The operations that GraphiQL opens with: a tour of the API that runs against the development server as it stands."""

from api.graphiql import FRESH_IDEMPOTENCY_KEY, PAGE_ADDRESS, Example

# Stripe's documented test payment methods (https://docs.stripe.com/testing), which the sandbox knows too.
CARD_THAT_SUCCEEDS = "pm_card_visa"
CARD_THAT_ASKS_FOR_3D_SECURE = "pm_card_authenticationRequired"
CARD_THAT_IS_DECLINED = "pm_card_chargeDeclinedInsufficientFunds"

MY_TRANSACTIONS = """\
# Ctrl-Enter (on a Mac Cmd-Enter) runs it.
# For the next page, pass endCursor as $after.
query MyTransactions($first: Int = 10, $after: String) {
  me {
    name
    role
  }
  transactions(first: $first, after: $after) {
    nodes {
      id
      status
      money {
        amount
        currency
        formatted
      }
      description
      createdAt
      user {
        name
        email
      }
      auditLog(first: 5) {
        nodes {
          action
          at
          actorKind
          actor {
            name
          }
        }
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
"""

CREATE_PAYMENT = """\
# Run it twice: the second answer is "replayed",
# and the card was charged once. For another
# payment, change the idempotencyKey.
mutation CreatePayment($input: CreatePaymentInput!) {
  createPayment(input: $input) {
    replayed
    transaction {
      id
      status
      money {
        formatted
      }
      paymentMethod {
        brand
        last4
      }
      user {
        name
        email
      }
      auditLog(first: 10) {
        nodes {
          action
          actorKind
          at
        }
      }
    }
    errors {
      code
      message
      path
    }
  }
}
"""

THREE_D_SECURE_PAYMENT = """\
# This card's bank asks the payer to confirm.
# Ctrl-click redirectUrl (on a Mac Cmd-click) to
# answer for them. Then look at the transaction.
mutation ThreeDSecurePayment($input: CreatePaymentInput!) {
  createPayment(input: $input) {
    transaction {
      id
      status
      nextAction {
        type
        redirectUrl
      }
    }
    errors {
      code
      message
    }
  }
}
"""

DECLINED_PAYMENT = """\
# A refusal is an answer, not a fault: the
# transaction is FAILED and says why, and
# CARD_DECLINED is among the errors.
mutation DeclinedPayment($input: CreatePaymentInput!) {
  createPayment(input: $input) {
    transaction {
      id
      status
      failure {
        code
        declineCode
        message
        retryable
      }
    }
    errors {
      code
      message
    }
  }
}
"""

PARTIAL_REFUND = """\
# Put the id of a COMPLETED transaction into the
# variables. Without "money", all that is left
# goes back.
mutation PartialRefund($input: RefundInput!) {
  refund(input: $input) {
    replayed
    refund {
      id
      status
      money {
        formatted
      }
      reason
    }
    transaction {
      status
      refundedMoney {
        formatted
      }
      refundableMoney {
        formatted
      }
    }
    errors {
      code
      message
    }
  }
}
"""

ONE_TRANSACTION = """\
# Everything about one transaction.
# Put its id into the variables.
query OneTransaction($id: ID!) {
  transaction(id: $id) {
    id
    status
    money {
      formatted
    }
    capturedMoney {
      formatted
    }
    refundedMoney {
      formatted
    }
    feeMoney {
      formatted
    }
    netMoney {
      formatted
    }
    description
    metadata
    processor
    processorReference
    processorStatus
    failure {
      code
      message
    }
    refunds(first: 10) {
      nodes {
        id
        status
        money {
          formatted
        }
        reason
        createdAt
      }
    }
    auditLog(first: 20) {
      nodes {
        action
        actorKind
        actor {
          name
        }
        details
        at
      }
    }
    createdAt
    updatedAt
  }
}
"""


def default_examples(*, transaction_id: str = "<id of a transaction>") -> tuple[Example, ...]:
    """The tour, in its order. A server that has seeded a transaction passes its id, so that every example runs as it is."""
    return (
        Example("My transactions", MY_TRANSACTIONS, {"first": 10}),
        Example("Create a payment", CREATE_PAYMENT, _payment("24.90", CARD_THAT_SUCCEEDS, "Two tickets")),
        Example(
            "A payment that needs 3-D Secure",
            THREE_D_SECURE_PAYMENT,
            _payment("80.00", CARD_THAT_ASKS_FOR_3D_SECURE, "A night at the hotel", returnUrl=PAGE_ADDRESS),
        ),
        Example("A declined card", DECLINED_PAYMENT, _payment("15.00", CARD_THAT_IS_DECLINED, "A book")),
        Example(
            "Refund a part",
            PARTIAL_REFUND,
            {
                "input": {
                    "idempotencyKey": FRESH_IDEMPOTENCY_KEY,
                    "transactionId": transaction_id,
                    "money": {"amount": "5.00", "currency": "USD"},
                    "reason": "REQUESTED_BY_CUSTOMER",
                }
            },
        ),
        Example("Look at one transaction", ONE_TRANSACTION, {"id": transaction_id}),
    )


def _payment(amount: str, payment_method_id: str, description: str, **more: str) -> dict[str, object]:
    return {
        "input": {
            "idempotencyKey": FRESH_IDEMPOTENCY_KEY,
            "money": {"amount": amount, "currency": "USD"},
            "paymentMethodId": payment_method_id,
            "description": description,
            # It has a default, but the editor's check of the variables would ask for it all the same.
            "captureMethod": "AUTOMATIC",
            **more,
        }
    }
