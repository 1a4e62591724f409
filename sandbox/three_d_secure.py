"""The page on which a payer passes or fails 3-D Secure. It stands for the issuing bank's."""

import base64
import hashlib
import html
import secrets
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.account import MERCHANT_NAME
from sandbox.confirmation import charge_now, fail_authentication
from sandbox.currencies import spoken
from sandbox.errors import ApiError
from sandbox.machine import Machine
from sandbox.operation import Operation
from sandbox.payment_methods import card_of
from sandbox.store import Criteria, Record

_STYLE = """
:root { color-scheme: light dark; --accent: #4338ca; --line: #d4d4d8; --page: #f4f4f5; --card: #fff; --text: #18181b; }
@media (prefers-color-scheme: dark) { :root { --accent: #818cf8; --line: #3f3f46; --page: #18181b; --card: #27272a; \
--text: #fafafa; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--page); \
color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 26rem; padding: 2rem; background: var(--card); border: 1px solid var(--line); \
border-radius: .75rem; }
h1 { margin: 0 0 1rem; font-size: 1.25rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1.5rem; margin: 0 0 1.5rem; }
dt { opacity: .75; } dd { margin: 0; text-align: right; font-weight: 600; overflow-wrap: anywhere; }
form { display: grid; gap: .75rem; }
button { font: inherit; font-weight: 600; padding: .7rem 1rem; border-radius: .5rem; cursor: pointer; \
border: 1px solid var(--accent); background: transparent; color: var(--accent); }
button.primary { background: var(--accent); color: var(--card); }
button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
p { margin: 0 0 1rem; } p.note { margin: 1.5rem 0 0; font-size: .875rem; opacity: .75; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# The form holds a token of 32 characters and one word.
_FORM_BYTES_MAX = 1_024


class ThreeDSecurePage:
    """GET shows the question, POST takes the answer. The address may name the source or the PaymentIntent."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def routes(self) -> list[Route]:
        return [
            Route("/3ds/{id}", self.show, methods=["GET"]),
            Route("/3ds/{id}", self.answer, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        with self._machine.begin() as op:
            found = _find_waiting(op, request.path_params["id"])
            return found if isinstance(found, Response) else _question(found)

    async def answer(self, request: Request) -> Response:
        form = await _read_form(request)
        with self._machine.begin() as op:
            intent = _find_waiting(op, request.path_params["id"])
            if isinstance(intent, Response):
                return intent
            token = intent.private["token"]
            if not secrets.compare_digest(form.get("token", "").encode(), token.encode()):
                return _page("Expired", "<p>This form is out of date. Open the page again.</p>", status=403)
            outcome = form.get("outcome")
            if outcome not in {"complete", "fail"}:
                return _page("Bad request", "<p>The form is incomplete.</p>", status=400)
            return_url = intent.private["return_url"]
            _apply(op, intent, succeeded=outcome == "complete")
            return _done(intent) if return_url is None else _back(intent, return_url)


def _find_waiting(op: Operation, object_id: str) -> Record | Response:
    """The PaymentIntent that waits for its payer, or the page that says why there is nothing to answer."""
    found = op.store.find("payment_intent", Criteria({"source": [object_id]}))
    intent = found[0] if found else op.get("payment_intent", object_id)
    if intent is None:
        return _page("Not found", "<p>There is no such payment.</p>", status=404)
    return intent if intent.body["status"] == "requires_action" else _done(intent)


async def _read_form(request: Request) -> dict[str, str]:
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _FORM_BYTES_MAX:
            return {}
    return dict(parse_qsl(raw.decode("ascii", "replace")))


def _apply(op: Operation, intent: Record, *, succeeded: bool) -> None:
    payment_method = op.require("payment_method", intent.body["payment_method"], "payment_method")
    # The token is spent: the same form sent again finds nothing to decide.
    intent.private = {"return_url": intent.private["return_url"], "source": intent.private["source"]}
    if not succeeded:
        fail_authentication(op, intent, payment_method)
        return
    card = card_of(payment_method)
    declined = card.decline or card.declined_after_authentication
    try:
        charge_now(op, intent, payment_method, declined, "authenticated")
    except ApiError as error:
        # A decline is recorded on the intent, where the merchant finds it; anything else is our fault.
        if not error.commits:
            raise


def _back(intent: Record, return_url: str) -> Response:
    """Send the payer to the merchant with the parameters that Stripe adds to a return_url."""
    failed = intent.body["status"] == "requires_payment_method"
    parts = urlsplit(return_url)
    added = urlencode(
        {
            "payment_intent": intent.id,
            "payment_intent_client_secret": intent.body["client_secret"],
            "redirect_status": "failed" if failed else "succeeded",
        }
    )
    query = f"{parts.query}&{added}" if parts.query else added
    response = RedirectResponse(urlunsplit(parts._replace(query=query)), status_code=303)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _question(intent: Record) -> Response:
    body = intent.body
    rows = {"Merchant": MERCHANT_NAME, "Amount": spoken(body["amount"], body["currency"])}
    if body["description"]:
        rows["For"] = body["description"]
    details = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in rows.items())
    form = (
        f"<dl>{details}</dl>"
        '<form method="post"><input type="hidden" name="token" value="' + html.escape(intent.private["token"]) + '">'
        '<button class="primary" name="outcome" value="complete">Complete authentication</button>'
        '<button name="outcome" value="fail">Fail authentication</button></form>'
        '<p class="note">This is a sandbox. It stands for your bank, and no money moves.</p>'
    )
    return _page("Confirm this payment", form, return_url=intent.private["return_url"])


def _done(intent: Record) -> Response:
    status = intent.body["status"]
    told = {
        "succeeded": "The payment went through.",
        "requires_capture": "The payment is authorised.",
        "processing": "The payment is being processed.",
        "canceled": "The payment was canceled.",
    }.get(status, "The payment did not go through.")
    return _page("Authentication finished", f"<p>{told}</p><p>You may close this page.</p>")


def _page(title: str, content: str, *, status: int = 200, return_url: str | None = None) -> Response:
    # Browsers hold the redirect that follows a form to form-action as well, so the merchant's page must be in it.
    form_action = f"'self' {_origin(return_url)}" if return_url else "'self'"
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><link rel="icon" href="data:,">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>{content}</main></body></html>",
        status_code=status,
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"default-src 'none'; img-src data:; style-src 'sha256-{_STYLE_HASH}'; "
            f"form-action {form_action}; base-uri 'none'; frame-ancestors 'none'",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _origin(url: str) -> str:
    """What stands for the address in a policy. Only plain characters: the address came from outside."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        return f"{parts.scheme}:"
    host = (parts.hostname or "").encode("idna").decode("ascii")
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}"
