#!/bin/sh
# Postfix: lets it ask the gateway about each mail before it takes it, so that also what only the content shows (a mail that
# is not encrypted and has to be, one that is too large for the user) is refused while the sender is still there, and nothing
# is bounced to forged senders. Only where all mail that comes in on port 25 is for $mail_domain.
#
# `gre-email-gateway init --before-queue yes` makes the rest fit: [listen] protocol = "smtp", [smtp] port = 10025, and
# virtual_transport = smtp:[127.0.0.1]:$listen_port. To undo it: postconf -PX with the same names, postconf -MX the service.
set -e
postconf -P smtp/inet/smtpd_proxy_filter=127.0.0.1:$listen_port
# The gateway itself says which users there are.
postconf -P smtp/inet/smtpd_recipient_restrictions=reject_unauth_destination
# What the gateway sends comes in by a door of its own.
postconf -M "127.0.0.1:10025/inet=127.0.0.1:10025 inet n - y - - smtpd"
