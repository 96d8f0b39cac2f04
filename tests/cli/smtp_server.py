"""A mail server for a test: aiosmtpd, which speaks SMTP as RFC 5321 has it, on a port of the loopback interface.

Arguments: how connections are encrypted (starttls, implicit, plain), certificate, key, and a folder. It prints its port,
writes every mail into the folder as its own parser understands it, and every login that was tried into `logins`.
"""

import asyncio
import email
import email.policy
import json
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

mode, certificate, key, folder = sys.argv[1:]
folder = pathlib.Path(folder)


def logged_in(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"palisade", b"correct horse")
    with open(folder / "logins", "a") as log:
        log.write(f"{data.login.decode()} {'good' if good else 'bad'}\n")
    # What is not handled the server answers itself, with 535.
    return AuthResult(success=good, handled=good)


class Handler:
    taken = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 there is nobody of this name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [part for part in message.walk() if not part.is_multipart()]
        mail = {
            "encrypted": session.ssl is not None or mode == "implicit",
            "login": session.authenticated,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": str(message["subject"]),
            "id": str(message["message-id"]),
            "defects": [str(defect) for part in message.walk() for defect in part.defects],
            "parts": [[part.get_content_type(), part.get_content() if part.get_content_maintype() == "text" else None] for part in parts],
        }
        Handler.taken += 1
        draft = folder / "draft"
        draft.write_text(json.dumps(mail))
        draft.rename(folder / f"{Handler.taken}.json")
        return "250 taken as number %d" % Handler.taken


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    starttls = mode == "starttls"

    def connection():
        return SMTP(
            Handler(),
            authenticator=logged_in,
            auth_required=True,
            auth_require_tls=starttls,
            require_starttls=starttls,
            tls_context=context if starttls else None,
        )

    server = await asyncio.get_running_loop().create_server(
        connection, "127.0.0.1", 0, ssl=context if mode == "implicit" else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    # It ends with whoever started it.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
