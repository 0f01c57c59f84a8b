"""A mail server for the tests: aiosmtpd, which takes mails and says what was in them.

Arguments: `clear`, `starttls` or `tls`; a certificate and its key; a user and a password, or nothing
where nobody need log in. It says on standard output, a line of JSON each, its port and then every
mail. It ends when its standard input does.
"""

import asyncio
import email
import email.policy
import hashlib
import json
import logging
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def tell(value):
    print(json.dumps(value), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 there is no such mailbox"
        if address.startswith("full"):
            return "452 4.2.2 that mailbox is full"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
        files = [
            [part.get_filename(), part.get_content_type(), hashlib.sha256(part.get_content()).hexdigest()]
            for part in mail.iter_attachments()
        ]
        tell({
            "from": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "client": session.host_name,
            "is_secured": server.transport.get_extra_info("ssl_object") is not None,
            "login": getattr(session, "logged_in", None),
            "headers": {name.lower(): str(value) for name, value in mail.items()},
            "defects": [str(defect) for part in mail.walk() for defect in part.defects],
            "text": plain and plain.get_content(),
            "html": html and html.get_content(),
            "files": files,
        })
        return "250 2.0.0 taken"


async def serve(mode, certificate, key, user=None, password=None):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def authenticate(server, session, envelope, mechanism, data):
        is_right = (data.login.decode(), data.password.decode()) == (user, password)
        session.logged_in = mechanism
        return AuthResult(success=is_right, handled=is_right)

    def make():
        return SMTP(
            Handler(),
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
            authenticator=authenticate,
            auth_required=user is not None,
            auth_require_tls=False,
            decode_data=False,
            timeout=30,
        )

    loop = asyncio.get_running_loop()
    implicit = context if mode == "tls" else None
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=implicit)
    tell({"port": server.sockets[0].getsockname()[1]})
    await loop.run_in_executor(None, sys.stdin.read)


# It warns of logins in the clear, which is what some tests are about.
logging.disable(logging.WARNING)
asyncio.run(serve(*sys.argv[1:]))
