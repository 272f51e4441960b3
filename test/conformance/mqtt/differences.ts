/** Scripts that have to fail, because mosquitto and the built-in broker differ on purpose. */
export const differences: Readonly<Record<string, string>> = {
  "01-bad-initial-packets.py": "limits the address space of the process to 25 MB, which is not memory in use",
  "01-connect-575314.py": "client id of 65,000 characters; ours have at most 256",
  "01-connect-connack-2163.py":
    "expects that the connection is closed without a DISCONNECT, which the standard recommends",
  "01-connect-duplicate.py":
    "expects that the connection is closed without a DISCONNECT, which the standard recommends",
  "01-connect-uname-password-success-no-tls.py": "uses mosquitto's own password hashes",
  "01-connect-zero-length-id.py": "option allow_zero_length_clientid",
  "02-subpub-qos0-oversize-payload.py": "option message_size_limit drops silently; we close the connection",
  "02-subpub-qos1-bad-pubcomp.py":
    "expects that the connection is closed without a DISCONNECT, which the standard recommends",
  "02-subpub-qos1-bad-pubrec.py":
    "expects that the connection is closed without a DISCONNECT, which the standard recommends",
  "02-subpub-qos1-oversize-payload.py": "option message_size_limit drops silently; we close the connection",
  "02-subpub-qos2-bad-puback-1.py":
    "expects that the connection is closed without a DISCONNECT, which the standard recommends",
  "02-subpub-qos2-bad-puback-2.py":
    "expects that the connection is closed without a DISCONNECT, which the standard recommends",
  "02-subpub-qos2-bad-pubcomp.py":
    "expects that the connection is closed without a DISCONNECT, which the standard recommends",
  "02-subpub-qos2.py": "expects PUBREC before the message is delivered; the standard leaves the order open",
  "03-publish-dollar-v5.py":
    "answers 16 (no subscribers) to a message for $SYS, we answer 135 (not authorized)",
  "03-publish-qos1-queued-bytes.py": "written for Python 2",
  "03-publish-qos1-retain-disabled.py": "option retain_available",
  "03-publish-qos2-dup.py":
    "closes the connection after two repetitions; the standard requires an acknowledgement",
  "04-retain-check-source-persist-diff-port.py": "option check_retain_source",
  "04-retain-check-source-persist.py": "option check_retain_source",
  "04-retain-check-source.py": "option check_retain_source",
  "04-retain-upgrade-outgoing-qos.py": "option upgrade_outgoing_qos",
  "07-will-delay-reconnect.py": "delays a will beyond the end of its session; the standard publishes it then",
  "07-will-delay-recover.py": "delays a will beyond the end of its session; the standard publishes it then",
  "07-will-delay.py": "delays a will beyond the end of its session; the standard publishes it then",
  "07-will-oversize-payload.py": "option message_size_limit",
  "07-will-takeover.py":
    "does not publish the will when the same client takes the session over; the standard requires it",
  "08-ssl-connect-cert-auth-expired.py": "expects a TLS alert; we close the connection",
  "08-ssl-connect-cert-auth-revoked.py": "option crlfile",
  "08-ssl-connect-no-identity.py": "answers 4 to a client without a certificate, we answer 5",
  "09-acl-access-variants.py":
    "grants a forbidden subscription and delivers nothing; we refuse the subscription",
  "09-acl-change.py": "grants a forbidden subscription and delivers nothing; we refuse the subscription",
  "09-acl-empty-file.py": "an empty list of rules forbids all topics; ours allows all",
  "11-persistent-subscription-no-local.py":
    "expects message ids to go on after a restart, where ours start at 1",
  "12-prop-maximum-packet-size-publish-qos1.py":
    "sends a packet of 21 bytes to a client that takes at most 20",
  "12-prop-maximum-packet-size-publish-qos2.py":
    "sends a packet of 21 bytes to a client that takes at most 20",
  "12-prop-subpub-payload-format.py": "payload format 237; the standard allows 0 and 1",
  "13-malformed-publish-v5.py": "options retain_available and max_qos",
  "13-malformed-subscribe-v5.py":
    "expects 129 for no filters and for subscription identifier 0, where the standard has 130",
};
