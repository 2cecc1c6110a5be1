"""The client's side by MIT's GSS-API: prints a token, reads the reply, says whether the context is complete.

Arguments: the service's principal, the mechanism (spnego or krb5), mutual or not, a channel binding in hexadecimal or -.
"""

import base64
import sys

import gssapi
from gssapi.raw import ChannelBindings

service, mechanism, mutual, binding = sys.argv[1:]
oid = {"spnego": "1.3.6.1.5.5.2", "krb5": "1.2.840.113554.1.2.2"}[mechanism]
context = gssapi.SecurityContext(
    name=gssapi.Name(service, gssapi.NameType.kerberos_principal),
    mech=gssapi.OID.from_int_seq(oid),
    flags=[gssapi.RequirementFlag.mutual_authentication] if mutual == "mutual" else [],
    usage="initiate",
    channel_bindings=None if binding == "-" else ChannelBindings(application_data=bytes.fromhex(binding)),
)
print(base64.b64encode(context.step()).decode(), flush=True)
reply = sys.stdin.readline().strip()
if reply:
    context.step(base64.b64decode(reply))
print("complete" if context.complete else "incomplete")
