"""Gets one access token with a vendor's own SDK and prints it as one JSON line.

    sdk_tokens.py entra  --authority https://localhost:PORT --tenant T --client-id C --scope S
    sdk_tokens.py google --credentials key.json --scope S [--subject U] [--self-signed]
    sdk_tokens.py ibm    --url http://127.0.0.1:PORT

Secrets come by environment: AZURE_CLIENT_SECRET, IBMCLOUD_API_KEY. REQUESTS_CA_BUNDLE names the CA file of an https
server. The line is {"sdk": "name version", "token": "...", "expires_on": seconds since 1970}; an SDK's error ends the
program with its text on stderr and status 1.
"""

import argparse
import calendar
import importlib.metadata
import json
import os
import sys


def main():
    args = arguments()
    try:
        sdk, token, expires_on = args.run(args)
    except Exception as error:  # whatever the SDK raises is its verdict
        sys.exit(f"{type(error).__module__}.{type(error).__name__}: {error}")
    version = importlib.metadata.version(sdk)
    print(json.dumps({"sdk": f"{sdk} {version}", "token": token, "expires_on": int(expires_on)}))


def entra(args):
    from azure.identity import ClientSecretCredential

    # Instance discovery would ask Microsoft's own host whether the authority is genuine.
    credential = ClientSecretCredential(
        args.tenant,
        args.client_id,
        os.environ["AZURE_CLIENT_SECRET"],
        authority=args.authority,
        disable_instance_discovery=True,
    )
    token = credential.get_token(args.scope)
    return "azure-identity", token.token, token.expires_on


def google(args):
    from google.auth.transport.requests import Request
    from google.oauth2.service_account import Credentials

    # The key file's token_uri says where the token comes from.
    credentials = Credentials.from_service_account_file(args.credentials, scopes=[args.scope], subject=args.subject)
    if args.self_signed:
        credentials = credentials.with_always_use_jwt_access(True)
    credentials.refresh(Request())
    token = credentials.token
    token = token.decode() if isinstance(token, bytes) else token
    return "google-auth", token, calendar.timegm(credentials.expiry.utctimetuple())


def ibm(args):
    from ibm_cloud_sdk_core.authenticators import IAMAuthenticator

    authenticator = IAMAuthenticator(os.environ["IBMCLOUD_API_KEY"], url=args.url)
    token = authenticator.token_manager.get_token()
    return "ibm-cloud-sdk-core", token, authenticator.token_manager.expire_time


def arguments():
    parser = argparse.ArgumentParser(description="Get one access token with a vendor's SDK.")
    vendors = parser.add_subparsers(required=True)

    vendor = vendors.add_parser("entra")
    vendor.add_argument("--authority", required=True)
    vendor.add_argument("--tenant", required=True)
    vendor.add_argument("--client-id", required=True)
    vendor.add_argument("--scope", required=True)
    vendor.set_defaults(run=entra)

    vendor = vendors.add_parser("google")
    vendor.add_argument("--credentials", required=True)
    vendor.add_argument("--scope", required=True)
    vendor.add_argument("--subject")
    vendor.add_argument("--self-signed", action="store_true")
    vendor.set_defaults(run=google)

    vendor = vendors.add_parser("ibm")
    vendor.add_argument("--url", required=True)
    vendor.set_defaults(run=ibm)

    return parser.parse_args()


main()
